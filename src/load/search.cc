#include "load/search.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace hoist::load {

RateSearch::RateSearch(const SearchOptions& options) : options_(options) {
  HOIST_CHECK(options.lowest > 0 && options.highest >= options.lowest && options.tolerance > 0, "search");
  options_.start = std::clamp(options.start, options.lowest, options.highest);
}

std::optional<double> RateSearch::next() const {
  if (passed_ == 0 && failed_ == 0) return options_.start;
  if (passed_ == 0)
    return failed_ <= options_.lowest ? std::nullopt : std::optional(std::max(options_.lowest, failed_ / 2));
  if (failed_ == 0)
    return passed_ >= options_.highest ? std::nullopt
                                       : std::optional(std::min(options_.highest, passed_ * 2));
  if (failed_ <= passed_ * (1 + options_.tolerance)) return std::nullopt;
  return std::sqrt(passed_ * failed_);  // rates differ by factors
}

void RateSearch::observe(double rate, bool passed) {
  if (passed) {
    passed_ = std::max(passed_, rate);
    if (failed_ <= passed_) failed_ = 0;  // noise: a greater rate passed after all
  } else if (rate > passed_) {
    failed_ = failed_ == 0 ? rate : std::min(failed_, rate);
  }
}

}  // namespace hoist::load
