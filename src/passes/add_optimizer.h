// add_optimizer: turns gradients (outputs "grad.<state>") into updates of parameters and moments.
//
// AdamW with decoupled decay (Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019),
// clipping by the global norm, gradients divided by the tokens of the whole global batch. The model's loss
// outputs are sums: "loss_sum" and "weight_sum" (the number of target tokens). A step whose gradient norm is
// not finite changes nothing.
//
// Without accumulation one graph does it all (add_optimizer). With it, `accumulate_gradients` makes the graph
// run for each micro-batch and `apply_graph` the one run once per step; they share states by name. Inputs
// added: "lr" f32[], "step" f32[] (1-based, for bias correction). Outputs: "loss" f32[] (mean per token),
// "grad_norm" f32[] (of the mean gradient, before clipping), "ok" f32[] (1: applied), "tokens" f32[].
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace hoist::passes {

struct OptimizerSpec {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double clip = 1.0;  // global norm; 0: no clipping
  // Parameter groups, first match wins: a state whose name contains `pattern` ("" matches all) and whose rank
  // is at least `min_rank`.
  struct Group {
    std::string pattern;
    int min_rank = 0;
    double decay = 0;
    double lr_scale = 1;
  };
  std::vector<Group> groups = {{"", 2, 0.1, 1.0}, {"", 0, 0.0, 1.0}};
};

ir::Graph add_optimizer(const ir::Graph& graph, const OptimizerSpec& spec);

// Gradients are added into states "acc.<state>", loss and tokens into "acc.loss_sum" and "acc.weight_sum".
ir::Graph accumulate_gradients(const ir::Graph& graph);
// Reads the accumulators of `accumulated` (what accumulate_gradients returned), updates, and clears them.
ir::Graph apply_graph(const ir::Graph& accumulated, const OptimizerSpec& spec);

// Names of a parameter's optimizer states.
std::string moment1_name(std::string_view state);
std::string moment2_name(std::string_view state);
std::string master_name(std::string_view state);  // only for 16-bit parameters

}  // namespace hoist::passes
