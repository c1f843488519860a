#include "cli/options.h"

#include <charconv>
#include <cstdio>

#include "base/error.h"

namespace hoist::cli {

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
