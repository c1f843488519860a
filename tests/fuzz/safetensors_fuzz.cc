// Any bytes as a safetensors file: refused with an Error, or every tensor lies inside the data section and
// the same header written by us reads back as the same tensors.
// Links: io
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "io/safetensors.h"

using namespace hoist;
using namespace hoist::io;

namespace {

void check_header(const std::string& bytes, int64_t file_bytes) {
  SafetensorsHeader header;
  try {
    header = parse_safetensors_header(bytes, file_bytes, "fuzz");
  } catch (const Error&) {
    return;
  }
  int64_t at = 0;
  std::vector<TensorSpec> specs;
  for (const TensorInfo& tensor : header.tensors) {
    HOIST_CHECK(tensor.begin == at && tensor.end >= at, "holes or overlaps");
    at = tensor.end;
    if (tensor.dtype) {
      HOIST_CHECK(tensor.elements() * dtype_size(*tensor.dtype) == tensor.bytes(), "size");
      specs.push_back({tensor.name, *tensor.dtype, tensor.shape});
    }
  }
  HOIST_CHECK(header.data_start + at == file_bytes, "does not fill the file");
  try {
    const auto layout = canonical_layout(specs, "fuzz");
    HOIST_CHECK(layout.size() == specs.size(), "lost tensors");
  } catch (const Error&) {
    // Sizes beside a zero may overflow in another order of multiplication; we refuse to write those.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string raw(reinterpret_cast<const char*>(data), size);
  check_header(raw, static_cast<int64_t>(size));
  // The same bytes as header text, with a length that fits and as much data as they ask for (up to a point):
  // a mutator seldom keeps a length right.
  const uint64_t length = size;
  std::string framed(reinterpret_cast<const char*>(&length), 8);
  framed += raw;
  for (int64_t data_bytes : {0, 4, 8, 12, 16})
    check_header(framed, static_cast<int64_t>(framed.size()) + data_bytes);
  return 0;
}
