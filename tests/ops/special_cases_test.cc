// Values that the generic properties do not reach: ties, minus infinities, published numbers.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/arg_max.h"
#include "ops/cases.h"
#include "ops/cross_entropy.h"
#include "ops/monoids.h"
#include "ops/rope.h"
#include "ops/softmax.h"

namespace hoist::testing {
namespace {

using ir::Builder;
using ir::Type;

constexpr double kInf = std::numeric_limits<double>::infinity();

HostTensor tensor(const Type& type, std::initializer_list<double> values) {
  HostTensor t(type);
  int64_t i = 0;
  for (double v : values) set(t, i++, v);
  return t;
}

std::vector<double> values_of(const HostTensor& t) {
  std::vector<double> out;
  for (int64_t i = 0; i < t.type.elements(); ++i) out.push_back(get(t, i));
  return out;
}

using Values = std::vector<double>;

TEST(ArgMax, TiesGoToTheLowerIndexWholeAndMerged) {
  const Type x(DType::f32, {{"rows", 2}, {"n", 4}}), v(DType::f32, {{"rows", 2}}),
      i(DType::i32, {{"rows", 2}});
  for (const auto* table : test_tables()) {
    const Tensors got = run_graph(graph_of({x},
                                           [](Builder& b, const Ids& x) {
                                             auto r = ops::arg_max(b, x[0], "n");
                                             return Ids{r.value, r.index};
                                           }),
                                  {tensor(x, {1, 3, 3, 2, -kInf, -kInf, -kInf, -kInf})}, *table);
    EXPECT_EQ(values_of(got[0]), (Values{3, -kInf})) << table->name;
    EXPECT_EQ(values_of(got[1]), (Values{1, 0})) << table->name;
  }
  const Tensors merged = run_graph(
      graph_of({v, i, v, i},
               [](Builder& b, const Ids& x) {
                 return ops::kArgMax.combine(b, std::span(x).first(2), std::span(x).last(2));
               }),
      {tensor(v, {3, 1}), tensor(i, {5, 16777217}), tensor(v, {3, 2}), tensor(i, {9, 16777219})}, ref());
  EXPECT_EQ(values_of(merged[0]), (Values{3, 2}));
  EXPECT_EQ(values_of(merged[1]), (Values{5, 16777219}));
}

TEST(TopK, SortsDescendingAndTiesByIndex) {
  const Type x(DType::f32, {{"n", 6}});
  for (const auto* table : test_tables()) {
    const Tensors got = run_graph(graph_of({x},
                                           [](Builder& b, const Ids& x) {
                                             auto r = ops::top_k(b, x[0], "n", 4, "choice");
                                             return Ids{r.values, r.indices};
                                           }),
                                  {tensor(x, {2, 7, 2, -1, 7, 2})}, *table);
    EXPECT_EQ(values_of(got[0]), (Values{7, 7, 2, 2})) << table->name;
    EXPECT_EQ(values_of(got[1]), (Values{1, 4, 0, 2})) << table->name;
  }
}

TEST(Softmax, ARowOfMinusInfinitiesIsZeroAndItsLogSumExpMinusInfinity) {
  const Type x(DType::f32, {{"rows", 3}, {"n", 2}});
  const HostTensor values = tensor(x, {-kInf, -kInf, -kInf, 1000, 0, 0});
  for (const auto* table : test_tables()) {
    const Tensors got =
        run_graph(graph_of({x},
                           [](Builder& b, const Ids& x) {
                             return Ids{ops::softmax(b, x[0], "n"), ops::log_sum_exp(b, x[0], "n")};
                           }),
                  {values}, *table);
    EXPECT_EQ(values_of(got[0]), (Values{0, 0, 0, 1, 0.5, 0.5})) << table->name;
    EXPECT_EQ(get(got[1], 0), -kInf) << table->name;
    EXPECT_EQ(get(got[1], 1), 1000) << table->name;
    EXPECT_NEAR(get(got[1], 2), std::log(2.0), 1e-7) << table->name;
  }
  for (const ir::OpDef* op : {&ops::kSoftmax, &ops::kLogSumExpOp}) {
    const Case c{op, ir::Attrs::of(ops::SoftmaxAttrs{"n"}), {values}};
    EXPECT_EQ(difference(run_decomposed(c)[0], run_case(c, ref())[0]), "") << op->name;
  }
}

TEST(LogSumExp, PiecesOfMinusInfinitiesMerge) {
  const Type x(DType::f32, {{"rows", 3}});
  const Tensors got =
      run_graph(graph_of({x, x},
                         [](Builder& b, const Ids& x) {
                           return ops::kLogSumExp.combine(b, std::span(x).first(1), std::span(x).last(1));
                         }),
                {tensor(x, {-kInf, -kInf, 5}), tensor(x, {-kInf, 2, -kInf})}, ref());
  EXPECT_EQ(values_of(got[0]), (Values{-kInf, 2, 5}));
}

TEST(CrossEntropy, AMaskedLogitIsMinusInfinity) {
  const Type x(DType::f32, {{"rows", 2}, {"vocab", 3}}), t(DType::i32, {{"rows", 2}});
  const Case c{&ops::kCrossEntropy,
               ir::Attrs::of(ops::CrossEntropyAttrs{"vocab"}),
               {tensor(x, {0, -kInf, 0, -kInf, 4, -kInf}), tensor(t, {2, 1})}};
  for (const auto* table : test_tables()) {
    const Tensors got = run_case(c, *table), want = run_decomposed(c);
    for (size_t i = 0; i < 2; ++i) EXPECT_EQ(difference(got[i], want[i]), "") << table->name;
    EXPECT_NEAR(get(got[0], 0), std::log(2.0), 1e-7) << table->name;
    EXPECT_EQ(values_of(got[1]), (Values{0, 4})) << table->name;
  }
}

// What transformers 5 computes for the same configurations, to the bit.
TEST(RopeFrequencies, EqualTransformers) {
  auto frequencies = [](const ops::RopeFrequenciesAttrs& a) {
    return values_of(
        run_graph(graph_of({}, [&](Builder& b, const Ids&) { return Ids{ops::rope_frequencies(b, a)}; }), {},
                  ref())[0]);
  };
  EXPECT_EQ(frequencies({16, 10000}), (Values{0x1p+0, 0x1.43d136p-2, 0x1.99999ap-4, 0x1.030dc6p-5,
                                              0x1.47ae14p-7, 0x1.9e7c7p-9, 0x1.0624dep-10, 0x1.4b96cp-12}));
  EXPECT_EQ(frequencies({8, 10000, "linear", 4}),
            (Values{0x1p-2, 0x1.99999ap-6, 0x1.47ae14p-9, 0x1.0624dep-12}));
  EXPECT_EQ(frequencies({16, 500000, "llama3", 8, 1, 4, 64}),
            (Values{0x1p+0, 0x1.453c18p-4, 0x1.34119p-8, 0x1.ddee9ep-11, 0x1.72ba42p-13, 0x1.1f91fp-15,
                    0x1.be2188p-18, 0x1.5a0f4ep-20}));
  const Values llama = frequencies({128, 500000, "llama3", 8, 1, 4, 8192});
  EXPECT_EQ(llama[4], 0x1.c2ef78p-2);
  EXPECT_EQ(llama[32], 0x1.132ba4p-11);
  EXPECT_EQ(llama[60], 0x1.30c94ep-21);
}

}  // namespace
}  // namespace hoist::testing
