// build: from a global graph to this rank's plan - the passes of passes/pipeline.h, then compile.
#pragma once

#include "passes/pipeline.h"
#include "plan/compile.h"

namespace hoist::plan {

struct BuildOptions {
  passes::PassOptions passes;
  CompileOptions compile;
};

struct Built {
  Plan plan;
  std::vector<passes::Sharding> inputs, states;  // of the global graph's inputs and states
  std::vector<passes::PassReport> reports;
};

// Deterministic. `strategy` of one rank: nothing is split.
Built build(const ir::Graph& global, const kernels::KernelTable& table, const BuildOptions& options,
            const passes::Strategy& strategy = {}, int rank = 0);

}  // namespace hoist::plan
