// add_optimizer: turns gradients (outputs "grad.<state>") into updates of parameters and optimizer states.
//
// Which optimizer is a value of OptimizerSpec; passes/optimizer_steps.cc has them, one function each. All
// share clipping by the global norm and gradients divided by the tokens of the whole global batch. The
// model's loss outputs are sums: "loss_sum" and "weight_sum" (the number of target tokens). A step whose
// gradient norm is not finite changes nothing (but the loss scale).
//
// Without accumulation one graph does it all (add_optimizer). With it, `accumulate_gradients` makes the graph
// run for each micro-batch and `apply_graph` the one run once per step; they share states by name. Inputs
// added: "lr" f32[], "step" f32[] (1-based, for bias correction). Outputs: "loss" f32[] (mean per token),
// "grad_norm" f32[] (of the mean gradient, before clipping), "ok" f32[] (1: applied), "tokens" f32[].
//
// Norms and means over whole tensors are reductions of the graph, so that a strategy may split any parameter:
// partition merges them like everything else.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace hoist::passes {

enum class Optimizer : uint8_t { kAdamw, kSgd, kLion, kLamb, kAdafactor, kMuon };
// How states of a parameter's shape are kept between steps; steps are computed in f32. kBf16 rounds to
// nearest. k8bit: ops/block_states.h; parameters of fewer than kMin8bit elements keep f32.
enum class StateStorage : uint8_t { kF32, kBf16, k8bit };
constexpr int64_t kMin8bit = 4096;

struct OptimizerSpec {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;  // AdamW, LAMB; the betas: Lion
  double clip = 1.0;                             // global norm; 0: no clipping
  // Parameter groups, first match wins: a state whose name contains `pattern` ("" matches all) and whose rank
  // is at least `min_rank`.
  struct Group {
    std::string pattern;
    int min_rank = 0;
    double decay = 0;
    double lr_scale = 1;
    // Of a matrix: the axes of its columns (what a product sums over), and those that count matrices
    // (experts); all others are its rows. Empty: the parameter is no matrix.
    AxisList columns = {}, stacked = {};
    bool hidden = false;  // a matrix between hidden layers: what Muon orthogonalizes
  };
  std::vector<Group> groups = {{"", 2, 0.1, 1.0}, {"", 0, 0.0, 1.0}};

  Optimizer kind = Optimizer::kAdamw;
  StateStorage states = StateStorage::kF32;
  // SGD and Muon. Muon: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, five
  // Newton-Schulz steps in f32; the learning rate is multiplied by 0.2 sqrt(max(rows, columns)), which makes
  // steps as long as AdamW's (Liu et al., "Muon is scalable for LLM training", 2025), or, with `muon_plain`,
  // by sqrt(max(1, rows / columns)). What is not `hidden` takes AdamW's step.
  double momentum = 0.9;
  bool nesterov = false, muon_plain = false;
  double muon_eps = 1e-7;
  // Adafactor (Shazeer & Stern, 2018) with relative steps: steps are min(lr, 1/sqrt(step)) * max(1e-3,
  // rms(p)) long; the second moment decays by 1 - step^-0.8; updates are clipped to an rms of 1. Squares
  // below factor_eps^2, and means of rows below factor_eps, count as those.
  double factor_eps = 1e-15;
  // An exponential moving average of every trained parameter, f32, as state "ema.<state>"; 0: none.
  double ema = 0;
  // The loss was multiplied by state kLossScaleState (scale_loss): gradients are divided by it, it halves
  // after a step that is not finite and doubles after this many in a row that were; 0: no such state.
  int64_t scale_growth = 0;
};

// "adamw", "sgd", "lion", "lamb", "adafactor", "muon"; throws Error for another name.
Optimizer parse_optimizer(std::string_view name);

// Multiplies output "loss_sum" by state kLossScaleState as output "scaled_loss", for autodiff: gradients too
// small for 16 bits survive, and overflow shows as a step that is not applied.
ir::Graph scale_loss(const ir::Graph& graph);
constexpr const char* kLossScaleState = "loss_scale.scale";  // f32[], a power of two; starts at 65536
constexpr const char* kGoodStepsState = "loss_scale.good";   // f32[]: steps applied since it changed
constexpr double kFirstLossScale = 65536;

// The graph with every state that wants a gradient read from its average ("ema.<state>") instead.
ir::Graph with_averages(const ir::Graph& graph);

ir::Graph add_optimizer(const ir::Graph& graph, const OptimizerSpec& spec);

// Gradients are added into states "acc.<state>", loss and tokens into "acc.loss_sum" and "acc.weight_sum".
ir::Graph accumulate_gradients(const ir::Graph& graph);
// Reads the accumulators of `accumulated` (what accumulate_gradients returned), updates, and clears them.
ir::Graph apply_graph(const ir::Graph& accumulated, const OptimizerSpec& spec);

// Names of a parameter's optimizer states. In 8 bits a moment is two states: its codes under its own name,
// and its scales under that name with ".scale" after it.
std::string ema_name(std::string_view state);
std::string moment1_name(std::string_view state);
std::string moment2_name(std::string_view state);
std::string master_name(std::string_view state);  // only for 16-bit parameters

}  // namespace hoist::passes
