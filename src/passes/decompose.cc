#include "passes/decompose.h"

#include "base/error.h"
#include "ir/rewriter.h"

namespace hoist::passes {

using ir::Graph;
using ir::Node;

Graph decompose_if(const Graph& graph, FunctionRef<bool(const Node&)> wanted) {
  ir::Rewriter rewriter(graph);
  for (const Node& node : graph.nodes) {
    if (!wanted(node)) {
      rewriter.copy(node);
      continue;
    }
    HOIST_CHECK(node.op->decompose != nullptr, std::string(node.op->name) + " has no decomposition");
    ir::NodeTypes types(graph, node);
    rewriter.builder().set_scope(node.scope);
    rewriter.replace(node, node.op->decompose(rewriter.builder(), types.view, rewriter.map(node.operands)));
  }
  return rewriter.finish();
}

Graph decompose_for_backend(const Graph& graph, const KernelOracle& oracle) {
  constexpr int kMaxDepth = 8;  // decompositions strictly simplify; more levels than this is a cycle
  Graph g = graph;
  for (int depth = 0;; ++depth) {
    bool any = false;
    auto missing = [&](const Node& node) {
      if (node.op->view || node.op->collective) return false;
      ir::NodeTypes types(g, node);
      return !oracle(types.view);
    };
    for (const Node& node : g.nodes)
      if (missing(node)) {
        if (!node.op->decompose || depth == kMaxDepth) {
          ir::NodeTypes types(g, node);
          ir::op_error(types.view, "the backend has no kernel and the op has no simpler form");
        }
        any = true;
      }
    if (!any) return g;
    g = decompose_if(g, missing);
  }
}

}  // namespace hoist::passes
