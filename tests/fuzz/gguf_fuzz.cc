// Any bytes as a GGUF file: refused with an Error, or every tensor lies inside the file; then its metadata as
// a vocabulary, refused with an Error or made into a tokenizer that works, and as a model's config, which is
// possible if accepted.
//
// Links: io text
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "decode/gguf_tokenizer.cc"  // all it needs of decode; the layer would bring the engine along
#include "io/files.h"
#include "io/gguf_model.h"
#include "scratch_folder.h"

using namespace hoist;

namespace {

void check_config(const std::string& bytes) {
  const std::string path = write_scratch("fuzz.gguf", bytes);
  try {
    const auto set = io::GgufSet::open(path);
    io::read_gguf_generation(*set);
    const io::ModelConfig c = io::read_gguf_config(*set);
    HOIST_CHECK(c.hidden > 0 && c.layers > 0 && c.vocab > 0 && c.heads > 0 && c.heads % c.kv_heads == 0 &&
                    c.head_dim > 0 && c.attention_scalar >= 0,
                "an impossible config");
    HOIST_CHECK(c.rope.theta >= 1 && c.rope.factor >= 1 && c.rope.original_max_position >= 0 &&
                    c.rope.attention_factor >= 1e-6 && c.rope.attention_factor <= 1e6,
                "an impossible rope");
    const std::string text = io::write_model_config(c);
    io::parse_model_config(text, "fuzz");
    io::open_gguf_tensors(set, c);
    io::GgufMetadata metadata;
    io::write_gguf_config(c, metadata);
  } catch (const Error&) {
  }
}

void check(const std::string& bytes) {
  io::GgufHeader header;
  const auto size = static_cast<int64_t>(bytes.size());
  try {
    header = io::parse_gguf_header(
        [&](int64_t at, void* to, size_t n) {
          HOIST_CHECK(at >= 0 && at <= size && static_cast<int64_t>(n) <= size - at, "reads past the end");
          std::memcpy(to, bytes.data() + at, n);
        },
        size, "fuzz");
  } catch (const Error&) {
    return;
  }
  int64_t end = 0;
  for (const io::GgufTensor& tensor : header.tensors) {
    HOIST_CHECK(tensor.offset >= end && tensor.offset % header.alignment == 0, "overlaps");
    end = tensor.offset + tensor.bytes;
    HOIST_CHECK(header.data_start + end <= size, "a tensor lies outside the file");
    HOIST_CHECK(tensor.elements() / tensor.type->block * tensor.type->bytes == tensor.bytes, "size");
  }
  for (const auto& [key, value] : header.metadata.entries())
    HOIST_CHECK(value.excerpt().size() < 4096, "long excerpt");
  if (header.metadata.find("general.architecture")) check_config(bytes);
  try {
    const auto tokenizer = text::tokenizer_from_gguf(decode::read_gguf_vocab(header.metadata), "fuzz");
    const std::vector<int32_t> ids = tokenizer->encode("Hello  world 123 \xc3\xa9");
    tokenizer->decode(ids);
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string raw(reinterpret_cast<const char*>(data), size);
  check(raw);
  // With the mark and version right and counts that are small: a mutator seldom keeps them.
  if (size >= 2) {
    std::string framed("GGUF\3\0\0\0", 8);
    const uint64_t tensors = data[0] % 4, keys = data[1] % 24;
    framed.append(reinterpret_cast<const char*>(&tensors), 8);
    framed.append(reinterpret_cast<const char*>(&keys), 8);
    framed.append(raw, 2, std::string::npos);
    framed.resize(framed.size() + 256);
    check(framed);
  }
  return 0;
}
