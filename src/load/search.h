// The greatest rate a server still serves within its limits (goodput, DistServe, OSDI'24): first by doubling
// or halving, then by bisection between the last that passed and the first that did not. Pure arithmetic; the
// caller measures.
#pragma once

#include <optional>

namespace hoist::load {

struct SearchOptions {
  double start = 1;         // requests a second, the first to try
  double tolerance = 0.05;  // ends when failed / passed is within 1 + this
  double lowest = 1e-3, highest = 1e6;
};

class RateSearch {
 public:
  explicit RateSearch(const SearchOptions& options);
  // What to measure next; none when it is found, or not to be found between lowest and highest.
  std::optional<double> next() const;
  void observe(double rate, bool passed);
  double passed() const { return passed_; }  // the greatest that did; 0: none
  double failed() const { return failed_; }  // the least that did not, above passed(); 0: none

 private:
  SearchOptions options_;
  double passed_ = 0, failed_ = 0;
};

}  // namespace hoist::load
