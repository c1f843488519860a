// linear: the product that contract gives, then the epilogue, on every instruction set and way of holding
// weights.
#include "ops/linear.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/gemm/panels.h"
#include "kernels/run_op.h"
#include "ops/contract.h"
#include "quant/codec.h"

namespace hoist::kernels {
namespace {

using ir::Attrs;
using ir::Type;
using ops::LinearAttrs;

std::vector<Isa> isas() {
  std::vector<Isa> all;
  for (Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Dot})
    if (isa_available(isa)) all.push_back(isa);
  return all;
}

// Weights [n, k]: dense either way round, or packed in panels as f32, q8_0 or q4_k.
const char* const kHolds[] = {"nt", "nn", "p1", "q8_0_p1", "q4_k_p1"};

Tensor weights(const std::string& how, int64_t n, int64_t k) {
  if (how == "nn") return random_tensor(Type(DType::f32, {{"k", k}, {"n", n}}), 2);
  const Tensor dense = random_tensor(Type(DType::f32, {{"n", n}, {"k", k}}), 2);
  if (how == "nt") return dense;
  Type type = dense.type;
  type.format = how;
  Tensor packed(type);
  const cpu::PanelTable table = cpu::panel_table(type);
  std::vector<std::byte> rows(static_cast<size_t>(n * k * 4));
  if (table.blocks)
    quant::find_codec(how.substr(0, 4))
        ->quantize(reinterpret_cast<const float*>(dense.data()), rows.data(), n * k);
  else
    std::memcpy(rows.data(), dense.data(), rows.size());
  cpu::pack_rows_of(table, rows.data(), 0, n, packed.data());
  return packed;
}

double activate(double x, Symbol name) {
  if (name == Symbol("relu")) return x > 0 ? x : 0;
  if (name == Symbol("silu")) return x / (1 + std::exp(-x));
  if (name == Symbol("gelu_tanh"))
    return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
  if (name == Symbol("gelu_erf")) return 0.5 * x * (1 + std::erf(x * std::sqrt(0.5)));
  return x;
}

struct Variant {
  const char* note;
  LinearAttrs attrs;
};
std::vector<Variant> variants() {
  return {{"scale", {.scale = 0.25}},
          {"bias", {.bias = true}},
          {"residual", {.residual = true}},
          {"relu", {.activation = "relu"}},
          {"bias, gelu_tanh", {.bias = true, .activation = "gelu_tanh"}},
          {"bias, gelu_erf, residual", {.bias = true, .activation = "gelu_erf", .residual = true}},
          {"plain gate", {.gate = true}},
          {"swiglu", {.gate = true, .gate_activation = "silu"}},
          {"all",
           {.scale = -2,
            .bias = true,
            .activation = "silu",
            .gate = true,
            .gate_activation = "gelu_tanh",
            .residual = true}}};
}

OpCall linear_call(const Tensor& x, const Tensor& w, LinearAttrs a, DType to, DType bias_type) {
  a.out = {"m", "n"};
  a.to = to;
  const ir::Dim n = w.type.dims[w.type.find("n")];
  OpCall c{&ops::kLinear, Attrs::of(a), {x, w}};
  const Type like(to, {x.type.dims[0], n});
  if (a.bias) c.operands.push_back(random_tensor(Type(bias_type, {n}), 3));
  if (a.gate) c.operands.push_back(random_tensor(like, 4));
  if (a.residual) c.operands.push_back(random_tensor(like, 5));
  for (size_t i = 2; i < c.operands.size(); ++i)
    if (c.operands[i].type.has("m")) c.operands[i].dims[0] = x.dims[0];
  return c;
}

// The result from contract's own: what stands between them is the epilogue alone.
void expect_finished(const OpCall& c, Isa isa, const std::string& what) {
  const auto& a = c.attrs.as<LinearAttrs>();
  OpRunner got(c, cpu_table(isa), 2);
  ASSERT_TRUE(got.found()) << what;
  EXPECT_NE(got.variant(), "ref") << what;
  got.run();
  OpRunner product(
      {&ops::kContract, Attrs::of(ops::ContractAttrs{a.out, DType::f32}), {c.operands[0], c.operands[1]}},
      cpu_table(isa), 1);
  product.run();
  const ops::LinearPlaces at(a);
  const Tensor& y = got.results()[0];
  const int64_t n = y.dims[1];
  const double slack = a.to == DType::f32 ? 3e-6 : a.to == DType::f16 ? 6e-4 : 5e-3;
  for (int64_t i = 0; i < y.elements(); ++i) {
    auto value = [&](int8_t place, int64_t j) { return c.operands[static_cast<size_t>(place)].get(j); };
    double want = product.results()[0].get(i) * a.scale, size = std::abs(want);
    if (a.bias) want += value(at.bias, i % n);
    size = std::max(size, std::abs(want));
    want = activate(want, a.activation);
    if (a.gate) want *= activate(value(at.gate, i), a.gate_activation);
    if (a.residual) want += value(at.residual, i);
    ASSERT_NEAR(y.get(i), want, slack * (std::abs(want) + size + 1))
        << what << " on " << isa_name(isa) << " at " << i;
  }
}

TEST(Linear, EpiloguesFollowTheProduct) {
  for (const std::string how : kHolds)
    for (int64_t k : {256, 768})
      for (int64_t n : {5, 37, 100})
        for (int64_t m : {1, 3, 4, 5, 13, 50}) {
          const Tensor x = random_tensor(Type(DType::f32, {{"m", m}, {"k", k}}), 1), w = weights(how, n, k);
          for (const Variant& v : variants())
            for (Isa isa : isas())
              expect_finished(linear_call(x, w, v.attrs, DType::f32, DType::f32), isa,
                              how + " " + std::to_string(m) + "x" + std::to_string(n) + "x" +
                                  std::to_string(k) + " " + v.note);
        }
}

TEST(Linear, EveryMixOfTypes) {
  for (const std::string how : kHolds)
    for (DType in : {DType::f32, DType::bf16, DType::f16})
      for (DType to : {DType::f32, DType::bf16, DType::f16})
        for (DType bias : {DType::f32, DType::bf16}) {
          const Tensor x = random_tensor(Type(in, {{"m", 7}, {"k", 256}}), 1), w = weights(how, 21, 256);
          for (const Variant& v : variants())
            for (Isa isa : isas())
              expect_finished(linear_call(x, w, v.attrs, to, bias), isa,
                              how + " " + std::string(dtype_name(in)) + " -> " + std::string(dtype_name(to)) +
                                  " " + v.note);
        }
}

// The reference kernel computes in double from the published values.
TEST(Linear, EqualsTheReference) {
  for (const std::string how : {"nt", "nn", "p1"})
    for (const Variant& v : variants()) {
      const Tensor x = random_tensor(Type(DType::f32, {{"m", 6}, {"k", 64}}), 1), w = weights(how, 19, 64);
      const OpCall c = linear_call(x, w, v.attrs, DType::f32, DType::f32);
      OpRunner want(c, ref_table(), 1);
      ASSERT_TRUE(want.found());
      want.run();
      for (Isa isa : isas()) {
        OpRunner got(c, cpu_table(isa), 1);
        got.run();
        for (int64_t i = 0; i < want.results()[0].elements(); ++i)
          EXPECT_NEAR(got.results()[0].get(i), want.results()[0].get(i), 2e-4)
              << how << " " << v.note << " on " << isa_name(isa);
      }
    }
}

TEST(Linear, BitsDoNotDependOnRowsOrThreads) {
  for (const std::string how : kHolds)
    for (Isa isa : isas()) {
      const Tensor x = random_tensor(Type(DType::f32, {{"m", 61, true}, {"k", 768}}), 1),
                   w = weights(how, 77, 768);
      const OpCall whole = linear_call(x, w, variants().back().attrs, DType::f32, DType::f32);
      OpRunner reference(whole, cpu_table(isa), 1);
      reference.run();
      const std::vector<std::byte> bits = reference.results()[0].bytes();
      for (int threads : {1, 3})
        for (int64_t m : {1, 2, 4, 5, 12, 40, 61}) {
          OpCall part = whole;
          for (Tensor& t : part.operands)
            if (t.type.has("m")) t.dims[0] = m;
          OpRunner r(part, cpu_table(isa), threads);
          r.run();
          const std::vector<std::byte> got = r.results()[0].bytes();
          EXPECT_EQ(0, std::memcmp(got.data(), bits.data(), got.size()))
              << how << " on " << isa_name(isa) << " m=" << m << " threads=" << threads;
        }
    }
}

// A NaN in a row of x reaches that row's results and no other's; so do infinities of the bias.
TEST(Linear, NotANumberStaysInItsRow) {
  for (const std::string how : kHolds)
    for (Isa isa : isas()) {
      Tensor x = random_tensor(Type(DType::f32, {{"m", 9}, {"k", 256}}), 1);
      x.set(4 * 256 + 17, std::nan(""));
      const OpCall c =
          linear_call(x, weights(how, 33, 256), {.bias = true, .residual = true}, DType::f32, DType::f32);
      OpRunner r(c, cpu_table(isa), 2);
      r.run();
      for (int64_t i = 0; i < 9 * 33; ++i) EXPECT_EQ(std::isnan(r.results()[0].get(i)), i / 33 == 4) << how;
    }
}

}  // namespace
}  // namespace hoist::kernels
