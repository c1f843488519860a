#include "plan/build.h"

namespace hoist::plan {

Built build(const ir::Graph& global, const kernels::KernelTable& table, const BuildOptions& options,
            const passes::Strategy& strategy, int rank) {
  passes::KernelOracle oracle;
  oracle.context = &table;
  oracle.has_kernel = [](const void* context, const ir::OpView& view) {
    return static_cast<const kernels::KernelTable*>(context)->find(view) != nullptr;
  };
  passes::PassRunner runner(options.passes);
  passes::LocalProgram local = passes::local_passes(global, strategy, rank, oracle, runner);
  Built built;
  built.plan = compile(local.graph, table, options.compile);
  built.inputs = std::move(local.inputs);
  built.states = std::move(local.states);
  built.reports = runner.reports();
  return built;
}

}  // namespace hoist::plan
