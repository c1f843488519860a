// Graph: a whole program (or one rank's program) as a flat, append-only list of nodes over typed values.
//
// Values are ids into a vector; a node's results have consecutive ids. Nothing is edited in place: a pass
// reads one graph and writes another (ir/rewriter.h). Inputs come from the caller of each run. State -
// weights, moments, accumulators, KV pools - is named and outlives a run: it is a source value paired, when
// it changes, with an update. A state's value means what it held when the run began; an op with `in_place`
// consumes it. Not thread-safe; a const Graph may be read from many threads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ir/op.h"
#include "ir/type.h"

namespace hoist::ir {

using NodeId = int32_t;

enum class Role : uint8_t { kParameter, kOptimizer, kAccumulator, kCache, kBuffer };
enum class Tier : uint8_t { kDevice, kHost, kDisk };
const char* role_name(Role role);
const char* tier_name(Tier tier);

// kGlobal: one program, global tensors. kLocal: one rank's shards, explicit collectives. kLowered: local, and
// every op has a kernel in the backend.
enum class Stage : uint8_t { kGlobal, kLocal, kLowered };
const char* stage_name(Stage stage);

struct Node {
  const OpDef* op = nullptr;
  Attrs attrs;
  std::vector<ValueId> operands;
  ValueId first_result = 0;
  int num_results = 0;
  Symbol scope;  // "layers.3.attn": key of randomness, sharding rules and traces
};

struct Value {
  Type type;
  NodeId producer = -1;  // -1: an input or a state
};

struct Input {
  std::string name;
  ValueId value;
};
struct State {
  std::string name;
  Role role = Role::kParameter;
  bool wants_grad = false;
  Tier tier = Tier::kDevice;
  ValueId value;
};
struct Output {
  std::string name;
  ValueId value;
};
struct Update {
  int state;  // index into states
  ValueId value;
};

class Graph {
 public:
  std::string name = "graph";
  Stage stage = Stage::kGlobal;
  std::vector<Node> nodes;
  std::vector<Value> values;
  std::vector<Input> inputs;
  std::vector<State> states;
  std::vector<Output> outputs;
  std::vector<Update> updates;

  const Type& type(ValueId v) const { return values[v].type; }
  // Index into states, or -1.
  int find_state(std::string_view name) const;
  int find_input(std::string_view name) const;
  int find_output(std::string_view name) const;
  // Which state this value is the source of, or -1 (linear in the number of states).
  int state_of(ValueId v) const;
};

// Types of a node's operands and results, held long enough to look at.
struct NodeTypes {
  std::vector<Type> operands, results;
  OpView view;
  NodeTypes(const Graph& graph, const Node& node);
  NodeTypes(const NodeTypes&) = delete;
};

// Appends to a graph. Every emit() infers types; an ill-typed call throws Error led by the op's name.
class Builder {
 public:
  explicit Builder(Graph& graph) : graph_(graph) {}
  Graph& graph() { return graph_; }
  const Type& type(ValueId v) const { return graph_.values[v].type; }

  ValueId input(std::string name, const Type& type);
  ValueId state(std::string name, const Type& type, Role role, bool wants_grad = false,
                Tier tier = Tier::kDevice);
  void output(std::string name, ValueId value);
  void update(int state_index, ValueId value);
  void update(std::string_view state_name, ValueId value);

  std::vector<ValueId> emit(const OpDef& op, const Attrs& attrs, std::span<const ValueId> operands);
  // For ops with one result.
  ValueId emit1(const OpDef& op, const Attrs& attrs, std::initializer_list<ValueId> operands);

  // Scopes nest: push("layers.3") then push("attn") gives "layers.3.attn".
  void push_scope(std::string_view name);
  void pop_scope();
  void set_scope(Symbol scope) { scope_ = scope; }
  Symbol scope() const { return scope_; }

 private:
  Graph& graph_;
  Symbol scope_;
  std::vector<Symbol> stack_;
};

// Enters a scope for the lifetime of this object.
class ScopeGuard {
 public:
  ScopeGuard(Builder& b, std::string_view name) : b_(b) { b_.push_scope(name); }
  ~ScopeGuard() { b_.pop_scope(); }
  ScopeGuard(const ScopeGuard&) = delete;

 private:
  Builder& b_;
};

// ---- text form, hash, checks
// -------------------------------------------------------------------------------

// The op named so, or nullptr. Handed to parse() by the layer that knows the op table.
using OpLookup = const OpDef* (*)(std::string_view name);

// One line per input, state, node, output and update; docs/graph_text.md is the grammar.
std::string print(const Graph& graph);
// Reads back exactly what print writes. Throws Error(kInvalidArgument) with the line number. Linear in the
// text; at most 2^22 lines.
Graph parse(std::string_view text, OpLookup lookup);
// 128 bits of the printed form, as 32 hex digits; equal on every machine.
std::string hash(const Graph& graph);

// Throws Error naming the node if the graph is not legal at `stage`. `has_kernel` is asked at kLowered only.
void verify(const Graph& graph, Stage stage, bool (*has_kernel)(const void* context, const OpView&) = nullptr,
            const void* context = nullptr);

}  // namespace hoist::ir
