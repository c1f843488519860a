// Ops whose reference kernel is the only oracle, against values computed by hand or by other means; and a
// mixture of experts put together from its ops.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/adamw.h"
#include "ops/attention.h"
#include "ops/cases.h"
#include "ops/conv2d.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/moe.h"
#include "ops/paged.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace hoist::testing {
namespace {

using ir::Builder;
using ir::Dim;
using ir::Type;

HostTensor tensor(DType dtype, ir::Dims dims, const std::vector<double>& values) {
  HostTensor t(Type(dtype, dims));
  EXPECT_EQ(t.type.elements(), static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) set(t, static_cast<int64_t>(i), values[i]);
  return t;
}

HostTensor random(ir::Dims dims, uint64_t seed) { return draw({Type(DType::f32, dims)}, seed); }

std::vector<double> values(const HostTensor& t) {
  std::vector<double> out;
  for (int64_t i = 0; i < t.type.elements(); ++i) out.push_back(get(t, i));
  return out;
}

Tensors run(const Tensors& inputs, const Body& body) {
  std::vector<Type> types;
  for (const HostTensor& t : inputs) types.push_back(t.type);
  return run_graph(graph_of(types, body), inputs, ref());
}

TEST(KnownValues, RouteSort) {
  const HostTensor experts = tensor(DType::i32, {{"tokens", 3}, {"choices", 2}}, {2, 0, 0, 2, 5, 0});
  auto sort = [&](int64_t num, int64_t base) {
    return run({experts}, [&](Builder& b, const Ids& x) {
      ops::RouteSortResults r = ops::route_sort(b, x[0], {"experts", "rows", num, base});
      return Ids{r.source, r.position, r.counts, r.token};
    });
  };
  const Tensors all = sort(6, 0);
  EXPECT_EQ(values(all[0]), (std::vector<double>{1, 2, 5, 0, 3, 4}));
  EXPECT_EQ(values(all[1]), (std::vector<double>{3, 0, 1, 4, 5, 2}));
  EXPECT_EQ(values(all[2]), (std::vector<double>{3, 0, 2, 0, 0, 1}));
  EXPECT_EQ(values(all[3]), (std::vector<double>{0, 1, 2, 0, 1, 2}));
  const Tensors some = sort(2, 2);  // experts 2 and 3; the others sort last
  EXPECT_EQ(values(some[0]), (std::vector<double>{0, 3, 1, 2, 4, 5}));
  EXPECT_EQ(values(some[2]), (std::vector<double>{2, 0}));
}

// Sort, gather, contract per expert, gather back and weight: what each token gets is the weighted sum of its
// own experts' layers, however uneven the counts.
TEST(KnownValues, MixtureOfExpertsEqualsItsDenseForm) {
  constexpr int64_t kTokens = 7, kChoices = 2, kExperts = 5, kModel = 4, kFfn = 3;
  const HostTensor x = random({{"tokens", kTokens}, {"model", kModel}}, 1);
  const HostTensor w = random({{"experts", kExperts}, {"ffn", kFfn}, {"model", kModel}}, 2);
  const HostTensor gate = random({{"tokens", kTokens}, {"choices", kChoices}}, 3);
  // Expert 3 gets nothing, expert 1 most.
  const HostTensor experts = tensor(DType::i32, {{"tokens", kTokens}, {"choices", kChoices}},
                                    {1, 0, 1, 4, 0, 1, 2, 1, 1, 4, 1, 2, 4, 1});
  const Tensors got = run({x, w, gate, experts}, [&](Builder& b, const Ids& in) {
    ops::RouteSortResults route = ops::route_sort(b, in[3], {"routed", "rows", kExperts, 0});
    ir::ValueId rows = ops::embedding(b, in[0], route.token, "tokens");
    ir::ValueId y =
        ops::grouped_contract(b, rows, in[1], route.counts, {"rows", "experts", {"ffn"}, DType::f32});
    ir::ValueId back = ops::embedding(b, y, route.position, "rows");
    return Ids{ops::reduce_sum(b, ops::mul(b, back, in[2]), {"choices"})};
  });
  for (int64_t t = 0; t < kTokens; ++t)
    for (int64_t f = 0; f < kFfn; ++f) {
      double want = 0;
      for (int64_t c = 0; c < kChoices; ++c)
        for (int64_t m = 0; m < kModel; ++m) {
          const auto e = static_cast<int64_t>(get(experts, t * kChoices + c));
          want += get(gate, t * kChoices + c) * get(w, (e * kFfn + f) * kModel + m) * get(x, t * kModel + m);
        }
      EXPECT_NEAR(get(got[0], t * kFfn + f), want, 1e-5);
    }
}

// Small integers: sums are exact. Expected values by an independent implementation of padded
// cross-correlation.
TEST(KnownValues, Conv2dWithStrideDilationAndUnevenPadding) {
  auto ramp = [](ir::Dims dims, int64_t modulus, int64_t shift) {
    HostTensor t(Type(DType::f32, dims));
    for (int64_t i = 0; i < t.type.elements(); ++i) set(t, i, static_cast<double>(i % modulus - shift));
    return t;
  };
  const HostTensor x = ramp({{"batch", 1}, {"in", 2}, {"h", 5}, {"w", 4}}, 7, 3);
  const HostTensor w = ramp({{"out", 2}, {"in", 2}, {"kh", 2}, {"kw", 3}}, 5, 2);
  const HostTensor dy = ramp({{"batch", 1}, {"out", 2}, {"oh", 3}, {"ow", 4}}, 3, 1);
  const ops::Conv2dAttrs a{2, 1, 2, 1, 1, 2, 2, 0, "oh", "ow"};
  const Tensors got = run({x, w, dy}, [&](Builder& b, const Ids& in) {
    return Ids{ops::conv2d(b, in[0], in[1], a), ops::conv2d_input_grad(b, in[2], in[1], {a, "h", "w", 5, 4}),
               ops::conv2d_weight_grad(b, in[0], in[2], {a, "kh", "kw", 2, 3})};
  });
  EXPECT_EQ(values(got[0]), (std::vector<double>{-2, -3, -5, 9,  -5, -6, 7, -3,  1, 0, -5, -8,
                                                 0,  0,  -2, -5, 3,  3,  1, -12, 2, 6, -4, 7}));
  EXPECT_EQ(values(got[1]),
            (std::vector<double>{0, 0, 0, 0, 3, 4,  -5, 2, 0, 0, 0, 0, 4,  -7, 2, 2,  0, 0, 0, 0,
                                 0, 0, 0, 0, 3, -6, 3,  0, 0, 0, 0, 0, -6, 3,  2, -1, 0, 0, 0, 0}));
  EXPECT_EQ(values(got[2]), (std::vector<double>{2, -6, -4, -3, -2, 11, 2, 1, -5, -2, -2, -2,
                                                 2, -6, -4, -3, -2, 11, 2, 1, -5, -2, -2, -2}));
}

// Three steps with decoupled decay, by an independent implementation in double.
TEST(KnownValues, AdamwThreeSteps) {
  const ir::Dims n = {{"n", 4}};
  ops::AdamwAttrs a;
  a.beta1 = 0.8, a.beta2 = 0.95, a.eps = 1e-6, a.decay = 0.1;
  auto scalar = [](double x) { return tensor(DType::f32, {}, {x}); };
  Tensors state = {tensor(DType::f32, n, {1, -2, 0.5, 3}), tensor(DType::f32, n, {0, 0, 0, 0}),
                   tensor(DType::f32, n, {0, 0, 0, 0})};
  const std::vector<double> gradients[] = {{0.5, -1, 2, 0}, {0.25, 1, -2, 3}, {-1, 0.5, 0, 1}};
  for (int step = 1; step <= 3; ++step) {
    std::vector<double> g = gradients[step - 1];
    for (double& x : g) x *= 4;  // undone by `scale`
    const Tensors in = {
        state[0], tensor(DType::f32, n, g), state[1], state[2], scalar(0.1), scalar(step), scalar(0.25),
        scalar(1)};
    state = run(in, [&](Builder& b, const Ids& x) {
      ops::AdamwResults r = ops::adamw(b, {x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]}, a);
      return Ids{r.p, r.m, r.v};
    });
  }
  const double p[] = {0.810454198689044, -1.8850944612719196, 0.4062765301851898, 2.757938439915834};
  const double m[] = {-0.096, 0.132, -0.064, 0.68}, v[] = {0.06425, 0.105125, 0.3705, 0.4775};
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(get(state[0], i), p[i], 1e-6);
    EXPECT_NEAR(get(state[1], i), m[i], 1e-6);
    EXPECT_NEAR(get(state[2], i), v[i], 1e-6);
  }
}

// A step that is not finite leaves every bit as it was, though its gradient is NaN.
TEST(KnownValues, AdamwSkipsWhatIsNotOk) {
  const ir::Dims n = {{"n", 2}};
  auto scalar = [](double x) { return tensor(DType::f32, {}, {x}); };
  const Tensors in = {tensor(DType::bf16, n, {1, -2}),
                      tensor(DType::f32, n, {NAN, 1}),
                      tensor(DType::f32, n, {3, 4}),
                      tensor(DType::f32, n, {5, 6}),
                      scalar(0.1),
                      scalar(1),
                      scalar(1),
                      scalar(0),
                      tensor(DType::f32, n, {1.001, -2.001})};
  const Tensors out = run(in, [&](Builder& b, const Ids& x) {
    ops::AdamwResults r = ops::adamw(b, {x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8]}, {});
    return Ids{r.p, r.m, r.v, r.master};
  });
  const size_t before[] = {0, 2, 3, 8};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(values(out[i]), values(in[before[i]]));
}

// Writing tokens into shuffled blocks and attending through the table is attention over the sequence itself.
TEST(KnownValues, PagedAttentionEqualsAttention) {
  constexpr int64_t kTokens = 7, kBlock = 3;
  const Dim heads{"kv_heads", 2}, group{"group", 2}, dim{"head_dim", 4};
  const HostTensor q = random({{"tokens", kTokens}, heads, group, dim}, 4);
  const HostTensor k = random({{"tokens", kTokens}, heads, dim}, 5),
                   v = random({{"tokens", kTokens}, heads, dim}, 6);
  const HostTensor pool =
      random({{"blocks", 5}, {"block", kBlock}, heads, dim}, 7);  // whatever was there before
  const std::vector<double> table = {4, 0, 2};
  std::vector<double> slots, ramp, zeros(kTokens, 0);
  for (int64_t t = 0; t < kTokens; ++t) {
    slots.push_back(table[static_cast<size_t>(t / kBlock)] * kBlock + static_cast<double>(t % kBlock));
    ramp.push_back(static_cast<double>(t));
  }
  const ir::Dims tokens = {{"tokens", kTokens}};
  const Tensors in = {q,
                      k,
                      v,
                      pool,
                      tensor(DType::i32, {{"seqs", 1}, {"seq_blocks", 3}}, table),
                      tensor(DType::i32, tokens, slots),
                      tensor(DType::i32, tokens, ramp),
                      tensor(DType::i32, tokens, zeros)};
  for (int64_t window : {0, 3}) {
    const Tensors out = run(in, [&](Builder& b, const Ids& x) {
      ops::PagedAttentionAttrs paged;
      paged.scale = 0.5, paged.window = window;
      ops::AttentionAttrs plain;
      plain.scale = 0.5, plain.window = window;
      ir::ValueId written = ops::kv_write(b, x[3], x[1], x[5]), values = ops::kv_write(b, x[3], x[2], x[5]);
      auto past = [&](ir::ValueId y) { return ops::rename(b, y, {"tokens"}, {"past"}); };
      return Ids{ops::paged_attention(b, {x[0], written, values, x[4], x[7], x[6]}, paged),
                 ops::attention(b, {x[0], past(x[1]), past(x[2]), x[6], past(x[6])}, plain).o};
    });
    EXPECT_EQ(difference(out[0], out[1]), "") << "window " << window;
  }
}

// Whoever sees no key gets zeros and minus infinity, and no gradient that is not a number.
TEST(KnownValues, AttentionOfRowsThatSeeNothing) {
  const Dim q{"q", 2}, k{"k", 2}, heads{"kv_heads", 1}, group{"group", 1}, dim{"head_dim", 2};
  const Tensors in = {random({q, heads, group, dim}, 8), random({k, heads, dim}, 9),
                      random({k, heads, dim}, 10), tensor(DType::i32, {q}, {0, 5}),
                      tensor(DType::i32, {k}, {3, 4})};
  const Tensors out = run(in, [&](Builder& b, const Ids& x) {
    ops::AttentionOperands a{x[0], x[1], x[2], x[3], x[4]};
    ops::AttentionResults r = ops::attention(b, a, {});
    ops::AttentionGradResults g = ops::attention_grad(b, a, r.o, r.lse, x[0], ir::kNoValue, {});
    return Ids{r.o, r.lse, g.dq, g.dk, g.dv};
  });
  EXPECT_EQ(get(out[0], 0), 0);
  EXPECT_EQ(get(out[0], 1), 0);
  EXPECT_EQ(get(out[1], 0), -INFINITY);
  EXPECT_NE(get(out[0], 2), 0);
  for (size_t i : {2, 3, 4})
    for (double d : values(out[i])) EXPECT_TRUE(std::isfinite(d));
}

}  // namespace
}  // namespace hoist::testing
