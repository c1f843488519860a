// The list of passes, in order. Each line of pipeline.cc says why it stands where it does.
#pragma once

#include <string>
#include <vector>

#include "passes/add_optimizer.h"
#include "passes/partition.h"
#include "passes/pass.h"

namespace hoist::passes {

struct TrainGraphs {
  // One graph per step, or (microbatches > 1) one per micro-batch and one per step.
  ir::Graph step;
  ir::Graph accumulate, apply;
};

// From a loss graph (outputs "loss_sum", "weight_sum") to the whole program of a training step.
// Stage::kGlobal.
TrainGraphs training_passes(const ir::Graph& model, const OptimizerSpec& spec, int microbatches,
                            PassRunner& runner);

// From a global graph to what one rank's backend can run. Stage::kLowered.
struct LocalProgram {
  ir::Graph graph;
  std::vector<Sharding> inputs, states;
};
LocalProgram local_passes(const ir::Graph& global, const Strategy& strategy, int rank,
                          const KernelOracle& oracle, PassRunner& runner);

}  // namespace hoist::passes
