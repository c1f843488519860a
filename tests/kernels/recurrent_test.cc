// lstm forward and backward on values as they occur in training, against the reference kernels.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "kernels/run_op.h"
#include "ops/lstm.h"

namespace hoist::kernels {
namespace {

using ir::Attrs;
using ir::Type;

Tensor drawn(const Type& type, uint64_t stream, double scale) {
  Tensor t(type);
  const CounterRng rng(3, stream);
  for (int64_t i = 0; i < t.elements(); ++i) t.set(i, scale * rng.normal(static_cast<uint64_t>(i)));
  return t;
}

OpCall forward_call(int64_t seq, int64_t batch, int64_t in, int64_t hidden) {
  const ir::Dim s{"seq", seq}, b{"batch", batch}, i{"in", in}, h{"hidden", hidden}, g{"gate", 4},
      p{"past", hidden};
  const DType f = DType::f32;
  const double scale = 1 / std::sqrt(static_cast<double>(hidden));
  return {&ops::kLstm,
          Attrs::of(ir::NoAttrs{}),
          {drawn(Type(f, {s, b, i}), 1, 1), drawn(Type(f, {g, h, i}), 2, scale),
           drawn(Type(f, {g, h, p}), 3, scale), drawn(Type(f, {g, h}), 4, 0.5),
           drawn(Type(f, {{"state", 2}, b, h}), 5, 0.5)}};
}

std::vector<Tensor> results_of(const OpCall& call, const KernelTable& table, int threads) {
  OpRunner r(call, table, threads);
  r.run();
  return r.results();
}

void expect_close(const std::vector<Tensor>& got, const std::vector<Tensor>& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    double largest = 1e-6, error = 0;
    for (int64_t j = 0; j < want[i].elements(); ++j) {
      largest = std::max(largest, std::abs(want[i].get(j)));
      error = std::max(error, std::abs(got[i].get(j) - want[i].get(j)));
    }
    EXPECT_LE(error, 1e-5 * largest) << what << " result " << i;
  }
}

void expect_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b, const std::string& what) {
  for (size_t i = 0; i < a.size(); ++i)
    for (int64_t j = 0; j < a[i].elements(); ++j)
      ASSERT_EQ(a[i].get(j), b[i].get(j)) << what << ": threads change bits of result " << i;
}

TEST(Lstm, EveryInstructionSetEqualsTheReference) {
  for (auto [seq, batch, in, hidden] :
       {std::array<int64_t, 4>{7, 5, 9, 33}, {3, 31, 20, 64}, {20, 2, 3, 7}, {1, 1, 1, 1}}) {
    const OpCall forward = forward_call(seq, batch, in, hidden);
    const std::vector<Tensor> saved = results_of(forward, ref_table(), 1);
    for (bool more : {false, true}) {
      OpCall grad{&ops::kLstmGrad, Attrs::of(ops::LstmGradAttrs{more, more}), {}};
      for (size_t i : {0, 1, 2, 4}) grad.operands.push_back(forward.operands[i]);
      for (size_t i : {0, 2, 3}) grad.operands.push_back(saved[i]);
      grad.operands.push_back(drawn(saved[0].type, 6, 1));
      grad.operands.push_back(drawn(saved[1].type, 7, 1));
      if (more)
        grad.operands.push_back(drawn(saved[2].type, 8, 1)),
            grad.operands.push_back(drawn(saved[3].type, 9, 1));
      const std::vector<Tensor> want = results_of(grad, ref_table(), 1);
      for (Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512}) {
        if (!isa_available(isa)) continue;
        const std::string name(isa_name(isa));
        const auto one = results_of(forward, cpu_table(isa), 1),
                   three = results_of(forward, cpu_table(isa), 3);
        expect_close(one, saved, name + " forward");
        expect_same(one, three, name + " forward");
        const auto back = results_of(grad, cpu_table(isa), 1), back3 = results_of(grad, cpu_table(isa), 3);
        expect_close(back, want, name + " backward");
        expect_same(back, back3, name + " backward");
      }
    }
  }
}

}  // namespace
}  // namespace hoist::kernels
