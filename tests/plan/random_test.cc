// Random programs - views, chains, in-place ops, states that read one another - run as the interpreter says,
// whatever storage the plan gives them.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/paged.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "plan/programs.h"

namespace hoist::testing {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Role;
using ir::Type;
using ir::ValueId;

// Pools of values by type. Values that an in-place op consumed are taken out, as `verify` demands.
struct Generator {
  Graph graph;
  Builder b{graph};
  CounterRng rng;
  uint64_t at = 0;
  const Type square{DType::f32, {{"n", 4}, {"m", 4}}}, flat{DType::f32, {{"nm", 16}}},
      row{DType::f32, {{"m", 4}}};
  const Type pool{DType::f32, {{"blocks", 3}, {"block", 4}, {"kv_heads", 1}, {"head_dim", 2}}};
  std::vector<ValueId> squares, flats, rows, pools;
  ValueId tokens, slots;

  explicit Generator(uint64_t seed) : rng(seed, 23) {
    squares = {b.input("x", square), b.state("s", square, Role::kBuffer),
               b.state("t", square, Role::kBuffer)};
    rows = {b.input("r", row), b.state("u", row, Role::kBuffer)};
    pools = {b.input("p", pool), b.state("c", pool, Role::kCache), b.state("d", pool, Role::kCache)};
    tokens = b.input("k", Type(DType::f32, {{"tokens", 12}, {"kv_heads", 1}, {"head_dim", 2}}));
    slots = b.input("slots", Type(DType::i32, {{"tokens", 12}}));
  }
  size_t below(size_t n) { return static_cast<size_t>(rng.below(at++, n)); }
  ValueId any(const std::vector<ValueId>& list) { return list[below(list.size())]; }

  // Everything that shares the storage of `v` through views is gone once `v` is overwritten; pools have no
  // views here.
  ValueId take_pool() {
    const size_t i = below(pools.size());
    const ValueId v = pools[i];
    pools.erase(pools.begin() + static_cast<std::ptrdiff_t>(i));
    return v;
  }

  void grow() {
    const ValueId p = any(squares), q = any(squares), v = any(rows);
    switch (below(14)) {
      case 0: squares.push_back(ops::add(b, p, q)); break;
      case 1: squares.push_back(ops::mul(b, p, v)); break;
      case 2: squares.push_back(ops::tanh(b, p)); break;
      case 3: squares.push_back(ops::softmax(b, p, "m")); break;
      case 4: rows.push_back(ops::reduce_sum(b, p, {"n"})); break;
      case 5: rows.push_back(ops::affine(b, v, 0.5, 0.25)); break;
      case 6: flats.push_back(ops::merge_axes(b, p, {"n", "m"}, "nm")); break;
      case 7:
        if (!flats.empty())
          squares.push_back(ops::split_axis(b, ops::sigmoid(b, any(flats)), "nm", {"n", "m"}, {4, 4}));
        break;
      case 8:
        if (!flats.empty()) squares.push_back(ops::split_axis(b, any(flats), "nm", {"n", "m"}, {4, 4}));
        break;
      case 9:
        squares.push_back(
            ops::contract(b, p, ops::rename(b, q, {"n", "m"}, {"m", "k"}), {"n", "k"}, DType::f32));
        squares.back() = ops::tanh(b, ops::rename(b, squares.back(), {"k"}, {"m"}));
        break;
      case 10: squares.push_back(ops::select(b, p, q, any(squares))); break;
      case 11: pools.push_back(ops::add(b, any(pools), any(pools))); break;
      default:
        if (pools.size() > 2) pools.push_back(ops::kv_write(b, take_pool(), tokens, slots));
    }
  }

  Graph finish() {
    for (size_t n = 8 + below(30); n > 0; --n) grow();
    // Updates of some states by anything of their type: new values, old ones, one another's.
    for (const char* name : {"s", "t"})
      if (below(4)) b.update(name, any(squares));
    if (below(2)) b.update("u", any(rows));
    for (const char* name : {"c", "d"})
      if (below(4)) b.update(name, any(pools));
    for (int i = 0; i < 3; ++i) b.output("q" + std::to_string(i), any(squares));
    b.output("r", any(rows));
    b.output("p", any(pools));
    if (!flats.empty()) b.output("f", any(flats));
    return std::move(graph);
  }
};

TEST(RandomPrograms, RunAsInterpreted) {
  ThreadPool pool{ThreadPoolOptions{1}};
  int copies = 0;
  for (uint64_t seed = 0; seed < 800; ++seed) {
    SCOPED_TRACE(seed);
    const Graph graph = Generator(seed).finish();
    ir::verify(graph, ir::Stage::kGlobal);
    const Bindings inputs = draw_inputs(graph, seed), states = draw_states(graph, seed + 1);
    const auto first = runtime::interpret(graph, inputs, states, kernels::ref_table(), pool);
    Bindings want = states;
    for (const auto& [name, t] : first.updates) want.at(name) = t;

    passes::PassRunner runner({});
    const passes::KernelOracle oracle{
        [](const void*, const ir::OpView& v) { return kernels::ref_table().find(v) != nullptr; }, nullptr};
    const Graph lowered = passes::local_passes(graph, {}, 0, oracle, runner).graph;
    for (bool plain : {false, true}) {
      plan::CompileOptions options;
      options.reuse_memory = options.roll_repeats = !plain;
      const plan::Plan plan = plan::compile(lowered, kernels::ref_table(), options);
      for (const plan::Instruction& i : plan.instructions) copies += !i.op;
      RunOptions run;
      const Ran got = run_plan(plan, inputs, states, run);
      const double rounding = 1e-5;  // fused affine maps and casts
      expect_equal_values(got.outputs, first.outputs, &rounding);
      expect_equal_values(got.states, want, &rounding);
    }
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << ir::print(graph);
      break;
    }
  }
  EXPECT_GT(copies, 500) << "the programs are to need copies now and then";
}

}  // namespace
}  // namespace hoist::testing
