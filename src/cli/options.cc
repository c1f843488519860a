#include "cli/options.h"

#include <charconv>
#include <cstdio>

#include "base/error.h"

namespace hoist::cli {

int64_t parse_bytes(const std::string& text, const std::string& flag) {
  double n = 0;
  auto r = std::from_chars(text.data(), text.data() + text.size(), n);
  std::string unit(r.ptr, text.data() + text.size());
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
  throw_invalid(flag + ": found '" + text + "', expected a size such as 512MiB or 2GB");
}

namespace {
std::string scaled(double n, double base, const char* const* units, int count, const char* suffix) {
  int u = 0;
  while (n >= base && u + 1 < count) {
    n /= base;
    ++u;
  }
  char buffer[48];
  std::snprintf(buffer, sizeof buffer, u == 0 ? "%.0f %s%s" : "%.2f %s%s", n, units[u], suffix);
  std::string out = buffer;
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}
}  // namespace

std::string human_bytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  return scaled(static_cast<double>(bytes), 1024, kUnits, 6, "");
}

std::string human_count(int64_t n) {
  static constexpr const char* kUnits[] = {"", "K", "M", "B", "T"};
  return scaled(static_cast<double>(n), 1000, kUnits, 5, "");
}

}  // namespace hoist::cli
