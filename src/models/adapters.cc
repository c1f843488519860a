#include "models/adapters.h"

#include <unordered_map>

#include "base/check.h"
#include "ir/rewriter.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/moe.h"

namespace hoist::models {

using ir::Graph;
using ir::Type;
using ir::ValueId;

namespace {

bool can_adapt(const Parameter& p) {
  return p.inputs.size() > 0 && !p.stored.has("vocab") && !p.stored.has("experts") &&
         p.name.ends_with(".weight");
}

struct Routing {
  ValueId rows, counts, places;
};

ValueId low_rank(ir::Builder& b, const Routing& r, const AdapterTarget& t, ValueId x, const Type& y) {
  const ValueId down = b.state(t.down, t.down_type, ir::Role::kParameter);
  const ValueId up = b.state(t.up, t.up_type, ir::Role::kParameter);
  const ValueId rows = ops::embedding(b, x, r.rows, "tokens");
  ops::GroupedAttrs a;
  a.row_axis = "adapter_rows";
  a.expert_axis = "adapters";
  a.out = {"lora_rank"};
  const ValueId inner = ops::grouped_contract(b, rows, down, r.counts, a);
  a.out = {};
  for (size_t i = 1; i < y.rank(); ++i) a.out.push_back(y.dims[i].axis);
  const ValueId outer = ops::grouped_contract(b, inner, up, r.counts, a);
  return ops::cast(b, ops::embedding(b, outer, r.places, "adapter_rows"), y.dtype);
}

}  // namespace

std::vector<AdapterTarget> adapter_targets(const std::vector<Parameter>& parameters,
                                           const AdapterShape& shape) {
  std::vector<AdapterTarget> out;
  for (const Parameter& p : parameters) {
    if (!can_adapt(p)) continue;
    AdapterTarget t;
    t.tensor = p.tensor;
    t.down = "lora." + p.name + ".a";
    t.up = "lora." + p.name + ".b";
    ir::Dims down = {{"adapters", shape.slots}, {"lora_rank", shape.rank}}, up = {{"adapters", shape.slots}};
    t.in = t.out = 1;
    for (const ir::Dim& d : p.stored.dims) {
      const bool in = p.inputs.contains(d.axis);
      (in ? down : up).push_back(d);
      (in ? t.in : t.out) *= d.size;
    }
    up.push_back({"lora_rank", shape.rank});
    t.down_type = Type(DType::f32, down);
    t.up_type = Type(DType::f32, up);
    t.first_row = p.whole ? 0 : p.offset;
    out.push_back(std::move(t));
  }
  return out;
}

Graph add_adapters(const Graph& serve, const std::vector<Parameter>& parameters, const AdapterShape& shape) {
  std::unordered_map<ValueId, AdapterTarget> targets;
  std::unordered_map<std::string, ValueId> states;
  for (const ir::State& s : serve.states) states[s.name] = s.value;
  size_t next = 0;
  const std::vector<AdapterTarget> list = adapter_targets(parameters, shape);
  for (const Parameter& p : parameters)
    if (can_adapt(p)) targets[states.at(p.name)] = list[next++];
  ir::Rewriter rewrite(serve);
  ir::Builder& b = rewrite.builder();
  const int ids = serve.find_input("ids");
  HOIST_CHECK(ids >= 0, "a serving graph has ids");
  const ir::Dim tokens = serve.type(serve.inputs[static_cast<size_t>(ids)].value).dims[0];
  const Routing routing = {b.input("adapter_rows", Type(DType::i32, {{"adapter_rows", tokens.size, true}})),
                           b.input("adapter_counts", Type(DType::i32, {{"adapter_counts", shape.slots}})),
                           b.input("adapter_places", Type(DType::i32, {tokens}))};
  size_t found = 0;
  for (const ir::Node& node : serve.nodes) {
    rewrite.copy(node);
    if (node.op != &ops::kContract) continue;
    const auto target = targets.find(node.operands[1]);
    if (target == targets.end()) continue;
    ++found;
    const ValueId y = rewrite.map(node.first_result);
    b.set_scope(node.scope);
    const ValueId sum = ops::add(
        b, y,
        low_rank(b, routing, target->second, rewrite.map(node.operands[0]), serve.type(node.first_result)));
    rewrite.set(node.first_result, sum);
  }
  HOIST_CHECK(found == targets.size(), "each matrix is one product's weights");
  return rewrite.finish();
}

}  // namespace hoist::models
