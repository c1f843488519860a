// The interpreter itself, on graphs small enough to work out by hand.
#include <gtest/gtest.h>

#include "base/error.h"
#include "ops/cases.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

namespace hoist::testing {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Type;

HostTensor tensor(const Type& type, std::initializer_list<double> values) {
  HostTensor t(type);
  int64_t i = 0;
  for (double v : values) set(t, i++, v);
  return t;
}

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Interpret, RunsNodesInOrderAndReturnsOutputsAndUpdates) {
  const Type type(DType::f32, {{"n", 3}});
  Graph graph;
  Builder b(graph);
  auto x = b.input("x", type);
  auto s = b.state("total", type, ir::Role::kAccumulator);
  auto sum = ops::add(b, s, x);
  b.update("total", sum);
  b.output("twice", ops::affine(b, sum, 2));
  auto r = runtime::interpret(graph, {{"x", tensor(type, {1, 2, 3})}},
                              {{"total", tensor(type, {10, 20, 30})}}, ref(), test_pool());
  const Tolerance exact = Tolerance::exact();
  EXPECT_EQ(difference(r.updates.at("total"), tensor(type, {11, 22, 33}), &exact), "");
  EXPECT_EQ(difference(r.outputs.at("twice"), tensor(type, {22, 44, 66}), &exact), "");
}

TEST(Interpret, StopsAtTheLengthOfALiveAxis) {
  const Type type(DType::f32, {{"n", 4, true}}), scalar(DType::f32, {});
  Graph graph =
      graph_of({type}, [](Builder& b, const Ids& x) { return Ids{ops::reduce_sum(b, x[0], {"n"})}; });
  const Tensors x{tensor(type, {1, 2, 4, 8})};
  EXPECT_EQ(get(run_graph(graph, x, ref(), {{"n", 3}})[0], 0), 7);
  EXPECT_EQ(get(run_graph(graph, x, ref())[0], 0), 15);
  EXPECT_EQ(message_of([&] {
              run_graph(graph, x, ref(), {{"n", 5}});
            }),
            "interpret: live axis n: found length 5, expected 0..4");
}

TEST(Interpret, NamesWhatIsNotBound) {
  const Type type(DType::f32, {{"n", 3}});
  Graph graph = graph_of({type}, [](Builder& b, const Ids& x) { return Ids{ops::neg(b, x[0])}; });
  EXPECT_EQ(message_of([&] { runtime::interpret(graph, {}, {}, ref(), test_pool()); }),
            "interpret: input 'x0' is not bound");
  EXPECT_EQ(message_of([&] {
              run_graph(graph, {HostTensor(Type(DType::f64, {{"n", 3}}))}, ref());
            }),
            "interpret: input 'x0': found f64[n=3], expected f32[n=3]");
}

TEST(Interpret, DecomposesWhatTheTableLacks) {
  const kernels::KernelTable empty{"empty", {}};
  Graph graph =
      graph_of({Type(DType::f32, {})}, [](Builder& b, const Ids& x) { return Ids{ops::neg(b, x[0])}; });
  EXPECT_EQ(message_of([&] { runtime::expand_for(graph, empty); }),
            "interpret: op neg has neither a kernel in table 'empty' nor a decomposition");
}

}  // namespace
}  // namespace hoist::testing
