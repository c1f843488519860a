#include "passes/partition.h"

#include <map>

#include "base/error.h"
#include "ops/collectives.h"
#include "ops/monoids.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace hoist::passes {

using ir::AxisKind;
using ir::AxisRule;
using ir::Builder;
using ir::Graph;
using ir::Node;
using ir::Type;
using ir::ValueId;

namespace {

class Partitioner {
 public:
  Partitioner(const Graph& graph, const Strategy& strategy, int rank)
      : from_(graph),
        strategy_(strategy),
        coords_(strategy.coordinates(rank)),
        b_(to_),
        local_(graph.values.size(), -1),
        sharding_(graph.values.size()) {}

  Partitioned run() {
    to_.name = from_.name;
    to_.stage = ir::Stage::kLocal;
    sources();
    for (const Node& node : from_.nodes) rewrite(node);
    for (const ir::Output& o : from_.outputs) b_.output(o.name, resharded(o.value, replicated(o.value)));
    for (const ir::Update& u : from_.updates)
      b_.update(u.state, resharded(u.value, sharding_[from_.states[static_cast<size_t>(u.state)].value]));
    for (const ir::Input& i : from_.inputs) result_.inputs.push_back(sharding_[i.value]);
    for (const ir::State& s : from_.states) result_.states.push_back(sharding_[s.value]);
    result_.graph = std::move(to_);
    return std::move(result_);
  }

 private:
  int mesh_size(int m) const { return strategy_.mesh[static_cast<size_t>(m)].size; }

  Sharding replicated(ValueId v) const {
    Sharding s;
    for (int i = 0; i < from_.type(v).rank(); ++i) s.push_back(-1);
    return s;
  }

  Type local_type(const Type& whole, const Sharding& sharding) const {
    Type t = whole;
    for (int i = 0; i < t.rank(); ++i)
      if (sharding[i] >= 0) t.dims[i].size /= mesh_size(sharding[i]);
    return t;
  }

  bool matches(const ShardRule& rule, std::string_view scope, std::string_view role) const {
    return (rule.role.name() == "any" || rule.role.name() == role) &&
           (rule.scope.empty() || scope.find(rule.scope) != std::string_view::npos);
  }

  Sharding declared(const Type& type, std::string_view name, std::string_view role) const {
    Sharding s;
    uint64_t used = 0;
    for (int i = 0; i < type.rank(); ++i) s.push_back(-1);
    for (const ShardRule& rule : strategy_.rules) {
      int dim = type.find(rule.axis), m = strategy_.find_mesh(rule.mesh);
      if (dim < 0 || s[dim] >= 0 || (used >> m & 1) || !matches(rule, name, role)) continue;
      if (type.dims[dim].live && mesh_size(m) > 1)
        throw_invalid("partition: axis " + rule.axis.str() + " of '" + std::string(name) +
                      "' is live: its length is known in each run only, so it can not be split");
      if (type.dims[dim].size % mesh_size(m))
        throw_invalid("partition: axis " + rule.axis.str() + " of '" + std::string(name) + "' has size " +
                      std::to_string(type.dims[dim].size) + ", which does not divide by the " +
                      std::to_string(mesh_size(m)) + " ranks of mesh dimension " + rule.mesh.str());
      s[dim] = static_cast<int8_t>(m);
      used |= uint64_t{1} << m;
    }
    return s;
  }

  void sources() {
    size_t input = 0, state = 0;
    while (input < from_.inputs.size() || state < from_.states.size()) {
      bool take_input =
          state == from_.states.size() ||
          (input < from_.inputs.size() && from_.inputs[input].value < from_.states[state].value);
      if (take_input) {
        const ir::Input& i = from_.inputs[input++];
        sharding_[i.value] = declared(from_.type(i.value), i.name, "activation");
        local_[i.value] = b_.input(i.name, local_type(from_.type(i.value), sharding_[i.value]));
      } else {
        const ir::State& s = from_.states[state++];
        sharding_[s.value] = declared(from_.type(s.value), s.name, "parameter");
        local_[s.value] = b_.state(s.name, local_type(from_.type(s.value), sharding_[s.value]), s.role,
                                   s.wants_grad, s.tier);
      }
    }
  }

  // Which mesh dimension splits each rule axis of a node (-1: none).
  std::vector<int> assign(const Node& node, const std::vector<AxisRule>& rules) const {
    std::vector<int> axis_mesh(rules.size(), -1);
    uint64_t used = 0;
    for (const ShardRule& rule : strategy_.rules) {
      int m = strategy_.find_mesh(rule.mesh);
      if ((used >> m & 1) || mesh_size(m) == 1) continue;
      for (size_t a = 0; a < rules.size(); ++a) {
        const AxisRule& r = rules[a];
        if (!(r.axis == rule.axis) || axis_mesh[a] >= 0 || !divisible(r, m)) continue;
        if (!matches(rule, node.scope.name(), "activation")) continue;
        axis_mesh[a] = m;
        used |= uint64_t{1} << m;
        break;
      }
    }
    return axis_mesh;
  }

  bool divisible(const AxisRule& r, int m) const {
    if (!r.splittable() || r.extent % (mesh_size(m) * r.grain)) return false;
    for (const ir::ResultRule& rr : r.result)
      if (rr.kind == AxisKind::kScan || rr.kind == AxisKind::kWindow) return false;  // need carries and halos
    return true;
  }

  static Sharding sharding_for(const Type& type, const std::vector<AxisRule>& rules,
                               const std::vector<int>& mesh, size_t index, bool operand) {
    Sharding s;
    for (int i = 0; i < type.rank(); ++i) s.push_back(-1);
    for (size_t a = 0; a < rules.size(); ++a) {
      if (mesh[a] < 0) continue;
      int dim = operand ? rules[a].operand_dim[static_cast<int>(index)]
                        : rules[a].result_dim[static_cast<int>(index)];
      if (dim >= 0) s[dim] = static_cast<int8_t>(mesh[a]);
    }
    return s;
  }

  void rewrite(const Node& node) {
    ir::NodeTypes types(from_, node);
    std::vector<AxisRule> rules = ir::axis_rules(types.view);
    std::vector<int> mesh = assign(node, rules);
    b_.set_scope(node.scope);

    std::vector<ValueId> operands;
    for (size_t k = 0; k < node.operands.size(); ++k)
      operands.push_back(resharded(node.operands[k], sharding_for(types.operands[k], rules, mesh, k, true)));

    ir::Attrs attrs = node.attrs;
    const AxisRule* phased = nullptr;
    int phased_mesh = -1;
    for (size_t a = 0; a < rules.size(); ++a) {
      if (mesh[a] < 0) continue;
      int64_t piece = rules[a].extent / mesh_size(mesh[a]);
      if (rules[a].set_base) rules[a].set_base(attrs, piece * coords_[static_cast<size_t>(mesh[a])]);
      if (rules[a].set_extent) rules[a].set_extent(attrs, piece);
      if (rules[a].phased) {
        HOIST_CHECK(!phased, std::string(node.op->name) + ": two phased axes split at once");
        phased = &rules[a];
        phased_mesh = mesh[a];
      }
    }

    std::vector<ValueId> results;
    if (phased) {
      std::vector<Type> local_types;
      for (ValueId v : operands) local_types.push_back(b_.type(v));
      ir::OpView piece{node.op, &attrs, local_types, {}};
      std::vector<ValueId> partial = phased->phased->partial(b_, piece, operands);
      combine(*phased->phased->monoid, phased_mesh, partial);
      results = phased->phased->finish(b_, piece, operands, partial, phased->extent);
    } else {
      results = b_.emit(*node.op, attrs, operands);
    }
    for (size_t a = 0; a < rules.size(); ++a) {
      if (mesh[a] < 0 || &rules[a] == phased) continue;
      for (int r = 0; r < node.num_results; ++r) {
        const ir::ResultRule& rule = rules[a].result[r];
        if (rule.kind != AxisKind::kMerge || rule.tuple != r) continue;
        std::vector<ValueId> tuple(results.begin() + r, results.begin() + r + rule.monoid->arity);
        combine(*rule.monoid, mesh[a], tuple);
        std::copy(tuple.begin(), tuple.end(), results.begin() + r);
      }
    }
    for (int r = 0; r < node.num_results; ++r) {
      ValueId old = node.first_result + r;
      local_[old] = results[static_cast<size_t>(r)];
      sharding_[old] =
          sharding_for(types.results[static_cast<size_t>(r)], rules, mesh, static_cast<size_t>(r), false);
    }
  }

  // Combines partial tuples across a mesh dimension, in rank order (which is index order).
  void combine(const ir::Monoid& monoid, int m, std::vector<ValueId>& tuple) {
    const MeshDim& mesh = strategy_.mesh[static_cast<size_t>(m)];
    if (&monoid == &ops::kSum || &monoid == &ops::kMax) {
      tuple[0] = ops::all_reduce(b_, tuple[0], {mesh.name, Symbol(monoid.name)});
      return;
    }
    // No collective of its own: gather the partials along a new axis and fold them.
    const ir::Axis axis = Symbol("partial");
    std::vector<ValueId> gathered;
    for (ValueId v : tuple) gathered.push_back(ops::all_gather(b_, v, {mesh.name, mesh.size, axis}));
    auto part = [&](int r) {
      std::vector<ValueId> out;
      for (ValueId v : gathered) out.push_back(ops::reduce_sum(b_, ops::slice(b_, v, axis, r, 1), {axis}));
      return out;
    };
    tuple = part(0);
    for (int r = 1; r < mesh.size; ++r) tuple = monoid.combine(b_, tuple, part(r));
  }

  ValueId resharded(ValueId old, const Sharding& want) {
    const Sharding& have = sharding_[old];
    if (have == want) return local_[old];
    std::string key = std::to_string(old);
    for (int8_t m : want) key += ',' + std::to_string(m);
    if (auto it = reshards_.find(key); it != reshards_.end()) return it->second;
    ValueId v = local_[old];
    const Type& whole = from_.type(old);
    for (int i = 0; i < whole.rank(); ++i) {
      if (have[i] == want[i] || have[i] < 0) continue;
      const MeshDim& mesh = strategy_.mesh[static_cast<size_t>(have[i])];
      v = ops::all_gather(b_, v, {mesh.name, mesh.size, whole.dims[i].axis});
    }
    for (int i = 0; i < whole.rank(); ++i) {
      if (have[i] == want[i] || want[i] < 0) continue;
      int64_t piece = whole.dims[i].size / mesh_size(want[i]);
      v = ops::slice(b_, v, whole.dims[i].axis, piece * coords_[static_cast<size_t>(want[i])], piece);
    }
    reshards_.emplace(key, v);
    return v;
  }

  const Graph& from_;
  const Strategy& strategy_;
  std::vector<int> coords_;
  Graph to_;
  Builder b_;
  std::vector<ValueId> local_;
  std::vector<Sharding> sharding_;
  std::map<std::string, ValueId> reshards_;
  Partitioned result_;
};

}  // namespace

Box shard_box(const Type& whole, const Sharding& sharding, const Strategy& strategy, int rank) {
  std::vector<int> coords = strategy.coordinates(rank);
  Box box;
  for (int i = 0; i < whole.rank(); ++i) {
    int m = sharding[i];
    int64_t length =
        m < 0 ? whole.dims[i].size : whole.dims[i].size / strategy.mesh[static_cast<size_t>(m)].size;
    box.length.push_back(length);
    box.offset.push_back(m < 0 ? 0 : length * coords[static_cast<size_t>(m)]);
  }
  return box;
}

Partitioned partition(const Graph& graph, const Strategy& strategy, int rank) {
  return Partitioner(graph, strategy, rank).run();
}

}  // namespace hoist::passes
