// Passes: each is one function from graph to graph in its own pair of files. PassRunner is the one wrapper
// around them: it times, verifies, can skip and can dump each. The list of passes, in order, is
// passes/pipeline.cc.
#pragma once

#include <string>
#include <vector>

#include "base/function_ref.h"
#include "ir/graph.h"

namespace hoist::passes {

// What the backend can run, handed in from above so that passes need no kernels.
struct KernelOracle {
  bool (*has_kernel)(const void* context, const ir::OpView& view) = nullptr;
  const void* context = nullptr;
  bool operator()(const ir::OpView& view) const { return has_kernel(context, view); }
};

struct PassOptions {
  std::vector<std::string> skip;  // names of optional passes not to run
  std::string dump_dir;           // when set: the graph after each pass that changed it, as NN-name.txt
  bool verify = true;
};

struct PassReport {
  std::string name;
  double seconds = 0;
  int nodes_before = 0, nodes_after = 0;
  bool skipped = false;
};

class PassRunner {
 public:
  explicit PassRunner(const PassOptions& options) : options_(options) {}

  // Runs `pass` on `graph` and verifies the result at `stage`. An `optional` pass may be skipped by name.
  ir::Graph run(const std::string& name, ir::Graph graph, ir::Stage stage,
                FunctionRef<ir::Graph(const ir::Graph&)> pass, bool optional = false,
                const KernelOracle* oracle = nullptr);
  const std::vector<PassReport>& reports() const { return reports_; }

 private:
  PassOptions options_;
  std::vector<PassReport> reports_;
};

}  // namespace hoist::passes
