#include "runtime/interpret.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "ir/rewriter.h"

namespace hoist::runtime {

using ir::Graph;
using ir::Node;
using ir::NodeTypes;
using ir::Type;
using ir::ValueId;
using kernels::Kernel;
using kernels::KernelTable;
using kernels::TensorView;

namespace {

constexpr int kMaxRounds = 32;  // a decomposition is only ever a few ops deep

int64_t length_of(const ir::Dim& d, const LiveLengths& live) {
  if (!d.live) return d.size;
  for (const LiveLength& l : live)
    if (l.axis == d.axis) return l.length;
  return d.size;
}

void check_lengths(const Graph& graph, const LiveLengths& live) {
  for (const ir::Value& v : graph.values)
    for (const ir::Dim& d : v.type.dims) {
      int64_t n = length_of(d, live);
      if (n < 0 || n > d.size)
        throw_invalid("interpret: live axis " + d.axis.str() + ": found length " + std::to_string(n) +
                      ", expected 0.." + std::to_string(d.size));
    }
}

TensorView view_of(std::byte* data, const Type& type, const LiveLengths& live) {
  TensorView view;
  view.data = data;
  view.dtype = type.dtype;
  for (const ir::Dim& d : type.dims) view.dims.push_back(length_of(d, live));
  return view;
}

const HostTensor& bound(const Bindings& bindings, const std::string& name, const Type& type,
                        const char* what) {
  auto it = bindings.find(name);
  if (it == bindings.end())
    throw_not_found(std::string("interpret: ") + what + " '" + name + "' is not bound");
  if (!(it->second.type == type))
    throw_invalid(std::string("interpret: ") + what + " '" + name + "': found " + to_string(it->second.type) +
                  ", expected " + to_string(type));
  return it->second;
}

struct AlignedDelete {
  void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{64}); }
};

bool has_kernel(const KernelTable& table, const ir::OpView& view) {
  return view.op->view || table.find(view);
}

class Run {
 public:
  Run(const Graph& graph, const KernelTable& table, ThreadPool& pool, const LiveLengths& live)
      : graph_(graph), table_(table), pool_(pool), live_(live), values_(graph.values.size()) {}

  void bind(ValueId v, const HostTensor& tensor) { values_[static_cast<size_t>(v)] = tensor; }
  const HostTensor& value(ValueId v) const { return values_[static_cast<size_t>(v)]; }

  void node(const Node& node) {
    NodeTypes types(graph_, node);
    std::vector<TensorView> operands, results;
    for (ValueId v : node.operands) operands.push_back(view(v));
    for (int i = 0; i < node.num_results; ++i) {
      values_[static_cast<size_t>(node.first_result + i)] = HostTensor(types.results[static_cast<size_t>(i)]);
      results.push_back(view(node.first_result + i));
    }
    if (node.op->view) {
      copy(results[0], operands[0], types.results[0]);
      return;
    }
    for (int i = 0; i < node.op->in_place.size() && i < node.num_results; ++i) {
      int j = node.op->in_place[i];
      if (j < 0) continue;
      const auto at = static_cast<size_t>(i), from = static_cast<size_t>(j);
      copy(results[at], operands[from], types.results[at]);
      operands[from].data = results[at].data;
    }
    const Kernel* kernel = table_.find(types.view);
    HOIST_CHECK(kernel, std::string(node.op->name) + ": lost its kernel");
    run_kernel(*kernel, types.view, operands, results, pool_);
  }

 private:
  TensorView view(ValueId v) {
    return view_of(values_[static_cast<size_t>(v)].data.data(), graph_.type(v), live_);
  }
  static void copy(const TensorView& to, const TensorView& from, const Type& type) {
    if (type.bytes() > 0) std::memcpy(to.data, from.data, static_cast<size_t>(type.bytes()));
  }

  const Graph& graph_;
  const KernelTable& table_;
  ThreadPool& pool_;
  const LiveLengths& live_;
  std::vector<HostTensor> values_;
};

}  // namespace

void run_kernel(const Kernel& kernel, const ir::OpView& view, std::span<const TensorView> operands,
                std::span<const TensorView> results, ThreadPool& pool) {
  kernels::Prepared prepared;
  if (kernel.prepare) kernel.prepare(view, prepared);
  const int64_t bytes = kernel.workspace ? kernel.workspace(view, pool.threads()) : 0;
  std::unique_ptr<std::byte[], AlignedDelete> workspace(static_cast<std::byte*>(
      ::operator new[](static_cast<size_t>(std::max<int64_t>(bytes, 64)), std::align_val_t{64})));
  kernel.run({*view.attrs, operands, results, prepared, workspace.get(), pool});
}

Graph expand_for(const Graph& graph, const KernelTable& table) {
  Graph now = graph;
  for (int round = 0; round < kMaxRounds; ++round) {
    bool changed = false;
    ir::Rewriter rewriter(now);
    for (const Node& node : now.nodes) {
      NodeTypes types(now, node);
      if (has_kernel(table, types.view)) {
        rewriter.copy(node);
        continue;
      }
      if (!node.op->decompose)
        throw_unsupported("interpret: op " + std::string(node.op->name) + " has neither a kernel in table '" +
                          std::string(table.name) + "' nor a decomposition");
      rewriter.builder().set_scope(node.scope);
      rewriter.replace(node, node.op->decompose(rewriter.builder(), types.view, rewriter.map(node.operands)));
      changed = true;
    }
    Graph next = rewriter.finish();
    now = std::move(next);
    if (!changed) return now;
  }
  throw_unsupported("interpret: graph '" + graph.name + "' still has ops to decompose after 32 rounds");
}

Interpreted interpret(const Graph& graph, const Bindings& inputs, const Bindings& states,
                      const KernelTable& table, ThreadPool& pool, const LiveLengths& live) {
  check_lengths(graph, live);
  const Graph expanded = expand_for(graph, table);
  Run run(expanded, table, pool, live);
  for (const ir::Input& i : expanded.inputs)
    run.bind(i.value, bound(inputs, i.name, expanded.type(i.value), "input"));
  for (const ir::State& s : expanded.states)
    run.bind(s.value, bound(states, s.name, expanded.type(s.value), "state"));
  for (const Node& node : expanded.nodes) run.node(node);
  Interpreted out;
  for (const ir::Output& o : expanded.outputs) out.outputs.emplace(o.name, run.value(o.value));
  for (const ir::Update& u : expanded.updates)
    out.updates.emplace(expanded.states[static_cast<size_t>(u.state)].name, run.value(u.value));
  return out;
}

}  // namespace hoist::runtime
