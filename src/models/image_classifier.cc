#include "models/image_classifier.h"

#include <cmath>

#include "models/family.h"
#include "ops/arg_max.h"
#include "ops/batch_norm.h"
#include "ops/constants.h"
#include "ops/contract.h"
#include "ops/conv2d.h"
#include "ops/cross_entropy.h"
#include "ops/elementwise.h"
#include "ops/pool2d.h"
#include "ops/reduce.h"

namespace hoist::models {

using ir::Builder;
using ir::Graph;
using ir::Type;
using ir::ValueId;

namespace {

constexpr double kEps = 1e-5, kMomentum = 0.1;
constexpr int kBlocks = 2;

std::string maps(int block) { return "maps" + std::to_string(block); }
std::string name(int block, const char* what) { return "blocks." + std::to_string(block) + "." + what; }
int64_t width_of(const ImageClassifier& c, int block) { return c.width << (block - 1); }

ValueId state_of(Builder& b, const std::string& state) {
  const int i = b.graph().find_state(state);
  HOIST_CHECK(i >= 0, "model has no state " + state);
  return b.graph().states[static_cast<size_t>(i)].value;
}

// A new running value: (1 - momentum) old + momentum new.
void keep_running(Builder& b, const std::string& state, ValueId value) {
  b.update(state,
           ops::add(b, ops::affine(b, state_of(b, state), 1 - kMomentum), ops::affine(b, value, kMomentum)));
}

ValueId block(Builder& b, const ImageClassifier& config, int i, ValueId x, bool train) {
  ir::ScopeGuard scope(b, "blocks." + std::to_string(i));
  const Type in = b.type(x);
  const Symbol channels = maps(i);
  const std::string high = "height" + std::to_string(i), wide = "width" + std::to_string(i);
  ops::Conv2dAttrs conv;
  conv.pad_top = conv.pad_bottom = conv.pad_left = conv.pad_right = 1;
  conv.out_h = high, conv.out_w = wide;
  conv.algorithm = ops::choose_conv2d(
      {in.dims[0].size, in.dims[1].size, width_of(config, i), 3, 3, in.dims[2].size, in.dims[3].size}, conv,
      false);
  x = ops::conv2d(b, x, state_of(b, name(i, "conv.weight")), conv);
  const ValueId gamma = state_of(b, name(i, "norm.weight")), beta = state_of(b, name(i, "norm.bias"));
  const std::string mean = name(i, "norm.running_mean"), variance = name(i, "norm.running_var");
  if (train) {
    const ops::BatchNormResult r = ops::batch_norm(b, x, gamma, beta, channels, kEps);
    x = r.y;
    keep_running(b, mean, r.mean);
    keep_running(b, variance, ops::affine(b, ops::reciprocal(b, ops::square(b, r.rstd)), 1, -kEps));
  } else {
    x = ops::batch_norm_inference(b, x, gamma, beta, state_of(b, mean), state_of(b, variance), channels,
                                  kEps);
  }
  ops::Pool2dAttrs pool;
  pool.out_h = high + "_half", pool.out_w = wide + "_half";
  return ops::max_pool2d(b, ops::relu(b, x), pool);
}

struct Heads {
  ValueId logits, labels;
};
Heads forward(Builder& b, const ImageClassifier& config, bool train) {
  ValueId x = b.input("images", Type(DType::f32, {{"batch", config.batch},
                                                  {"channels", config.channels},
                                                  {"height", config.size},
                                                  {"width", config.size}}));
  const ValueId labels = b.input("labels", Type(DType::i32, {{"batch", config.batch}}));
  for (const Parameter& p : parameters(config)) b.state(p.name, p.type, ir::Role::kParameter, train);
  for (const Parameter& p : running_statistics(config)) b.state(p.name, p.type, ir::Role::kBuffer);
  for (int i = 1; i <= kBlocks; ++i) x = block(b, config, i, x, train);
  ir::ScopeGuard scope(b, "head");
  ValueId logits = ops::contract(b, x, state_of(b, "head.weight"), {"batch", "class"}, DType::f32);
  return {ops::add(b, logits, state_of(b, "head.bias")), labels};
}

void loss_outputs(Builder& b, const Heads& h) {
  ir::ScopeGuard scope(b, "loss");
  const ops::CrossEntropyResult ce = ops::cross_entropy(b, h.logits, h.labels, "class");
  ValueId index = ops::cast(b, h.labels, DType::f32);
  ValueId weight = ops::greater_equal(b, index, ops::zeros_like(b, index));
  ValueId loss = ops::mul(b, ops::sub(b, ce.lse, ce.picked), weight);
  b.output("loss_sum", ops::reduce_sum(b, loss, {"batch"}));
  b.output("weight_sum", ops::reduce_sum(b, weight, {"batch"}));
}

}  // namespace

std::vector<Parameter> parameters(const ImageClassifier& config) {
  std::vector<Parameter> list;
  auto add = [&](const std::string& n, const ir::Dims& dims, Init init) {
    std::vector<int64_t> shape;
    for (const ir::Dim& d : dims) shape.push_back(d.size);
    list.push_back(parameter(n, DType::f32, dims, shape, init, dims.size() == 1));
  };
  int64_t in = config.channels;
  Symbol in_axis = "channels";
  for (int i = 1; i <= kBlocks; ++i) {
    const ir::Dim out{maps(i), width_of(config, i)};
    // He's: the variance of ReLU's input stays as it is.
    const double std = std::sqrt(2.0 / static_cast<double>(9 * in));
    add(name(i, "conv.weight"), {out, {in_axis, in}, {"kh", 3}, {"kw", 3}}, {Init::Kind::kNormal, std});
    add(name(i, "norm.weight"), {out}, {Init::Kind::kOnes});
    add(name(i, "norm.bias"), {out}, {Init::Kind::kZeros});
    in = out.size;
    in_axis = out.axis;
  }
  const int64_t edge = config.size / 4;
  const ir::Dim high{"height2_half", edge}, wide{"width2_half", edge};
  add("head.weight", {{"class", config.classes}, {in_axis, in}, high, wide},
      {Init::Kind::kNormal, std::sqrt(1.0 / static_cast<double>(in * edge * edge))});
  add("head.bias", {{"class", config.classes}}, {Init::Kind::kZeros});
  return list;
}

std::vector<Parameter> running_statistics(const ImageClassifier& config) {
  std::vector<Parameter> list;
  for (int i = 1; i <= kBlocks; ++i) {
    const int64_t n = width_of(config, i);
    const ir::Dims dims = {{maps(i), n}};
    list.push_back(
        parameter(name(i, "norm.running_mean"), DType::f32, dims, {n}, {Init::Kind::kZeros}, true));
    list.push_back(parameter(name(i, "norm.running_var"), DType::f32, dims, {n}, {Init::Kind::kOnes}, true));
  }
  return list;
}

Graph train_graph(const ImageClassifier& config) {
  Graph g;
  g.name = "train";
  Builder b(g);
  loss_outputs(b, forward(b, config, true));
  return g;
}

Graph evaluation_graph(const ImageClassifier& config) {
  Graph g;
  g.name = "evaluate";
  Builder b(g);
  const Heads h = forward(b, config, false);
  loss_outputs(b, h);
  b.output("correct",
           ops::reduce_sum(b, ops::equal(b, ops::arg_max(b, h.logits, "class").index, h.labels), {"batch"}));
  return g;
}

}  // namespace hoist::models
