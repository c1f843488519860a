#include "passes/cleanup.h"

#include <unordered_map>

#include "ir/rewriter.h"

namespace hoist::passes {

using ir::Graph;
using ir::Node;
using ir::ValueId;

namespace {

std::vector<uint8_t> live_nodes(const Graph& g) {
  std::vector<uint8_t> used(g.values.size(), 0), live(g.nodes.size(), 0);
  for (const ir::Output& o : g.outputs) used[o.value] = 1;
  for (const ir::Update& u : g.updates) used[u.value] = 1;
  for (size_t i = g.nodes.size(); i-- > 0;) {
    const Node& n = g.nodes[i];
    for (int r = 0; r < n.num_results; ++r) live[i] |= used[n.first_result + r];
    if (live[i])
      for (ValueId v : n.operands) used[v] = 1;
  }
  return live;
}

// Values that an in-place op overwrites, by whatever name: a node that makes one is not equal to its twin,
// nor is a copy of one its original.
std::vector<uint8_t> overwritten(const Graph& g) {
  std::vector<ValueId> root(g.values.size());  // of a chain of views: the storage they name
  for (size_t v = 0; v < root.size(); ++v) root[v] = static_cast<ValueId>(v);
  std::vector<uint8_t> marked(g.values.size(), 0);
  for (const Node& n : g.nodes) {
    if (n.op->view) root[n.first_result] = root[n.operands[0]];
    for (int r = 0; r < n.op->in_place.size() && r < n.num_results; ++r)
      if (n.op->in_place[r] >= 0) marked[root[n.operands[static_cast<size_t>(n.op->in_place[r])]]] = 1;
  }
  std::vector<uint8_t> out(g.values.size());
  for (size_t v = 0; v < out.size(); ++v) out[v] = marked[root[v]];
  return out;
}

// An op that returns its operand: same bytes, same type.
bool identity(const Graph& g, const Node& n) {
  if (n.num_results != 1 || n.operands.size() != 1 || !n.op->in_place.empty()) return false;
  if (!(g.type(n.operands[0]) == g.type(n.first_result))) return false;
  if (n.op->view) return true;
  std::string text = n.op->attrs->print(n.attrs);
  return (n.op->name == "affine" && text == "scale=1, shift=0") || n.op->name == "cast";
}

}  // namespace

Graph cleanup(const Graph& graph) {
  const std::vector<uint8_t> live = live_nodes(graph), taken = overwritten(graph);
  ir::Rewriter rewriter(graph);
  std::unordered_map<std::string, std::vector<ValueId>> seen;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (!live[i]) continue;
    bool makes_taken = false;  // twins of it must stay apart
    for (int r = 0; r < node.num_results; ++r) makes_taken |= taken[node.first_result + r] != 0;
    if (identity(graph, node) && (node.op->view || !(makes_taken || taken[node.operands[0]]))) {
      rewriter.set(node.first_result, rewriter.map(node.operands[0]));
      continue;
    }
    // Collectives must run as often on every rank as written; in-place ops are effects. Constants are cheap
    // to make again and dear to keep alive across a whole step.
    if (!node.op->in_place.empty() || node.op->collective || node.operands.empty() || makes_taken) {
      rewriter.copy(node);
      continue;
    }
    std::string key(node.op->name);
    key += '{' + node.op->attrs->print(node.attrs) + '}';
    for (ValueId v : node.operands) key += ' ' + std::to_string(rewriter.map(v));
    auto it = seen.find(key);
    if (it != seen.end()) {
      rewriter.replace(node, it->second);
      continue;
    }
    rewriter.copy(node);
    std::vector<ValueId> results;
    for (int r = 0; r < node.num_results; ++r) results.push_back(rewriter.map(node.first_result + r));
    seen.emplace(std::move(key), std::move(results));
  }
  return rewriter.finish();
}

}  // namespace hoist::passes
