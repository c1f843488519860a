// What makes a graph legal, per stage. Run after every pass (passes/pass.h).
#include <unordered_set>

#include "base/error.h"
#include "ir/graph.h"

namespace hoist::ir {

namespace {

[[noreturn]] void illegal(const Graph& g, const Node* node, const std::string& why) {
  std::string where = "graph '" + g.name + "'";
  if (node) {
    where += ": %" + std::to_string(node->first_result) + " = " + std::string(node->op->name);
    if (!node->scope.empty()) where += " @" + node->scope.str();
  }
  throw_invalid(where + ": " + why);
}

template <class T>
void unique_names(const Graph& g, const std::vector<T>& list, const char* what) {
  std::unordered_set<std::string_view> seen;
  for (const T& x : list)
    if (!seen.insert(x.name).second)
      illegal(g, nullptr, std::string("two ") + what + "s named '" + x.name + "'");
}

}  // namespace

void verify(const Graph& g, Stage stage, bool (*has_kernel)(const void*, const OpView&),
            const void* context) {
  if (g.stage != stage)
    illegal(g, nullptr,
            std::string("is at stage ") + stage_name(g.stage) + ", expected " + stage_name(stage));
  unique_names(g, g.inputs, "input");
  unique_names(g, g.states, "state");
  unique_names(g, g.outputs, "output");
  for (const Value& v : g.values)
    for (int i = 1; i < v.type.rank(); ++i)
      if (v.type.dims[i].live) illegal(g, nullptr, "a live axis must be outermost: " + to_string(v.type));

  // In-place ops consume a version of a state: it must not be read again afterwards.
  // Views are the same storage under another name, so they are followed to their root.
  std::vector<uint8_t> consumed(g.values.size(), 0);
  std::vector<ValueId> root(g.values.size());
  for (size_t v = 0; v < root.size(); ++v) root[v] = static_cast<ValueId>(v);
  for (const Node& node : g.nodes) {
    for (ValueId v : node.operands) {
      if (v < 0 || v >= node.first_result)
        illegal(g, &node, "operand %" + std::to_string(v) + " is not defined before it");
      if (consumed[root[v]])
        illegal(g, &node, "reads %" + std::to_string(v) + " after it was updated in place");
    }
    NodeTypes types(g, node);
    std::vector<Type> inferred = infer_types(*node.op, node.attrs, types.operands);
    if (!(inferred.size() == types.results.size() &&
          std::equal(inferred.begin(), inferred.end(), types.results.begin())))
      illegal(g, &node, "result types differ from what the op infers");
    for (int i = 0; i < node.op->in_place.size() && i < node.num_results; ++i)
      if (int j = node.op->in_place[i]; j >= 0) {
        if (j >= static_cast<int>(types.operands.size()) ||
            types.operands[j].bytes() != types.results[i].bytes())
          illegal(g, &node, "in-place result and operand differ in size");
        consumed[root[node.operands[j]]] = 1;
      }
    if (node.op->view) root[node.first_result] = root[node.operands[0]];
    if (node.op->collective && stage == Stage::kGlobal)
      illegal(g, &node, "collectives belong to one rank's graph");
    if (stage == Stage::kLowered && has_kernel && !node.op->view && !node.op->collective &&
        !has_kernel(context, types.view))
      illegal(g, &node, "the backend has no kernel for it");
  }
  std::vector<uint8_t> updated(g.states.size(), 0);
  for (const Update& u : g.updates) {
    if (updated[u.state]++) illegal(g, nullptr, "state '" + g.states[u.state].name + "' is updated twice");
    if (!(g.type(u.value) == g.type(g.states[u.state].value)))
      illegal(g, nullptr,
              "update of state '" + g.states[u.state].name + "' has type " + to_string(g.type(u.value)) +
                  ", expected " + to_string(g.type(g.states[u.state].value)));
    if (consumed[root[u.value]])
      illegal(g, nullptr, "update of '" + g.states[u.state].name + "' was itself updated in place");
  }
  for (const Output& o : g.outputs)
    if (consumed[root[o.value]]) illegal(g, nullptr, "output '" + o.name + "' was updated in place");
}

}  // namespace hoist::ir
