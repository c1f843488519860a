#include "passes/pipeline.h"

#include "passes/autodiff.h"
#include "passes/cleanup.h"
#include "passes/decompose.h"
#include "passes/fuse.h"

namespace hoist::passes {

using ir::Graph;
using ir::Stage;

TrainGraphs training_passes(const Graph& model, const OptimizerSpec& spec, int microbatches,
                            PassRunner& runner) {
  TrainGraphs out;
  // On the model as written: fused ops know their own gradients, and later passes see forward and backward
  // alike.
  const bool scaled = spec.scale_growth > 0;
  Graph g = runner.run("autodiff", model, Stage::kGlobal, [&](const Graph& x) {
    return scaled ? autodiff(scale_loss(x), "scaled_loss") : autodiff(x, "loss_sum");
  });
  // Before partition, so that moments and clipping are sharded by the same rules as everything else.
  if (microbatches == 1) {
    out.step = runner.run("add_optimizer", std::move(g), Stage::kGlobal,
                          [&](const Graph& x) { return add_optimizer(x, spec); });
  } else {
    out.accumulate = runner.run("accumulate_gradients", std::move(g), Stage::kGlobal,
                                [](const Graph& x) { return accumulate_gradients(x); });
    out.apply = runner.run("apply", out.accumulate, Stage::kGlobal,
                           [&](const Graph& x) { return apply_graph(x, spec); });
  }
  return out;
}

LocalProgram local_passes(const Graph& global, const Strategy& strategy, int rank, const KernelOracle& oracle,
                          PassRunner& runner) {
  LocalProgram out;
  // Dead and duplicate work goes first: nothing later should shard, decompose or fuse it.
  Graph g = runner.run(
      "cleanup", global, Stage::kGlobal, [](const Graph& x) { return cleanup(x); }, true);
  // While ops are still whole: an axis rule says more than the primitives it would decompose to.
  g = runner.run("partition", std::move(g), Stage::kLocal, [&](const Graph& x) {
    Partitioned p = partition(x, strategy, rank);
    out.inputs = std::move(p.inputs);
    out.states = std::move(p.states);
    return std::move(p.graph);
  });
  // Before decompose, which would break the patterns up.
  g = runner.run(
      "fuse", std::move(g), Stage::kLocal, [&](const Graph& x) { return fuse(x, oracle); }, true);
  g = runner.run("decompose", std::move(g), Stage::kLocal,
                 [&](const Graph& x) { return decompose_for_backend(x, oracle); });
  // Again: fusing leaves dead insides, decomposing leaves repeated subexpressions.
  g = runner.run(
      "cleanup", std::move(g), Stage::kLocal, [](const Graph& x) { return cleanup(x); }, true);
  out.graph = runner.run(
      "lower", std::move(g), Stage::kLowered,
      [](const Graph& x) {
        Graph lowered = x;
        lowered.stage = Stage::kLowered;
        return lowered;
      },
      false, &oracle);
  return out;
}

}  // namespace hoist::passes
