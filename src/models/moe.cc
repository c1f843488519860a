// The MLP of a mixture of experts: Shazeer et al., "Outrageously large neural networks", 2017, as Mixtral and
// the Qwen models route: softmax over all experts, the largest few, their weights divided by their sum or
// not. Nothing is dropped or padded (ops/moe.h). Checkpoints hold a matrix per expert; here each of the three
// is one state with an axis `experts`.
#include "ops/moe.h"

#include <cmath>

#include "models/family.h"
#include "ops/arg_max.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/swiglu.h"

namespace hoist::models {

namespace {

using io::ModelConfig;
using ir::ValueId;

// One state from a tensor of each expert: `prefix`<expert>`suffix`.
Parameter stack(const ModelConfig& c, const std::string& name, DType dtype, const ir::Dim& out,
                const ir::Dim& in, const std::string& prefix, const std::string& suffix, Init init) {
  Parameter p = parameter(name, dtype, {{"experts", c.experts}, out, in}, {out.size, in.size}, init);
  for (int64_t e = 0; e < c.experts; ++e) p.stack.push_back(prefix + std::to_string(e) + suffix);
  p.tensor = p.stack[0];
  p.inputs = {in.axis};
  return p;
}

}  // namespace

void moe_parameters(const ModelConfig& c, int64_t layer, DType dtype, std::vector<Parameter>& out) {
  const Init normal{Init::Kind::kNormal, c.initializer_range};
  const Init residual{Init::Kind::kNormal,
                      c.initializer_range / std::sqrt(2.0 * static_cast<double>(c.layers))};
  const bool mixtral = c.family == io::Family::kMixtral;
  const std::string l = "model.layers." + std::to_string(layer) + ".", m = l + "mlp.";
  const std::string at = mixtral ? l + "block_sparse_moe." : m, experts = at + "experts.";
  const ir::Dim model{"model", c.hidden}, ffn{"expert_ffn", c.expert_intermediate};
  Parameter router =
      parameter(m + "gate.weight", dtype, {{"experts", c.experts}, model}, {c.experts, c.hidden}, normal);
  router.tensor = at + "gate.weight";
  out.push_back(router);
  out.push_back(stack(c, m + "experts.gate_proj.weight", dtype, ffn, model, experts,
                      mixtral ? ".w1.weight" : ".gate_proj.weight", normal));
  out.push_back(stack(c, m + "experts.up_proj.weight", dtype, ffn, model, experts,
                      mixtral ? ".w3.weight" : ".up_proj.weight", normal));
  out.push_back(stack(c, m + "experts.down_proj.weight", dtype, model, ffn, experts,
                      mixtral ? ".w2.weight" : ".down_proj.weight", residual));
  if (c.shared_intermediate == 0) return;
  const int64_t shared = c.shared_intermediate, h = c.hidden;
  const ir::Dim wide{"shared_ffn", shared};
  const std::string s = m + "shared_expert.";
  out.push_back(parameter(s + "gate_proj.weight", dtype, {wide, model}, {shared, h}, normal));
  out.push_back(parameter(s + "up_proj.weight", dtype, {wide, model}, {shared, h}, normal));
  out.push_back(parameter(s + "down_proj.weight", dtype, {model, wide}, {h, shared}, residual));
  out.back().inputs = {"shared_ffn"};
  out.push_back(parameter(m + "shared_expert_gate.weight", dtype, {model}, {1, h}, normal));
}

ValueId moe_mlp(const Forward& f, int64_t layer, ValueId h) {
  ir::Builder& b = f.b;
  const ModelConfig& c = f.config;
  const std::string m = "model.layers." + std::to_string(layer) + ".mlp.";
  const ir::Type type = b.type(h);
  ValueId x = h;
  if (!type.has("tokens")) x = ops::merge_axes(b, h, {"batch", "seq"}, "tokens");

  ValueId scores = ops::contract(b, x, f.weights[m + "gate.weight"], {"tokens", "experts"}, DType::f32);
  const auto top =
      ops::top_k(b, ops::softmax(b, scores, "experts"), "experts", c.experts_per_token, "choice");
  ValueId share = top.values;
  if (c.norm_topk) share = ops::div(b, share, ops::reduce_sum(b, share, {"choice"}));
  share = ops::cast(b, share, f.activations);

  const ops::RouteSortResults route = ops::route_sort(b, top.indices, {"routed", kExpertRows, c.experts, 0});
  ValueId rows = ops::embedding(b, x, route.token, "tokens");
  const auto product = [&](ValueId rows_in, const char* name, Symbol out) {
    ops::GroupedAttrs a{kExpertRows, "experts", {out}, f.activations};
    return ops::grouped_contract(b, rows_in, f.weights[m + "experts." + name + ".weight"], route.counts, a);
  };
  ValueId gate = product(rows, "gate_proj", "expert_ffn"), up = product(rows, "up_proj", "expert_ffn");
  ValueId inner = c.activation == io::Activation::kSilu
                      ? ops::swiglu(b, gate, up)
                      : ops::mul(b, nn::activate(b, gate, activation(c.activation)), up);
  ValueId chosen = ops::embedding(b, product(inner, "down_proj", "model"), route.position, kExpertRows);
  ValueId y = ops::reduce_sum(b, ops::mul(b, chosen, share), {"choice"});
  if (!type.has("tokens"))
    y = ops::split_axis(b, y, "tokens", {"batch", "seq"}, {type.dims[0].size, type.dims[1].size});
  if (c.shared_intermediate == 0) return y;

  const std::string s = m + "shared_expert.";
  ValueId shared = nn::gated_mlp(
      b, h,
      {f.weights[s + "gate_proj.weight"], f.weights[s + "up_proj.weight"], f.weights[s + "down_proj.weight"]},
      activation(c.activation));
  ValueId open = ops::sigmoid(b, nn::linear(b, h, f.weights[m + "shared_expert_gate.weight"]));
  return ops::add(b, y, ops::mul(b, shared, open));
}

}  // namespace hoist::models
