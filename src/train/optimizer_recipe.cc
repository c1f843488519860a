#include "train/optimizer_recipe.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace hoist::train {

using passes::Optimizer;
using passes::OptimizerSpec;
using passes::StateStorage;

int64_t layer_of(std::string_view name) {
  while (!name.empty()) {
    const size_t dot = name.find('.');
    const std::string_view part = name.substr(0, dot);
    int64_t n = 0;
    const auto r = std::from_chars(part.data(), part.data() + part.size(), n);
    if (r.ec == std::errc() && r.ptr == part.data() + part.size() && n >= 0) return n;
    name = dot == std::string_view::npos ? "" : name.substr(dot + 1);
  }
  return -1;
}

OptimizerSpec optimizer_spec(const Recipe& r) {
  OptimizerSpec spec;
  spec.kind = passes::parse_optimizer(r.optimizer);
  spec.states = r.states == "bf16"   ? StateStorage::kBf16
                : r.states == "8bit" ? StateStorage::k8bit
                                     : StateStorage::kF32;
  if (spec.kind == Optimizer::kAdafactor && spec.states != StateStorage::kF32)
    throw_invalid("train.states: found '" + r.states +
                  "', expected f32: adafactor keeps no state of a matrix's size");
  spec.beta1 = r.beta1;
  spec.beta2 = r.beta2;
  spec.eps = r.eps;
  spec.clip = r.clip;
  spec.momentum = r.momentum >= 0 ? r.momentum : spec.kind == Optimizer::kMuon ? 0.95 : 0.9;
  spec.nesterov = r.nesterov;
  spec.muon_plain = r.muon_scale == "plain";
  spec.ema = r.ema;
  if (r.loss_scale) {
    if (r.precision == "f32")
      throw_invalid("train.loss_scale: found true, expected false with train.precision = f32");
    spec.scale_growth = 2000;
  }
  return spec;
}

std::vector<OptimizerSpec::Group> parameter_groups(const Recipe& recipe,
                                                   const std::vector<models::Parameter>& parameters) {
  int64_t layers = 0;
  for (const models::Parameter& p : parameters) layers = std::max(layers, layer_of(p.name) + 1);
  std::vector<OptimizerSpec::Group> groups;
  bool in_blocks = false, past_blocks = false;
  for (const models::Parameter& p : parameters) {
    OptimizerSpec::Group group;
    group.pattern = p.name;
    // A matrix is told by the checkpoint's shape: a bias of [heads, head_dim] is a vector.
    const bool matrix = p.shape.size() >= 2 && p.type.rank() >= 2;
    group.decay = p.shape.size() >= 2 ? recipe.decay : 0.0;
    const int64_t layer = layer_of(p.name);
    in_blocks |= layer >= 0;
    past_blocks = in_blocks && layer < 0;  // parameters come in order: embeddings, blocks, norm, head
    const int64_t depth = layer >= 0 ? layers - layer : past_blocks ? 0 : layers + 1;
    group.lr_scale = std::pow(recipe.layer_decay, static_cast<double>(depth));
    if (matrix) {
      group.columns = p.inputs.empty() ? AxisList{p.type.dims.back().axis} : p.inputs;
      if (!p.stack.empty()) group.stacked.push_back(p.type.dims[0].axis);
      group.hidden = !p.inputs.empty() && !p.type.has("vocab") && !p.type.has("positions");
    }
    groups.push_back(group);
  }
  return groups;
}

}  // namespace hoist::train
