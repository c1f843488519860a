#include "passes/pass.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "base/error.h"

namespace hoist::passes {

namespace {

void dump(const std::string& dir, size_t index, const std::string& name, const ir::Graph& graph) {
  char number[8];
  std::snprintf(number, sizeof number, "%02zu", index);
  std::string path = dir + "/" + graph.name + "-" + number + "-" + name + ".txt";
  std::FILE* f = std::fopen(path.c_str(), "wb");
  if (!f) throw_io("cannot write graph dump " + path, errno);
  std::string text = ir::print(graph);
  std::fwrite(text.data(), 1, text.size(), f);
  std::fclose(f);
}

}  // namespace

ir::Graph PassRunner::run(const std::string& name, ir::Graph graph, ir::Stage stage,
                          FunctionRef<ir::Graph(const ir::Graph&)> pass, bool optional,
                          const KernelOracle* oracle) {
  PassReport report;
  report.name = name;
  report.nodes_before = static_cast<int>(graph.nodes.size());
  auto start = std::chrono::steady_clock::now();
  if (optional && std::find(options_.skip.begin(), options_.skip.end(), name) != options_.skip.end()) {
    report.skipped = true;
  } else {
    ir::Graph result = pass(graph);
    if (options_.verify) {
      if (oracle)
        ir::verify(result, stage, oracle->has_kernel, oracle->context);
      else
        ir::verify(result, stage);
    }
    if (!options_.dump_dir.empty() && ir::print(result) != ir::print(graph))
      dump(options_.dump_dir, reports_.size(), name, result);
    graph = std::move(result);
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.nodes_after = static_cast<int>(graph.nodes.size());
  reports_.push_back(report);
  return graph;
}

}  // namespace hoist::passes
