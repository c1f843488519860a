// States that plans share, and plans kept by the graph they come from.
#include "runtime/state.h"

#include <gtest/gtest.h>

#include "ops/elementwise.h"
#include "ops/tensors.h"
#include "plan/programs.h"
#include "runtime/plan_cache.h"

namespace hoist::testing {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Role;
using ir::Type;

const Type kRow(DType::f32, {{"n", 5}});

plan::Plan plan_of(const std::string& name, const Type& type, Role role = Role::kParameter) {
  Graph g;
  g.name = "p";
  Builder b(g);
  b.output("y", ops::exp(b, b.state(name, type, role)));
  return build_plan(g).plan;
}

TEST(StateStore, StatesAreZeroAlignedAndShared) {
  auto device = device::make_cpu_device();
  runtime::StateStore store(*device);
  const plan::Plan first = plan_of("a", kRow), second = plan_of("b", kRow);
  store.declare(first);
  store.declare(second);
  std::byte* a = store.data("a");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a) % 64, 0u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(a[i], std::byte{0});
  store.declare(first);  // again: it stays where it is
  EXPECT_EQ(store.data("a"), a);
  EXPECT_EQ(store.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(store.role("a"), Role::kParameter);
  EXPECT_EQ(store.bytes(), 128);
  EXPECT_EQ(store.bytes(), device->stats().bytes_now);
}

TEST(StateStore, NeighboursDoNotOverlap) {
  const Graph graph = models::serve_graph(tiny_config(io::Family::kGpt2, 3), tiny_serve_shape());
  const plan::Plan plan = build_plan(graph).plan;
  auto device = device::make_null_device();
  runtime::StateStore store(*device);
  store.declare(plan);
  std::map<std::byte*, int64_t> spans;
  for (const plan::StateSlot& s : plan.states) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(store.data(s.name)) % 64, 0u) << s.name;
    EXPECT_TRUE(spans.emplace(store.data(s.name), s.type.bytes()).second) << s.name;
  }
  std::byte* end = nullptr;
  for (auto [at, bytes] : spans) {
    EXPECT_GE(at, end);
    end = at + bytes;
  }
}

TEST(StateStore, RefusesAStateOfAnotherType) {
  auto device = device::make_cpu_device();
  runtime::StateStore store(*device);
  store.declare(plan_of("a", kRow));
  EXPECT_EQ(error_of([&] {
              store.declare(plan_of("a", Type(DType::f32, {{"n", 6}})));
            }),
            "state 'a': plan 'p' expects f32[n=6], but it exists as f32[n=5]");
  EXPECT_EQ(error_of([&] { store.declare(plan_of("a", kRow.with_dtype(DType::bf16))); }),
            "state 'a': plan 'p' expects bf16[n=5], but it exists as f32[n=5]");
  EXPECT_EQ(error_of([&] { store.view("c"); }), "no state named 'c'");
  EXPECT_EQ(store.bytes(), 64);
}

TEST(PlanCache, OnePlanPerGraphRankAndStrategy) {
  runtime::PlanCache cache(cpu(), {});
  const io::ModelConfig c = tiny_config(io::Family::kLlama);
  const Graph two = models::train_graph(c, {2, 4}), four = models::train_graph(c, {4, 4});
  const plan::Built& a = cache.get(two);
  EXPECT_EQ(&cache.get(models::train_graph(c, {2, 4})), &a);
  EXPECT_NE(&cache.get(four), &a);
  const passes::Strategy split = passes::data_and_tensor_parallel(2, 1);
  const plan::Built &r0 = cache.get(two, split, 0), &r1 = cache.get(two, split, 1);
  EXPECT_NE(&r0, &a);
  EXPECT_NE(&r0, &r1);
  EXPECT_EQ(&cache.get(two, split, 1), &r1);
  EXPECT_EQ(cache.hits(), 2);
  EXPECT_EQ(cache.misses(), 4);
  EXPECT_EQ(a.plan.graph_hash.size(), 32u);
}

TEST(PlanCache, AFailedBuildIsNotKept) {
  runtime::PlanCache cache(cpu(), {});
  const Graph graph = models::train_graph(tiny_config(io::Family::kLlama), {2, 4});
  const passes::Strategy split = passes::data_and_tensor_parallel(3, 1);
  for (int i = 0; i < 2; ++i)
    EXPECT_NE(error_of([&] { cache.get(graph, split, 0); }).find("does not divide"), std::string::npos);
  EXPECT_EQ(cache.hits(), 0);
  EXPECT_EQ(cache.misses(), 0);
}

}  // namespace
}  // namespace hoist::testing
