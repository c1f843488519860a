#include "ir/rewriter.h"

namespace hoist::ir {

Rewriter::Rewriter(const Graph& from) : from_(from), builder_(to_), map_(from.values.size(), kNoValue) {
  to_.name = from.name;
  to_.stage = from.stage;
  // Sources keep their order of declaration, inputs and states interleaved as they were.
  size_t input = 0, state = 0;
  while (input < from.inputs.size() || state < from.states.size()) {
    bool take_input = state == from.states.size() ||
                      (input < from.inputs.size() && from.inputs[input].value < from.states[state].value);
    if (take_input) {
      const Input& i = from.inputs[input++];
      map_[i.value] = builder_.input(i.name, from.type(i.value));
    } else {
      const State& s = from.states[state++];
      map_[s.value] = builder_.state(s.name, from.type(s.value), s.role, s.wants_grad, s.tier);
    }
  }
}

ValueId Rewriter::map(ValueId old) const {
  HOIST_CHECK(map_[old] != kNoValue, "value %" + std::to_string(old) + " was not rewritten");
  return map_[old];
}

std::vector<ValueId> Rewriter::map(std::span<const ValueId> old) const {
  std::vector<ValueId> out;
  for (ValueId v : old) out.push_back(map(v));
  return out;
}

void Rewriter::copy(const Node& node) {
  builder_.set_scope(node.scope);
  replace(node, builder_.emit(*node.op, node.attrs, map(node.operands)));
}

void Rewriter::replace(const Node& node, std::span<const ValueId> now) {
  HOIST_CHECK(static_cast<int>(now.size()) == node.num_results,
              std::string(node.op->name) + ": replacement arity");
  for (int i = 0; i < node.num_results; ++i) map_[node.first_result + i] = now[i];
}

Graph Rewriter::finish() {
  for (const Output& o : from_.outputs) builder_.output(o.name, map(o.value));
  for (const Update& u : from_.updates) builder_.update(u.state, map(u.value));
  return std::move(to_);
}

}  // namespace hoist::ir
