#include "plan/compile.h"

#include <algorithm>

#include "base/error.h"
#include "plan/staging.h"

namespace hoist::plan {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::ValueId;

namespace {

// Which storage each value lives in. Views and in-place results share their operand's; an elementwise result
// may take over an operand that dies there; an update may be written straight into its state.
class StorageMap {
 public:
  explicit StorageMap(const Graph& g)
      : g_(g),
        storage_(g.values.size(), -1),
        last_read_(g.values.size(), -1),
        written_through_(g.values.size(), 0) {
    for (const ir::State& s : g.states) source(s.value);
    for (const ir::Input& i : g.inputs) source(i.value);
    for (size_t n = 0; n < g.nodes.size(); ++n)
      for (ValueId v : g.nodes[n].operands) last_read_[v] = static_cast<int>(n);
    const int end = static_cast<int>(g.nodes.size());
    for (const ir::Output& o : g.outputs) last_read_[o.value] = end;
    for (const ir::Update& u : g.updates) last_read_[u.value] = end;
    // A view keeps its operand alive.
    for (size_t n = g.nodes.size(); n-- > 0;) {
      const Node& node = g.nodes[n];
      if (node.op->view)
        last_read_[node.operands[0]] = std::max(last_read_[node.operands[0]], last_read_[node.first_result]);
    }
    for (const ir::Update& u : g.updates) {
      const ValueId state = g.states[static_cast<size_t>(u.state)].value;
      written_through_[state] = root(u.value) == state;
      plan_direct_update(u);
    }
    for (size_t n = 0; n < g.nodes.size(); ++n) place(static_cast<int>(n));
  }

  int of(ValueId v) const { return storage_[v]; }
  std::vector<Storage> storages;
  // Storage number -> the state or input it is, or kNoValue for arena storage.
  std::vector<ValueId> owner;
  // (result, operand index) of in-place ops on what they may not overwrite: the operand is copied to the
  // result's storage first.
  std::vector<std::pair<ValueId, int>> copied_operands;
  int fresh(int64_t bytes, ValueId source) {
    storages.push_back({bytes, 0, 0});
    owner.push_back(source);
    return static_cast<int>(storages.size()) - 1;
  }

 private:
  void source(ValueId v) {
    storage_[v] = fresh(0, v);
    storages.back().in_arena = false;
  }

  // The value whose storage `v` would share if every in-place op wrote through.
  ValueId root(ValueId v) const {
    for (ir::NodeId n = g_.values[v].producer; n >= 0; n = g_.values[v].producer) {
      const Node& node = g_.nodes[static_cast<size_t>(n)];
      const int r = v - node.first_result;
      const int in_place = r < node.op->in_place.size() ? node.op->in_place[r] : -1;
      if (!node.op->view && in_place < 0) break;
      v = node.operands[node.op->view ? 0 : static_cast<size_t>(in_place)];
    }
    return v;
  }
  // A state may be overwritten if what it becomes is what in-place ops made of it. An input never.
  bool may_overwrite(int s) const {
    const ValueId source = owner[static_cast<size_t>(s)];
    return source == kNoValue || written_through_[source] != 0;
  }

  // An update whose value is made after the state's last read can be written straight into the state.
  void plan_direct_update(const ir::Update& u) {
    ValueId state = g_.states[static_cast<size_t>(u.state)].value;
    ir::NodeId producer = g_.values[u.value].producer;
    if (producer < 0) return;
    const Node& node = g_.nodes[static_cast<size_t>(producer)];
    if (node.op->view) return;
    int r = u.value - node.first_result;
    if (r < node.op->in_place.size() && node.op->in_place[r] >= 0) return;  // lives where its operand does
    int last = last_read_[state];
    bool reads_here = std::find(node.operands.begin(), node.operands.end(), state) != node.operands.end();
    if (last < producer || (last == producer && reads_here && node.op->elementwise))
      direct_.push_back({u.value, state});
  }

  void place(int n) {
    const Node& node = g_.nodes[static_cast<size_t>(n)];
    for (int r = 0; r < node.num_results; ++r) {
      ValueId v = node.first_result + r;
      if (node.op->view) {
        storage_[v] = storage_[node.operands[0]];
        continue;
      }
      if (r < node.op->in_place.size() && node.op->in_place[r] >= 0) {
        const int operand = node.op->in_place[r];
        storage_[v] = storage_[node.operands[static_cast<size_t>(operand)]];
        if (!may_overwrite(storage_[v])) {
          storage_[v] = fresh(g_.type(v).bytes(), kNoValue);
          storages.back().first_use = storages.back().last_use = n;
          copied_operands.push_back({v, operand});
        }
        continue;
      }
      auto direct = std::find_if(direct_.begin(), direct_.end(), [&](auto& d) { return d.first == v; });
      if (direct != direct_.end()) {
        storage_[v] = storage_[direct->second];
        continue;
      }
      if (r == 0 && node.op->elementwise)
        if (int s = takes_over(n, node, v); s >= 0) {
          storage_[v] = s;
          touch(s, n);
          continue;
        }
      storage_[v] = fresh(g_.type(v).bytes(), kNoValue);
      storages.back().first_use = storages.back().last_use = n;
    }
    for (ValueId v : node.operands) touch(storage_[v], n);
    for (int r = 0; r < node.num_results; ++r)
      touch(storage_[node.first_result + r], std::max(n, last_read_[node.first_result + r]));
  }

  int takes_over(int n, const Node& node, ValueId result) const {
    for (ValueId v : node.operands) {
      int s = storage_[v];
      if (!storages[static_cast<size_t>(s)].in_arena) continue;
      if (storages[static_cast<size_t>(s)].last_use > n || last_read_[v] != n) continue;
      if (g_.type(v) == g_.type(result)) return s;
    }
    return -1;
  }

  void touch(int s, int n) {
    Storage& st = storages[static_cast<size_t>(s)];
    st.last_use = std::max(st.last_use, n);
  }

  const Graph& g_;
  std::vector<int> storage_;
  std::vector<int>
      last_read_;  // node number of a value's last reader; nodes.size() if read at the end; -1 never
  std::vector<uint8_t> written_through_;  // of a state's source value: in-place ops make its update of it
  std::vector<std::pair<ValueId, ValueId>> direct_;
};

Instruction copy(const Tensor& from, const Tensor& to, Symbol scope) {
  Instruction ins;
  ins.op = nullptr;
  ins.scope = scope;
  ins.operands.push_back(from);
  ins.results.push_back(to);
  return ins;
}

}  // namespace

Plan compile(const Graph& g, const kernels::KernelTable& table, const CompileOptions& options) {
  HOIST_CHECK(g.stage == ir::Stage::kLowered, "compile expects a lowered graph");
  Plan plan;
  plan.name = g.name;
  plan.graph_hash = ir::hash(g);
  plan.threads = options.threads;
  for (const ir::State& s : g.states) plan.states.push_back({s.name, g.type(s.value), s.role, s.tier});
  for (const ir::Input& i : g.inputs) plan.inputs.push_back({i.name, g.type(i.value)});

  StorageMap map(g);
  std::vector<int> state_index(g.values.size(), -1), input_index(g.values.size(), -1);
  for (size_t i = 0; i < g.states.size(); ++i) state_index[g.states[i].value] = static_cast<int>(i);
  for (size_t i = 0; i < g.inputs.size(); ++i) input_index[g.inputs[i].value] = static_cast<int>(i);

  // Refs hold storage numbers until offsets are known.
  auto tensor = [&](ValueId v) {
    Tensor t;
    t.type = g.type(v);
    int s = map.of(v);
    ValueId owner = map.owner[static_cast<size_t>(s)];
    if (owner == kNoValue) {
      t.ref.index = s;
    } else if (state_index[owner] >= 0) {
      t.ref = {Space::kState, state_index[owner]};
    } else {
      t.ref = {Space::kInput, input_index[owner]};
    }
    return t;
  };
  for (size_t n = 0; n < g.nodes.size(); ++n) {
    const Node& node = g.nodes[n];
    if (node.op->view) continue;
    ir::NodeTypes types(g, node);
    Instruction ins;
    ins.op = node.op;
    ins.attrs = node.attrs;
    ins.scope = node.scope;
    for (ValueId v : node.operands) ins.operands.push_back(tensor(v));
    for (int r = 0; r < node.num_results; ++r) ins.results.push_back(tensor(node.first_result + r));
    for (const auto& [result, operand] : map.copied_operands)
      if (result >= node.first_result && result < node.first_result + node.num_results) {
        Tensor& from = ins.operands[static_cast<size_t>(operand)];
        Tensor to = from;
        to.ref = tensor(result).ref;
        plan.instructions.push_back(copy(from, to, node.scope));
        from = to;
      }
    if (!node.op->collective) {
      ins.kernel = table.find(types.view);
      if (!ins.kernel) ir::op_error(types.view, "the " + std::string(table.name) + " backend has no kernel");
      if (ins.kernel->prepare) ins.kernel->prepare(types.view, ins.prepared);
      if (ins.kernel->workspace) ins.workspace_bytes = ins.kernel->workspace(types.view, options.threads);
      if (ins.workspace_bytes > 0) {
        Storage w;
        w.bytes = ins.workspace_bytes;
        w.first_use = w.last_use = static_cast<int>(n);
        ins.workspace.index = static_cast<int>(map.storages.size());
        map.storages.push_back(w);
        map.owner.push_back(kNoValue);
      }
    }
    plan.instructions.push_back(std::move(ins));
  }
  // Updates that could not be written in place are copied once everything has been read. What still needs a
  // state that is about to be overwritten - an output, another state - is moved aside before.
  std::vector<std::pair<Tensor, Tensor>> late;
  for (const ir::Update& u : g.updates) {
    Tensor from = tensor(u.value), to = from;
    to.ref = {Space::kState, u.state};
    if (!(from.ref == to.ref)) late.push_back({from, to});
  }
  const Symbol update_scope("update");
  const int end = static_cast<int>(g.nodes.size());
  std::vector<int> aside(g.states.size(), -1);  // storage that holds what the state held
  auto overwritten = [&](const Ref& ref) {
    return std::any_of(late.begin(), late.end(), [&](const auto& l) { return l.second.ref == ref; });
  };
  auto saved = [&](Tensor t) {
    if (t.ref.space != Space::kState || !overwritten(t.ref)) return t;
    int& storage = aside[static_cast<size_t>(t.ref.index)];
    Tensor there = t;
    if (storage < 0) {
      storage = map.fresh(t.type.bytes(), kNoValue);
      map.storages.back().first_use = map.storages.back().last_use = end;
      there.ref = {Space::kArena, storage};
      plan.instructions.push_back(copy(t, there, update_scope));
    }
    there.ref = {Space::kArena, storage};
    return there;
  };
  for (auto& [from, to] : late) from = saved(from);
  for (const ir::Output& o : g.outputs) plan.outputs.push_back({o.name, saved(tensor(o.value))});
  for (const auto& [from, to] : late) plan.instructions.push_back(copy(from, to, update_scope));

  if (options.memory > 0) {
    stage(plan, map.storages, {options.memory, options.least_moved});
    return plan;
  }
  plan.arena_bytes = assign_offsets(map.storages, options.reuse_memory);
  auto settle = [&](Ref& ref) {
    if (ref.space != Space::kArena) return;
    ref.offset = map.storages[static_cast<size_t>(ref.index)].offset;
    ref.index = 0;
  };
  for (Instruction& ins : plan.instructions) {
    for (Tensor& t : ins.operands) settle(t.ref);
    for (Tensor& t : ins.results) settle(t.ref);
    if (ins.workspace_bytes > 0) settle(ins.workspace);
  }
  for (OutputSlot& o : plan.outputs) settle(o.tensor.ref);
  if (options.roll_repeats) roll_repeats(plan);
  return plan;
}

}  // namespace hoist::plan
