#include "ops/summary.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace hoist::testing {

namespace {

constexpr const char* kProperties[] = {"round trip", "refusals", "gradient", "pieces", "backends",
                                       "16-bit",     "sizes",    "live",     "alias"};

class PrintAtEnd : public ::testing::Environment {
 public:
  void TearDown() override { Summary::get().print(); }
};
const ::testing::Environment* const kPrintAtEnd = ::testing::AddGlobalTestEnvironment(new PrintAtEnd);

}  // namespace

Summary& Summary::get() {
  static Summary summary;
  return summary;
}

void Summary::count(std::string_view op, std::string_view property, int n) {
  counts_[std::string(op)][std::string(property)] += n;
}

void Summary::exclude(std::string_view property, std::string_view op, const std::string& reason) {
  excluded_[std::string(property)].insert(std::string(op) + ": " + reason);
}

void Summary::print() const {
  if (counts_.empty()) return;
  std::printf("\nChecks passed per op and property\n%-24s", "op");
  for (const char* p : kProperties) std::printf("%11s", p);
  std::printf("\n");
  std::map<std::string, int> totals;
  for (const auto& [op, row] : counts_) {
    std::printf("%-24s", op.c_str());
    for (const char* p : kProperties) {
      auto it = row.find(p);
      if (it == row.end()) {
        std::printf("%11s", "-");
        continue;
      }
      std::printf("%11d", it->second);
      totals[p] += it->second;
    }
    std::printf("\n");
  }
  std::printf("%-24s", ("all " + std::to_string(counts_.size())).c_str());
  for (const char* p : kProperties) std::printf("%11d", totals[p]);
  std::printf("\n");
  std::printf("\nResults put together from pieces, by kind of rule:");
  for (const auto& [kind, n] : kinds_) std::printf(" %s %d", kind.c_str(), n);
  std::printf("\n");
  for (const auto& [property, list] : excluded_) {
    std::printf("\nNot checked: %s (%zu)\n", property.c_str(), list.size());
    for (const std::string& line : list) std::printf("  %s\n", line.c_str());
  }
  std::fflush(stdout);
}

}  // namespace hoist::testing
