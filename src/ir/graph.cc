#include "ir/graph.h"

#include "base/error.h"

namespace hoist::ir {

const char* role_name(Role role) {
  static constexpr const char* kNames[] = {"parameter", "optimizer", "accumulator", "cache", "buffer"};
  return kNames[static_cast<int>(role)];
}
const char* tier_name(Tier tier) {
  static constexpr const char* kNames[] = {"device", "host", "disk"};
  return kNames[static_cast<int>(tier)];
}
const char* stage_name(Stage stage) {
  static constexpr const char* kNames[] = {"global", "local", "lowered"};
  return kNames[static_cast<int>(stage)];
}

namespace {
template <class T>
int find_named(const std::vector<T>& list, std::string_view name) {
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i].name == name) return static_cast<int>(i);
  return -1;
}
}  // namespace

int Graph::find_state(std::string_view n) const { return find_named(states, n); }
int Graph::find_input(std::string_view n) const { return find_named(inputs, n); }
int Graph::find_output(std::string_view n) const { return find_named(outputs, n); }

int Graph::state_of(ValueId v) const {
  for (size_t i = 0; i < states.size(); ++i)
    if (states[i].value == v) return static_cast<int>(i);
  return -1;
}

NodeTypes::NodeTypes(const Graph& graph, const Node& node) {
  for (ValueId v : node.operands) operands.push_back(graph.type(v));
  for (int i = 0; i < node.num_results; ++i) results.push_back(graph.type(node.first_result + i));
  view = {node.op, &node.attrs, operands, results};
}

ValueId Builder::input(std::string name, const Type& type) {
  ValueId v = static_cast<ValueId>(graph_.values.size());
  graph_.values.push_back({type, -1});
  graph_.inputs.push_back({std::move(name), v});
  return v;
}

ValueId Builder::state(std::string name, const Type& type, Role role, bool wants_grad, Tier tier) {
  ValueId v = static_cast<ValueId>(graph_.values.size());
  graph_.values.push_back({type, -1});
  graph_.states.push_back({std::move(name), role, wants_grad, tier, v});
  return v;
}

void Builder::output(std::string name, ValueId value) { graph_.outputs.push_back({std::move(name), value}); }

void Builder::update(int state_index, ValueId value) {
  HOIST_CHECK(state_index >= 0 && state_index < static_cast<int>(graph_.states.size()), "no such state");
  graph_.updates.push_back({state_index, value});
}

void Builder::update(std::string_view state_name, ValueId value) {
  update(graph_.find_state(state_name), value);
}

std::vector<ValueId> Builder::emit(const OpDef& op, const Attrs& attrs, std::span<const ValueId> operands) {
  std::vector<Type> types;
  types.reserve(operands.size());
  for (ValueId v : operands) {
    HOIST_CHECK(v >= 0 && v < static_cast<ValueId>(graph_.values.size()),
                std::string(op.name) + ": operand is not a value of this graph");
    types.push_back(graph_.values[v].type);
  }
  std::vector<Type> results = infer_types(op, attrs, types);
  Node node;
  node.op = &op;
  node.attrs = attrs;
  node.operands.assign(operands.begin(), operands.end());
  node.first_result = static_cast<ValueId>(graph_.values.size());
  node.num_results = static_cast<int>(results.size());
  node.scope = scope_;
  std::vector<ValueId> ids;
  for (const Type& t : results) {
    ids.push_back(static_cast<ValueId>(graph_.values.size()));
    graph_.values.push_back({t, static_cast<NodeId>(graph_.nodes.size())});
  }
  graph_.nodes.push_back(std::move(node));
  return ids;
}

ValueId Builder::emit1(const OpDef& op, const Attrs& attrs, std::initializer_list<ValueId> operands) {
  return emit(op, attrs, std::span<const ValueId>(operands.begin(), operands.size()))[0];
}

void Builder::push_scope(std::string_view name) {
  stack_.push_back(scope_);
  scope_ = scope_.empty() ? Symbol(name) : Symbol(scope_.str() + "." + std::string(name));
}

void Builder::pop_scope() {
  HOIST_CHECK(!stack_.empty(), "pop_scope without push_scope");
  scope_ = stack_.back();
  stack_.pop_back();
}

}  // namespace hoist::ir
