// Gradients against finite differences in double precision.
#pragma once

#include "ops/cases.h"

namespace hoist::testing {

struct GradientReport {
  std::string problem;                  // empty: they agree
  std::string skipped;                  // why nothing was compared
  std::vector<std::string> left_alone;  // operands that were not compared, each with the reason
  int comparisons = 0;
};

// `skip`: the example's reason to leave operands without a gradient alone.
GradientReport check_gradient(const Case& c, const char* skip);

// Reverse accumulation over the nodes already in b's graph. `seeds` pairs values with their incoming
// gradients; returns the gradient of each of `wrt`, kNoValue where nothing depends on it. Nodes without a
// gradient must have a written reason, and contribute nothing.
Ids reverse(ir::Builder& b, const std::vector<std::pair<ir::ValueId, ir::ValueId>>& seeds, const Ids& wrt);

}  // namespace hoist::testing
