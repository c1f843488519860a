#include "base/bytes.h"

#include <charconv>

#include "base/error.h"

namespace hoist {

int64_t parse_bytes(const std::string& text, const std::string& what) {
  double n = 0;
  const auto r = std::from_chars(text.data(), text.data() + text.size(), n);
  const std::string unit(r.ptr, text.data() + text.size());
  struct Row {
    const char* unit;
    double scale;
  };
  static constexpr Row kUnits[] = {
      {"", 1},      {"B", 1},      {"KB", 1e3},      {"MB", 1e6},      {"GB", 1e9},
      {"TB", 1e12}, {"KiB", 1024}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1099511627776.0}};
  for (const Row& row : kUnits)
    if (r.ec == std::errc() && unit == row.unit && n >= 0 && n * row.scale < 9e18)
      return static_cast<int64_t>(n * row.scale);
  throw_invalid(what + ": found '" + text + "', expected a size such as 512MiB or 2GB");
}

}  // namespace hoist
