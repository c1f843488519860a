#include "decode/gguf_tokenizer.h"

#include <climits>

namespace hoist::decode {
namespace {

std::string key(std::string_view name) { return "tokenizer.ggml." + std::string(name); }

std::vector<std::string> texts(const io::GgufMetadata& metadata, std::string_view name) {
  std::vector<std::string> out;
  if (const io::GgufValue* value = metadata.array(key(name), io::GgufType::kString)) {
    out.reserve(value->count);
    for (uint64_t i = 0; i < value->count; ++i) out.emplace_back(value->text(i));
  }
  return out;
}

std::optional<int32_t> id(const io::GgufMetadata& metadata, std::string_view name) {
  const auto value = metadata.integer(key(name), 0, INT_MAX);
  return value ? std::optional(static_cast<int32_t>(*value)) : std::nullopt;
}

}  // namespace

text::GgufVocab read_gguf_vocab(const io::GgufMetadata& metadata) {
  text::GgufVocab v;
  metadata.at(key("model"));
  v.model = *metadata.text(key("model"));
  v.pre = metadata.text(key("pre")).value_or("");
  v.tokens = texts(metadata, "tokens");
  v.merges = texts(metadata, "merges");
  if (const io::GgufValue* value = metadata.find(key("scores"))) {
    // Whole numbers in some files.
    if (!value->is_array || value->type == io::GgufType::kString)
      metadata.refuse(key("scores"), "an array of numbers");
    v.scores.reserve(value->count);
    for (uint64_t i = 0; i < value->count; ++i)
      v.scores.push_back(static_cast<float>(value->number(i).value_or(0)));
  }
  if (const io::GgufValue* value = metadata.array(key("token_type"), io::GgufType::kI32)) {
    v.types.reserve(value->count);
    for (uint64_t i = 0; i < value->count; ++i) v.types.push_back(static_cast<int32_t>(*value->integer(i)));
  }
  v.bos_id = id(metadata, "bos_token_id");
  v.eos_id = id(metadata, "eos_token_id");
  v.unknown_id = id(metadata, "unknown_token_id");
  v.add_bos = metadata.boolean(key("add_bos_token"));
  v.add_eos = metadata.boolean(key("add_eos_token"));
  v.add_space_prefix = metadata.boolean(key("add_space_prefix"));
  // Both change the text before it is cut, in ways of other kinds of vocabulary.
  if (metadata.boolean(key("remove_extra_whitespaces")).value_or(false))
    metadata.refuse(key("remove_extra_whitespaces"), "false");
  if (metadata.find(key("precompiled_charsmap"))) metadata.refuse(key("precompiled_charsmap"), "no such key");
  return v;
}

void write_gguf_vocab(const text::GgufVocab& v, io::GgufMetadata& out) {
  out.set_text(key("model"), v.model);
  if (!v.pre.empty()) out.set_text(key("pre"), v.pre);
  out.set_texts(key("tokens"), v.tokens);
  if (!v.scores.empty()) out.set_f32s(key("scores"), v.scores);
  if (!v.types.empty()) out.set_i32s(key("token_type"), v.types);
  if (!v.merges.empty()) out.set_texts(key("merges"), v.merges);
  const auto id = [&](std::string_view name, const std::optional<int32_t>& value) {
    if (value) out.set_u32(key(name), static_cast<uint64_t>(*value));
  };
  id("bos_token_id", v.bos_id);
  id("eos_token_id", v.eos_id);
  id("unknown_token_id", v.unknown_id);
  if (v.add_bos) out.set_bool(key("add_bos_token"), *v.add_bos);
  if (v.add_eos) out.set_bool(key("add_eos_token"), *v.add_eos);
  if (v.add_space_prefix) out.set_bool(key("add_space_prefix"), *v.add_space_prefix);
}

}  // namespace hoist::decode
