// Any text as model.safetensors.index.json and as a checkpoint's manifest.json: no file name that comes out
// can leave its folder.
// Links: io
#include "base/check.h"
#include "base/error.h"
#include "io/checkpoint_dir.h"
#include "io/checkpoint_files.h"

using namespace hoist;
using namespace hoist::io;

namespace {

void check_name(const std::string& name) {
  HOIST_CHECK(!name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
                  name.find('\\') == std::string::npos && name.find('\0') == std::string::npos,
              "a name that leaves the folder");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    for (const auto& [tensor, file] : parse_weight_index(text, "fuzz")) check_name(file);
  } catch (const Error&) {
  }
  try {
    for (const auto& [file, digest] : parse_manifest(text, "fuzz")) {
      check_name(file);
      HOIST_CHECK(digest.bytes >= 0, "negative size");
    }
  } catch (const Error&) {
  }
  return 0;
}
