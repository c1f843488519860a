// contract on every instruction set: right for every layout, and the same bits whatever stands beside a row.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/run_op.h"
#include "ops/contract.h"

namespace hoist::kernels {
namespace {

using ir::Attrs;
using ir::Type;

std::vector<Isa> isas() {
  std::vector<Isa> list;
  for (Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Dot})
    if (isa_available(isa)) list.push_back(isa);
  return list;
}

OpCall call(const Type& x, const Type& y, const AxisList& out, DType to = DType::f32) {
  return {
      &ops::kContract, Attrs::of(ops::ContractAttrs{out, to}), {random_tensor(x, 1), random_tensor(y, 2)}};
}

// Every index of every axis, in double.
std::vector<double> naive(const OpCall& c, const Type& out) {
  const Tensor &x = c.operands[0], &y = c.operands[1];
  ir::Dims all = out.dims;
  for (const ir::Dim& d : x.type.dims)
    if (!out.has(d.axis)) all.push_back(d);
  auto stride = [&](const Type& t, ir::Axis axis) {
    int at = t.find(axis);
    int64_t s = at < 0 ? 0 : 1;
    for (int i = t.rank() - 1; i > at && at >= 0; --i) s *= t.dims[i].size;
    return s;
  };
  std::vector<double> result(static_cast<size_t>(out.elements()));
  int64_t total = Type(DType::f32, all).elements();
  for (int64_t i = 0; i < total; ++i) {
    int64_t rest = i, ix = 0, iy = 0, io = 0;
    for (int d = all.size() - 1; d >= 0; --d) {
      int64_t at = rest % all[d].size;
      rest /= all[d].size;
      ix += at * stride(x.type, all[d].axis);
      iy += at * stride(y.type, all[d].axis);
      io += at * stride(out, all[d].axis);
    }
    result[static_cast<size_t>(io)] += x.get(ix) * y.get(iy);
  }
  return result;
}

void expect_right(const OpCall& c, const std::string& what) {
  for (Isa isa : isas()) {
    OpRunner r(c, cpu_table(isa), 2, isa_name(isa));
    ASSERT_TRUE(r.found()) << what;
    r.run();
    const Tensor& got = r.results()[0];
    std::vector<double> want = naive(c, got.type);
    double worst = 0, norm = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      worst = std::max(worst, std::abs(got.get(static_cast<int64_t>(i)) - want[i]));
      norm = std::max(norm, std::abs(want[i]));
    }
    double tolerance = got.type.dtype == DType::f32 ? 2e-6 : got.type.dtype == DType::f16 ? 1e-3 : 8e-3;
    EXPECT_LE(worst, tolerance * std::max(norm, 1.0)) << what << " on " << isa_name(isa);
  }
}

TEST(Contract, EveryLayoutIsRight) {
  DType f = DType::f32;
  for (int64_t m : {1, 3, 4, 5, 13, 50})
    for (int64_t n : {1, 7, 33, 70})
      for (int64_t k : {1, 5, 31, 300}) {
        std::string size = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
        Type mk(f, {{"m", m}, {"k", k}}), km(f, {{"k", k}, {"m", m}}), nk(f, {{"n", n}, {"k", k}}),
            kn(f, {{"k", k}, {"n", n}});
        expect_right(call(mk, nk, {"m", "n"}), "NT " + size);
        expect_right(call(mk, kn, {"m", "n"}), "NN " + size);
        expect_right(call(km, kn, {"m", "n"}), "TN " + size);
        expect_right(call(km, nk, {"n", "m"}), "TT, result transposed " + size);
      }
}

TEST(Contract, EveryMixOfTypesIsRight) {
  for (DType a : {DType::f32, DType::bf16, DType::f16})
    for (DType b : {DType::f32, DType::bf16, DType::f16})
      for (DType to : {DType::f32, DType::bf16, DType::f16})
        for (int64_t m : {1, 19}) {
          std::string what = std::string(dtype_name(a)) + " x " + std::string(dtype_name(b)) + " -> " +
                             std::string(dtype_name(to));
          Type x(a, {{"m", m}, {"k", 517}});
          expect_right(call(x, Type(b, {{"n", 41}, {"k", 517}}), {"m", "n"}, to), what);
          expect_right(call(x, Type(b, {{"k", 517}, {"n", 41}}), {"m", "n"}, to), what + " NN");
        }
}

TEST(Contract, GroupsOfAxesAreRight) {
  DType f = DType::f32;
  std::vector<ir::Example> examples;
  ops::kContract.examples(examples);
  for (const ir::Example& e : examples) {
    OpCall c{&ops::kContract, e.attrs, {}};
    for (size_t i = 0; i < e.operands.size(); ++i) c.operands.push_back(random_tensor(e.operands[i].type, i));
    expect_right(c, e.note);
  }
  // Groups that are no single stride: free axes interleaved with batch and contracted ones.
  expect_right(call(Type(f, {{"a", 3}, {"k", 5}, {"b", 7}, {"l", 4}}),
                    Type(f, {{"k", 5}, {"c", 6}, {"l", 4}}), {"a", "c", "b"}),
               "split m");
  expect_right(call(Type(f, {{"a", 9}, {"k", 5}, {"l", 70}}),
                    Type(f, {{"l", 70}, {"c", 6}, {"k", 5}, {"d", 3}}), {"c", "a", "d"}),
               "k in two orders");
  expect_right(call(Type(f, {{"s", 4}, {"h", 3}, {"d", 40}}), Type(f, {{"t", 37}, {"h", 3}, {"d", 40}}),
                    {"h", "s", "t"}),
               "scores");
}

// Row i of the result must not know how many rows there are, which worker ran it, or how the result is typed.
TEST(Contract, BitsDoNotDependOnRowsOrThreads) {
  for (DType d : {DType::f32, DType::bf16})
    for (bool nt : {true, false})
      for (Isa isa : isas()) {
        const int64_t k = 700, n = 77, rows = 61;
        Type w = nt ? Type(d, {{"n", n}, {"k", k}}) : Type(d, {{"k", k}, {"n", n}});
        OpCall whole = call(Type(d, {{"m", rows, true}, {"k", k}}), w, {"m", "n"});
        OpRunner reference(whole, cpu_table(isa), 1, isa_name(isa));
        reference.run();
        const std::vector<std::byte> bits = reference.results()[0].bytes();
        for (int threads : {1, 2, 3})
          for (int64_t m : {1, 2, 3, 4, 5, 12, 13, 40, 61}) {
            OpCall part = whole;
            part.operands[0].dims[0] = m;
            OpRunner r(part, cpu_table(isa), threads, isa_name(isa));
            r.run();
            std::vector<std::byte> got = r.results()[0].bytes();
            ASSERT_EQ(got.size(), static_cast<size_t>(m * n * 4));
            EXPECT_EQ(0, std::memcmp(got.data(), bits.data(), got.size()))
                << isa_name(isa) << " m=" << m << " threads=" << threads << (nt ? " NT" : " NN");
          }
      }
}

// The fused instruction sets follow one order, so they agree to the last bit; portable rounds twice per step.
TEST(Contract, FusedInstructionSetsAgree) {
  if (!isa_available(Isa::kAvx512)) GTEST_SKIP() << "this machine has no AVX-512";
  OpCall c =
      call(Type(DType::f32, {{"m", 29}, {"k", 613}}), Type(DType::f32, {{"n", 45}, {"k", 613}}), {"m", "n"});
  OpRunner a(c, cpu_table(Isa::kAvx2), 2, "avx2"), b(c, cpu_table(Isa::kAvx512), 2, "avx512");
  a.run();
  b.run();
  EXPECT_EQ(a.results()[0].bytes(), b.results()[0].bytes());
}

// Of shorter rows more are packed at once: the workspace must hold what any live length needs.
TEST(Contract, LiveContractedAxesFitTheWorkspace) {
  OpCall c = call(Type(DType::f32, {{"t", 8192, true}, {"m", 2016}}),
                  Type(DType::f32, {{"t", 8192, true}, {"n", 288}}), {"m", "n"});
  for (Tensor& t : c.operands) t.dims[0] = 2000;
  OpRunner r(c, cpu_table(best_isa()), 3);
  r.run();
  double want = 0;
  for (int64_t i = 0; i < 2000; ++i) want += c.operands[0].get(i * 2016 + 7) * c.operands[1].get(i * 288 + 5);
  EXPECT_NEAR(r.results()[0].get(7 * 288 + 5), want, 1e-3);
}

TEST(Contract, LengthZeroIsLegal) {
  for (Isa isa : isas()) {
    OpCall none = call(Type(DType::f32, {{"m", 4, true}, {"k", 8}}), Type(DType::f32, {{"n", 5}, {"k", 8}}),
                       {"m", "n"});
    none.operands[0].dims[0] = 0;
    OpRunner r(none, cpu_table(isa), 2);
    r.run();
    // Nothing to sum: the gradient of a weight over no tokens is zero.
    OpCall empty = call(Type(DType::f32, {{"t", 6, true}, {"m", 4}}),
                        Type(DType::f32, {{"t", 6, true}, {"n", 9}}), {"m", "n"});
    for (Tensor& t : empty.operands) t.dims[0] = 0;
    OpRunner s(empty, cpu_table(isa), 2);
    for (int64_t i = 0; i < 36; ++i) s.results()[0].set(i, 7);
    s.run();
    for (int64_t i = 0; i < 36; ++i) EXPECT_EQ(s.results()[0].get(i), 0);
  }
}

}  // namespace
}  // namespace hoist::kernels
