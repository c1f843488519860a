// Gradients of whole graphs, against finite differences in f64.
#include "passes/autodiff.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "ops/constants.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/tensors.h"
#include "plan/programs.h"

namespace hoist::testing {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Role;
using ir::Type;
using ir::ValueId;

runtime::Interpreted evaluate(const Graph& graph, const Bindings& inputs, const Bindings& states) {
  static ThreadPool pool{ThreadPoolOptions{1}};  // making one looks at the machine, which takes a while
  return runtime::interpret(graph, inputs, states, kernels::ref_table(), pool);
}

// d(loss)/d(element) by central differences, against the outputs "grad.*".
void expect_gradients(const Graph& graph, const Bindings& inputs, const Bindings& states, double tolerance) {
  const Graph with = passes::autodiff(graph, "loss");
  ir::verify(with, ir::Stage::kGlobal);
  const Bindings got = evaluate(with, inputs, states).outputs;
  for (const ir::State& s : graph.states) {
    const std::string name = passes::grad_name(s.name);
    if (!s.wants_grad) {
      EXPECT_EQ(got.count(name), 0u) << name;
      continue;
    }
    ASSERT_EQ(got.count(name), 1u) << name;
    const HostTensor& grad = got.at(name);
    EXPECT_EQ(grad.type.dims, graph.type(s.value).dims) << name;
    for (int64_t i = 0; i < grad.type.elements(); ++i) {
      const double step = 1e-5;
      Bindings moved = states;
      auto loss = [&](double by) {
        set(moved.at(s.name), i, get(states.at(s.name), i) + by);
        return get(evaluate(graph, inputs, moved).outputs.at("loss"), 0);
      };
      const double want = (loss(step) - loss(-step)) / (2 * step);
      EXPECT_NEAR(get(grad, i), want, tolerance * (1 + std::abs(want))) << name << " element " << i;
    }
  }
}

// Random programs over two matrices and a vector in which values are used again and again.
TEST(Autodiff, RandomProgramsWithSharedValues) {
  const Type matrix(DType::f64, {{"n", 2}, {"m", 3}}), vector(DType::f64, {{"m", 3}});
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    const CounterRng rng(seed, 17);
    uint64_t at = 0;
    auto below = [&](size_t n) { return static_cast<size_t>(rng.below(at++, n)); };
    Graph g;
    Builder b(g);
    std::vector<ValueId> matrices = {b.state("a", matrix, Role::kParameter, true), b.input("x", matrix),
                                     b.state("fixed", matrix, Role::kBuffer)};
    std::vector<ValueId> vectors = {b.state("v", vector, Role::kParameter, true)};
    b.state("unused", vector, Role::kParameter, true);
    auto any = [&](const std::vector<ValueId>& list) { return list[below(list.size())]; };
    for (int k = 0; k < 12; ++k) {
      const ValueId p = any(matrices), q = any(matrices), v = any(vectors);
      switch (below(10)) {
        case 0: matrices.push_back(ops::add(b, p, q)); break;
        case 1: matrices.push_back(ops::mul(b, p, v)); break;
        case 2: matrices.push_back(ops::tanh(b, p)); break;
        case 3: matrices.push_back(ops::softmax(b, p, "m")); break;
        case 4: matrices.push_back(ops::sub(b, p, ops::sigmoid(b, q))); break;
        case 5: vectors.push_back(ops::tanh(b, ops::reduce_sum(b, ops::mul(b, p, q), {"n"}))); break;
        case 6: vectors.push_back(ops::affine(b, v, 0.5, 0.1)); break;
        case 7: matrices.push_back(ops::rename(b, ops::rename(b, p, {"n"}, {"k"}), {"k"}, {"n"})); break;
        case 8: {  // q q^T p
          ValueId square = ops::contract(b, q, ops::rename(b, q, {"n"}, {"k"}), {"n", "k"}, DType::f64);
          matrices.push_back(ops::tanh(
              b, ops::contract(b, square, ops::rename(b, p, {"n"}, {"k"}), {"n", "m"}, DType::f64)));
          break;
        }
        default: matrices.push_back(ops::div(b, p, ops::affine(b, ops::square(b, q), 1, 1))); break;
      }
    }
    ValueId total = ops::mul(b, any(matrices), any(vectors));
    for (int k = 0; k < 3; ++k)
      total = ops::add(b, total, matrices[matrices.size() - 1 - static_cast<size_t>(k)]);
    b.output("loss", ops::reduce_sum(b, total, {"n", "m"}));
    expect_gradients(g, draw_inputs(g, seed), draw_states(g, seed + 100), 1e-6);
  }
}

// The whole loss of tiny models, in f64 through and through.
TEST(Autodiff, TinyModels) {
  for (io::Family family : {io::Family::kGpt2, io::Family::kQwen3}) {
    SCOPED_TRACE(std::string(io::family_name(family)));
    io::ModelConfig c = tiny_config(family, 1);
    c.vocab = 24;
    c.hidden = 4;
    c.heads = 2;
    c.kv_heads = family == io::Family::kGpt2 ? 2 : 1;
    c.head_dim = 2;
    c.intermediate = 4;
    c.max_position = 4;
    const Graph graph = models::train_graph(c, {2, 4});
    const Graph with = passes::autodiff(graph, "loss_sum");
    const Bindings inputs = draw_inputs(graph, 3), states = draw_states(graph, 4);
    const Bindings got = evaluate(with, inputs, states).outputs;
    // f32, so one direction per parameter rather than every element: the derivative along the gradient
    // itself.
    for (const ir::State& s : graph.states) {
      const HostTensor& grad = got.at(passes::grad_name(s.name));
      double norm2 = 0;
      for (int64_t i = 0; i < grad.type.elements(); ++i) norm2 += get(grad, i) * get(grad, i);
      if (norm2 < 1e-6) continue;  // below what f32 can tell (a bias before softmax does nothing)
      auto loss = [&](double by) {
        Bindings moved = states;
        for (int64_t i = 0; i < grad.type.elements(); ++i)
          set(moved.at(s.name), i, get(states.at(s.name), i) + by * get(grad, i) / std::sqrt(norm2));
        return get(evaluate(graph, inputs, moved).outputs.at("loss_sum"), 0);
      };
      const double step = 2e-3;
      EXPECT_NEAR((loss(step) - loss(-step)) / (2 * step), std::sqrt(norm2), 5e-3 * std::sqrt(norm2) + 5e-3)
          << s.name;
    }
  }
}

TEST(Autodiff, SixteenBitParametersGetWideGradients) {
  const io::ModelConfig c = tiny_config(io::Family::kGpt2);  // tied: the table is used twice
  models::TrainShape shape{2, 4, DType::bf16};
  const Graph graph = models::train_graph(c, shape);
  const Graph with = passes::autodiff(graph, "loss_sum");
  for (const ir::State& s : graph.states) {
    const int out = with.find_output(passes::grad_name(s.name));
    ASSERT_GE(out, 0) << s.name;
    EXPECT_EQ(with.type(with.outputs[static_cast<size_t>(out)].value),
              graph.type(s.value).with_dtype(DType::f32))
        << s.name;
  }
  // Nothing but the gradients is new, and what was there is unchanged.
  EXPECT_EQ(with.outputs.size(), graph.outputs.size() + graph.states.size());
  EXPECT_EQ(with.states.size(), graph.states.size());
}

TEST(Autodiff, UnusedParametersGetZeros) {
  Graph g;
  Builder b(g);
  auto w = b.state("w", Type(DType::f32, {{"n", 3}}), Role::kParameter, true);
  b.state("u", Type(DType::bf16, {{"n", 3}, {"m", 2}}), Role::kParameter, true);
  b.output("loss", ops::reduce_sum(b, w, {"n"}));
  const Graph with = passes::autodiff(g, "loss");
  const Bindings out = evaluate(with, {}, draw_states(g, 1)).outputs;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(get(out.at("grad.w"), i), 1);
  EXPECT_EQ(out.at("grad.u").type, Type(DType::f32, {{"n", 3}, {"m", 2}}));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(get(out.at("grad.u"), i), 0);
}

TEST(Autodiff, NothingFlowsThroughIntegersAndSteps) {
  Graph g;
  Builder b(g);
  auto w = b.state("w", Type(DType::f32, {{"n", 3}}), Role::kParameter, true);
  auto whole = ops::cast(b, ops::cast(b, w, DType::i32), DType::f32);
  auto step = ops::greater_equal(b, w, ops::zeros_like(b, w));
  b.output("loss", ops::reduce_sum(b, ops::add(b, ops::mul(b, w, step), whole), {"n"}));
  const Bindings states = draw_states(g, 1);
  const Bindings out = evaluate(passes::autodiff(g, "loss"), {}, states).outputs;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(get(out.at("grad.w"), i), get(states.at("w"), i) >= 0 ? 1 : 0);
}

}  // namespace
}  // namespace hoist::testing
