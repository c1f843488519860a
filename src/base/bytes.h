// Sizes as people write them: "512MiB", "2GB", "1000000".
#pragma once

#include <cstdint>
#include <string>

namespace hoist {

// Throws Error(kInvalidArgument) led by `what`: "WHAT: found 'x', expected a size such as 512MiB or 2GB".
int64_t parse_bytes(const std::string& text, const std::string& what);

}  // namespace hoist
