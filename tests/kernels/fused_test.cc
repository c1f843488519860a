// Every vectorized kernel against the reference kernels, on every instruction set; and the law of order:
// neither threads nor neighbours change a bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/cases.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/paged.h"

namespace hoist::kernels {
namespace {

// Those that have kernels of this op.
std::vector<Isa> isas(const ir::OpDef& op = ops::kExp) {
  std::vector<Isa> list;
  for (Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Dot}) {
    if (!isa_available(isa)) continue;
    const auto& all = cpu_table(isa).kernels;
    if (std::any_of(all.begin(), all.end(),
                    [&](const Kernel* k) { return k->op == op.name && k->variant == isa_name(isa); }))
      list.push_back(isa);
  }
  return list;
}

// Largest difference, relative to the largest value; where both are infinite of one sign there is none.
double difference(const Tensor& got, const Tensor& want) {
  double worst = 0, norm = 1;
  for (int64_t i = 0; i < want.elements(); ++i) {
    double a = got.get(i), b = want.get(i);
    if (std::isfinite(b)) norm = std::max(norm, std::abs(b));
    if (a == b) continue;
    double d = std::abs(a - b);
    worst = std::max(worst, std::isfinite(d) ? d : INFINITY);
  }
  return worst / norm;
}

double tolerance(DType operand, DType result) {
  DType coarse = result == DType::f32 ? operand : result;
  if (result == DType::f32 && operand != DType::f32) return 1e-5;  // both sides read the same 16-bit numbers
  return coarse == DType::f32 ? 4e-6 : coarse == DType::f16 ? 1.5e-3 : 1e-2;
}

// Over a bf16 cache, queries and probabilities may be rounded to bf16 (ops/paged.h): half an ulp is 2^-9.
bool over_bf16_cache(const OpCall& c) {
  return c.op == &ops::kPagedAttention && c.operands[1].type.dtype == DType::bf16;
}

// Over an int8 cache queries are rounded to 16-bit integers (kernels/cpu/attention_bytes.inc): scores of a
// few units move by about 1e-5.
bool over_int8_cache(const OpCall& c) {
  return c.op == &ops::kPagedAttention && c.operands[1].type.dtype == DType::i8;
}

TEST(Fused, AgreesWithTheReference) {
  for (DType d : {DType::f32, DType::bf16, DType::f16})
    for (const Case& c : fused_cases(d)) {
      OpRunner want(c.call, ref_table(), 1);
      ASSERT_TRUE(want.found()) << c.name;
      want.run();
      for (Isa isa : isas(*c.call.op)) {
        OpRunner got(c.call, cpu_table(isa), 2, isa_name(isa));
        if (!got.found() && c.name.starts_with("embedding_grad")) continue;
        ASSERT_TRUE(got.found()) << c.name << " " << dtype_name(d) << " " << isa_name(isa);
        got.run();
        for (size_t i = 0; i < want.results().size(); ++i)
          EXPECT_LE(difference(got.results()[i], want.results()[i]),
                    std::max({tolerance(d, want.results()[i].type.dtype), over_bf16_cache(c.call) ? 4e-3 : 0,
                              over_int8_cache(c.call) ? 3e-5 : 0}))
              << c.name << " " << dtype_name(d) << ", " << isa_name(isa) << ", result " << i;
      }
    }
}

TEST(Fused, BitsDoNotDependOnThreads) {
  for (const Case& c : fused_cases(DType::f32))
    for (Isa isa : isas(*c.call.op)) {
      OpRunner one(c.call, cpu_table(isa), 1);
      one.run();
      for (int threads : {2, 3}) {
        OpRunner many(c.call, cpu_table(isa), threads);
        many.run();
        for (size_t i = 0; i < one.results().size(); ++i)
          EXPECT_EQ(one.results()[i].bytes(), many.results()[i].bytes())
              << c.name << ", " << isa_name(isa) << ", result " << i;
      }
    }
}

// The first rows alone: operands that begin with the outermost axis are cut to 5.
TEST(Fused, BitsDoNotDependOnRows) {
  for (DType d : {DType::f32, DType::bf16})
    for (const Case& c : fused_cases(d)) {
      if (!c.rows) continue;
      for (Isa isa : isas(*c.call.op)) {
        OpRunner whole(c.call, cpu_table(isa), 2);
        whole.run();
        OpCall part = c.call;
        const ir::Axis outer = part.operands[0].type.dims[0].axis;
        for (Tensor& t : part.operands)
          if (t.type.rank() && t.type.dims[0].axis == outer) {
            ir::Type type = t.type;
            type.dims[0].size = std::min<int64_t>(5, type.dims[0].size);
            Tensor cut(type);
            std::memcpy(cut.data(), t.data(), static_cast<size_t>(type.bytes()));
            t = cut;
          }
        OpRunner few(part, cpu_table(isa), 3);
        few.run();
        for (size_t i = 0; i < few.results().size(); ++i) {
          std::vector<std::byte> a = few.results()[i].bytes(), b = whole.results()[i].bytes();
          b.resize(a.size());
          EXPECT_TRUE(a == b) << c.name << ", " << isa_name(isa) << ", result " << i;
        }
      }
    }
}

// One batch of three sequences against each token alone, in pieces, and in another order. Slots nobody sees
// hold NaN.
// Every `stride`-th token of a batch alone, and all tokens in pieces, against all of them at once.
void compare_pieces(const OpCall& all, Isa isa, size_t tokens, const std::vector<size_t>& steps,
                    size_t stride) {
  auto run = [&](const OpCall& c, int threads) {
    OpRunner r(c, cpu_table(isa), threads, isa_name(isa));
    r.run();
    return r.results()[0].bytes();
  };
  const std::vector<std::byte> whole = run(all, 2);
  const size_t row = whole.size() / tokens;
  for (size_t step : steps)
    for (size_t at = 0; at < tokens; at += step) {
      size_t count = std::min(step, tokens - at);
      if (step == 1 && at % stride && at + 1 != tokens) continue;
      OpCall part = all;
      for (int i : {0, 4, 5}) {  // q, seq, pos
        Tensor& t = part.operands[static_cast<size_t>(i)];
        const size_t bytes = t.bytes().size() / tokens;
        std::memmove(t.data(), t.data() + at * bytes, count * bytes);
        t.dims[0] = static_cast<int64_t>(count);
      }
      const std::vector<std::byte> got = run(part, at % 2 ? 1 : 3);
      ASSERT_EQ(got.size(), count * row);
      EXPECT_EQ(0, std::memcmp(got.data(), whole.data() + at * row, got.size()))
          << isa_name(isa) << " tokens " << at << " to " << at + count;
    }
}

// One batch of three sequences against each token alone, in pieces, and in another order. Slots nobody sees
// hold NaN.
TEST(Paged, BitsDoNotDependOnTheBatch) {
  std::vector<int> seq, pos;
  for (int i = 0; i < 131; ++i) seq.push_back(0), pos.push_back(i);
  for (int i = 0; i < 70; ++i) seq.push_back(1), pos.push_back(i);
  seq.push_back(2), pos.push_back(40);
  for (Isa isa : isas(ops::kPagedAttention))
    for (DType pool : {DType::f32, DType::bf16, DType::f16, DType::i8})
      for (int64_t window : {0, 30})
        compare_pieces(paged_call(DType::f32, pool, seq, pos, 2, 2, 24, 40, 8, window, 0, false, NAN), isa,
                       seq.size(), {1, 7, 64}, 5);
}

// Long enough for parts of keys that several threads share: the last tokens of a prompt, alone and together.
// Heads fill packs unevenly.
TEST(Paged, BitsDoNotDependOnHowKeysAreShared) {
  std::vector<int> seq, pos;
  for (int i = 0; i < 20; ++i) seq.push_back(0), pos.push_back(1015 + i);
  seq.push_back(1), pos.push_back(600);
  for (Isa isa : isas(ops::kPagedAttention))
    for (DType pool : {DType::f32, DType::bf16})
      for (int64_t window : {0, 600})
        for (int64_t group : {3, 8})
          compare_pieces(paged_call(DType::f32, pool, seq, pos, 5, group, 16, 16, 16, window, 0, false, NAN),
                         isa, seq.size(), {1, 9}, 6);
}

TEST(Paged, WritesInOrderAndSkipsPadding) {
  for (Isa isa : isas(ops::kKvWrite)) {
    OpCall c{&ops::kKvWrite,
             ir::Attrs::of(ops::KvWriteAttrs{}),
             {Tensor(ir::Type(DType::f32, {{"blocks", 2}, {"block", 3}, {"h", 1}, {"d", 5}})),
              random_tensor(ir::Type(DType::f32, {{"tokens", 4}, {"h", 1}, {"d", 5}}), 1),
              Tensor(ir::Type(DType::i32, {{"tokens", 4}}))}};
    int slots[] = {4, -1, 4, 99};
    for (int i = 0; i < 4; ++i) c.operands[2].set(i, slots[i]);
    OpRunner r(c, cpu_table(isa), 2, isa_name(isa));
    r.run();
    for (int64_t i = 0; i < 30; ++i)
      EXPECT_EQ(r.results()[0].get(i), i / 5 == 4 ? c.operands[1].get(10 + i % 5) : 0.0) << isa_name(isa);
  }
}

// Unit in the last place of a float near x.
double ulp(double x) {
  return std::ldexp(1.0, std::max(std::ilogb(std::max(std::abs(x), 1e-45)) - 23, -149));
}

TEST(Math, FunctionsAreWithinAFewUlp) {
  struct Function {
    const ir::OpDef* op;
    long double (*exact)(long double);
    double low, high, limit;
  };
  const Function functions[] = {
      {&ops::kExp, [](long double x) { return std::exp(x); }, -104, 89, 1.5},
      {&ops::kTanh, [](long double x) { return std::tanh(x); }, -10, 10, 2.5},
      {&ops::kErf, [](long double x) { return std::erf(x); }, -5, 5, 2.5},
      {&ops::kSigmoid, [](long double x) { return 1 / (1 + std::exp(-x)); }, -80, 80, 3},
  };
  for (Isa isa : isas())
    for (const Function& f : functions) {
      const int64_t n = 200003;
      OpCall c{f.op, ir::Attrs::of(ir::NoAttrs{}), {Tensor(ir::Type(DType::f32, {{"n", n}}))}};
      for (int64_t i = 0; i < n; ++i)
        c.operands[0].set(i, f.low + (f.high - f.low) * static_cast<double>(i) / static_cast<double>(n - 1));
      OpRunner r(c, cpu_table(isa), 2, isa_name(isa));
      r.run();
      double worst = 0, at = 0;
      for (int64_t i = 0; i < n; ++i) {
        auto want = static_cast<double>(f.exact(c.operands[0].get(i)));
        if (want > 3.4e38) continue;
        double error = std::abs(r.results()[0].get(i) - want) / ulp(want);
        if (error > worst) worst = error, at = c.operands[0].get(i);
      }
      EXPECT_LE(worst, isa == Isa::kPortable ? 2 * f.limit : f.limit)
          << f.op->name << " at " << at << ", " << isa_name(isa);
    }
}

TEST(Math, ExtremesAreExact) {
  for (Isa isa : isas()) {
    auto at = [&](const ir::OpDef& op, double x) {
      OpCall c{&op, ir::Attrs::of(ir::NoAttrs{}), {Tensor(ir::Type(DType::f32, {{"n", 1}}))}};
      c.operands[0].set(0, x);
      OpRunner r(c, cpu_table(isa), 1, isa_name(isa));
      r.run();
      return r.results()[0].get(0);
    };
    EXPECT_EQ(at(ops::kExp, 0), 1);
    EXPECT_EQ(at(ops::kExp, -INFINITY), 0);
    EXPECT_EQ(at(ops::kExp, INFINITY), INFINITY);
    EXPECT_EQ(at(ops::kExp, 1000), INFINITY);
    EXPECT_TRUE(std::isnan(at(ops::kExp, NAN)));
    EXPECT_TRUE(std::isnan(at(ops::kTanh, NAN)));
    EXPECT_TRUE(std::isnan(at(ops::kErf, NAN)));
    EXPECT_EQ(at(ops::kTanh, INFINITY), 1);
    EXPECT_EQ(at(ops::kErf, -INFINITY), -1);
    EXPECT_EQ(at(ops::kSigmoid, -INFINITY), 0);
    EXPECT_EQ(at(ops::kIsFinite, NAN), 0);
    EXPECT_EQ(at(ops::kIsFinite, -INFINITY), 0);
    EXPECT_EQ(at(ops::kIsFinite, 3e38), 1);
  }
}

TEST(Tables, FallBackToNarrowerSetsAndTheReference) {
  for (Isa isa : isas()) {
    const KernelTable& table = cpu_table(isa);
    EXPECT_EQ(table.name, isa_name(isa));
    EXPECT_EQ(table.kernels.front()->variant, isa_name(isa));
    EXPECT_EQ(table.kernels.back()->variant, ref_table().kernels.back()->variant);
    std::set<std::string_view> ops;
    for (const Kernel* k : table.kernels) ops.insert(k->op);
    for (const Kernel* k : ref_table().kernels) EXPECT_TRUE(ops.count(k->op));
  }
}

}  // namespace
}  // namespace hoist::kernels
