// Routing and grouped products on every instruction set: as the reference has them, and the bits of contract.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/cpu/gemm/panels.h"
#include "kernels/run_op.h"
#include "ops/contract.h"
#include "ops/moe.h"
#include "quant/codec.h"

namespace hoist::kernels {
namespace {

using ir::Attrs;
using ir::Type;
using Counts = std::vector<int>;

std::vector<Isa> isas() {
  std::vector<Isa> all;
  for (Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Dot})
    if (isa_available(isa)) all.push_back(isa);
  return all;
}

Tensor counts_tensor(const Counts& counts) {
  Tensor t(Type(DType::i32, {{"routed", static_cast<int64_t>(counts.size())}}));
  for (size_t i = 0; i < counts.size(); ++i) t.set(static_cast<int64_t>(i), counts[i]);
  return t;
}

// Where rows lie, and whose they are: even, on one expert, on few of many, past all runs, and nonsense.
struct Routing {
  const char* name;
  int64_t rows;
  Counts counts;
};
std::vector<Routing> routings() {
  constexpr int kMost = INT32_MAX;
  return {{"even", 24, {8, 8, 8}},
          {"one row each", 4, {1, 1, 1, 1}},
          {"all on one", 23, {0, 0, 23, 0}},
          {"long and short runs", 300, {3, 0, 250, 1, 40, 6}},
          {"few of many", 5, {0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 2}},
          {"rows of nobody", 20, {4, 0, 9}},
          {"nobody", 7, {0, 0}},
          {"negative counts", 12, {3, -5, 4, -kMost, 2}},
          {"too many", 12, {3, kMost, kMost, 2}},
          {"no rows", 0, {2, 1}}};
}

ops::GroupedAttrs attrs_for(const AxisList& out, DType to = DType::f32) {
  ops::GroupedAttrs a;
  a.row_axis = "rows";
  a.expert_axis = "experts";
  a.out = out;
  a.to = to;
  return a;
}

OpCall contract_call(const Tensor& x, const Tensor& w, const Counts& counts, const ops::GroupedAttrs& a) {
  return {&ops::kGroupedContract, Attrs::of(a), {x, w, counts_tensor(counts)}};
}
OpCall outer_call(const Tensor& x, const Tensor& y, const Counts& counts, ops::GroupedAttrs a,
                  int64_t experts = -1) {
  a.num_experts = experts < 0 ? static_cast<int64_t>(counts.size()) : experts;
  return {&ops::kGroupedOuter, Attrs::of(a), {x, y, counts_tensor(counts)}};
}

Tensor result_of(const OpCall& c, const KernelTable& table, int threads) {
  OpRunner r(c, table, threads);
  HOIST_CHECK(r.found(), "no kernel");
  for (Tensor& t : r.results())  // what is not written shows
    std::memset(t.data(), 0x7b, static_cast<size_t>(t.type.bytes()));
  r.run();
  return r.results()[0];
}

double tolerance(DType to) { return to == DType::f32 ? 3e-6 : to == DType::f16 ? 1e-3 : 8e-3; }

void expect_close(const Tensor& got, const Tensor& want, double tolerance, const std::string& what) {
  double worst = 0, norm = 1;
  for (int64_t i = 0; i < want.elements(); ++i) {
    const double d = std::abs(got.get(i) - want.get(i));
    worst = std::max(worst, std::isfinite(d) ? d : INFINITY);
    norm = std::max(norm, std::abs(want.get(i)));
  }
  EXPECT_LE(worst, tolerance * norm) << what;
}

void expect_as_reference(const OpCall& c, double tolerance, const std::string& what) {
  const Tensor want = result_of(c, ref_table(), 1);
  for (Isa isa : isas()) {
    OpRunner found(c, cpu_table(isa), 2);
    EXPECT_NE(found.variant(), "ref") << what;
    expect_close(result_of(c, cpu_table(isa), 2), want, tolerance,
                 what + " on " + std::string(isa_name(isa)));
  }
}

// Row `row` of x alone, without its axis.
Tensor row_of(const Tensor& x, int64_t row) {
  Type type = x.type;
  type.dims[0] = {"one", 1};
  Tensor t(type);
  std::memcpy(t.data(), x.data() + row * type.bytes(), static_cast<size_t>(type.bytes()));
  return t;
}

const ir::Dim kModel{"model", 37}, kFfn{"ffn", 53};
ir::Dims weight_dims(size_t experts, bool by_in) {
  const ir::Dim e{"experts", static_cast<int64_t>(experts)};
  return by_in ? ir::Dims{e, kFfn, kModel} : ir::Dims{e, kModel, kFfn};
}

TEST(GroupedContract, AgreesWithTheReference) {
  for (const Routing& r : routings())
    for (bool by_in : {true, false}) {
      const Tensor x = random_tensor(Type(DType::f32, {{"rows", r.rows}, kModel}), 1);
      const Tensor w = random_tensor(Type(DType::f32, weight_dims(r.counts.size(), by_in)), 2);
      expect_as_reference(contract_call(x, w, r.counts, attrs_for({"ffn"})), tolerance(DType::f32), r.name);
    }
}

TEST(GroupedContract, EveryMixOfTypesIsRight) {
  for (DType a : {DType::f32, DType::bf16, DType::f16})
    for (DType b : {DType::f32, DType::bf16, DType::f16})
      for (DType to : {DType::f32, DType::bf16, DType::f16}) {
        const Tensor x = random_tensor(Type(a, {{"rows", 24}, kModel}), 1);
        const Tensor w = random_tensor(Type(b, weight_dims(4, true)), 2);
        expect_as_reference(contract_call(x, w, {1, 14, 0, 7}, attrs_for({"ffn"}, to)), tolerance(to),
                            std::string(dtype_name(a)) + " x " + std::string(dtype_name(b)) + " -> " +
                                std::string(dtype_name(to)));
      }
}

TEST(GroupedContract, GroupsOfAxesAreRight) {
  const Counts counts{5, 0, 3, 30, 1};
  const ir::Dim e{"experts", 5}, rows{"rows", 40}, h{"heads", 3}, d{"head_dim", 11}, f{"ffn", 9},
      g{"gate", 2};
  const Tensor x = random_tensor(Type(DType::f32, {rows, h, d}), 1);
  for (const ir::Dims& dims : {ir::Dims{e, h, d, f, g}, ir::Dims{e, f, d, g, h}, ir::Dims{e, g, f, h, d}})
    for (const AxisList& out : {AxisList{"ffn", "gate"}, AxisList{"gate", "ffn"}}) {
      const Tensor w = random_tensor(Type(DType::f32, dims), 2);
      expect_as_reference(contract_call(x, w, counts, attrs_for(out)), tolerance(DType::f32), "axes");
    }
  // Nothing left of the weight but what is contracted, and nothing contracted.
  expect_as_reference(contract_call(x, random_tensor(Type(DType::f32, {e, h, d}), 2), counts, attrs_for({})),
                      3e-6, "dot");
  expect_as_reference(contract_call(random_tensor(Type(DType::f32, {rows}), 1),
                                    random_tensor(Type(DType::f32, {e, f}), 2), counts, attrs_for({"ffn"})),
                      3e-6, "scaled rows");
}

// Pieces of rows and of experts add up to the whole, each row from the piece that has its expert.
TEST(GroupedContract, PiecesAreRight) {
  const Counts counts{5, 0, 7, 2, 6};
  for (int64_t row_base : {0, 3, 12, 40})
    for (int64_t expert_base : {0, 2, 4}) {
      ops::GroupedAttrs a = attrs_for({"ffn"});
      a.row_base = row_base;
      a.expert_base = expert_base;
      const Tensor x = random_tensor(Type(DType::f32, {{"rows", 9}, kModel}), 1);
      const size_t experts = expert_base == 4 ? 1 : 2;
      const Tensor w = random_tensor(Type(DType::f32, weight_dims(experts, true)), 2);
      const std::string what = std::to_string(row_base) + ", " + std::to_string(expert_base);
      expect_as_reference(contract_call(x, w, counts, a), 3e-6, what);
      const Tensor y = random_tensor(Type(DType::f32, {{"rows", 9}, kFfn}), 3);
      a.out = {"ffn", "model"};
      expect_as_reference(outer_call(x, y, counts, a, static_cast<int64_t>(experts)), 3e-6, what);
    }
}

// Every row has the bits of contract of that row alone with its expert's weights, whatever the threads and
// however few rows are live.
TEST(GroupedContract, BitsAreThoseOfContract) {
  const Counts counts{3, 0, 210, 1, 17, 5};
  const int64_t rows = 240, in = 700, out = 131;
  for (DType d : {DType::f32, DType::bf16})
    for (bool by_in : {true, false})
      for (Isa isa : isas()) {
        const ir::Dim e{"experts", 6}, k{"model", in}, n{"ffn", out};
        const Tensor x = random_tensor(Type(d, {{"rows", rows, true}, k}), 1);
        const Tensor w = random_tensor(Type(d, by_in ? ir::Dims{e, n, k} : ir::Dims{e, k, n}), 2);
        OpCall c = contract_call(x, w, counts, attrs_for({"ffn"}));
        const Tensor whole = result_of(c, cpu_table(isa), 1);
        int64_t row = 0;
        for (size_t expert = 0; expert < counts.size(); ++expert)
          for (int i = 0; i < counts[expert]; ++i, ++row) {
            if (i > 2 && i % 41) continue;
            Type type = w.type;
            type.dims.erase(0);
            Tensor own(type);
            std::memcpy(own.data(), w.data() + static_cast<int64_t>(expert) * type.bytes(),
                        static_cast<size_t>(type.bytes()));
            const Tensor alone = result_of({&ops::kContract,
                                            Attrs::of(ops::ContractAttrs{{"one", "ffn"}, DType::f32}),
                                            {row_of(x, row), own}},
                                           cpu_table(isa), 1);
            EXPECT_EQ(0,
                      std::memcmp(alone.data(), whole.data() + row * out * 4, static_cast<size_t>(out) * 4))
                << isa_name(isa) << " row " << row;
          }
        for (int64_t i = row * out; i < rows * out; ++i) ASSERT_EQ(whole.get(i), 0);
        for (int threads : {2, 3})
          for (int64_t live : {0, 1, 3, 100, 214, 240}) {
            c.operands[0].dims[0] = live;
            const std::vector<std::byte> got = result_of(c, cpu_table(isa), threads).bytes();
            ASSERT_EQ(got.size(), static_cast<size_t>(live * out * 4));
            EXPECT_EQ(0, std::memcmp(got.data(), whole.data(), got.size()))
                << isa_name(isa) << " live=" << live << " threads=" << threads;
          }
      }
}

// ---- weights in panels ----

const char* const kFormats[] = {"q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k", "i8", ""};

std::vector<std::byte> published(const cpu::PanelTable& t, const std::string& format, int64_t rows,
                                 uint64_t seed) {
  const int64_t n = rows * t.k;
  const Tensor dense = random_tensor(Type(DType::f32, {{"n", n}}), seed);
  const float* x = reinterpret_cast<const float*>(dense.data());
  std::vector<std::byte> out;
  if (format == "i8") {
    out.resize(static_cast<size_t>(rows * (t.k + 4)));
    for (int64_t r = 0; r < rows; ++r) {
      std::byte* to = out.data() + r * (t.k + 4);
      const float scale = 0.02f + 0.001f * static_cast<float>(r);
      std::memcpy(to, &scale, 4);
      for (int64_t j = 0; j < t.k; ++j)
        to[4 + j] =
            static_cast<std::byte>(static_cast<int8_t>(std::clamp(x[r * t.k + j] * 40, -127.f, 127.f)));
    }
  } else if (!format.empty()) {
    const quant::BlockCodec* codec = quant::find_codec(format);
    out.resize(static_cast<size_t>(codec->bytes_of(n)));
    codec->quantize(x, out.data(), n);
  } else {
    out.resize(static_cast<size_t>(n * dtype_size(t.dtype)));
    for (int64_t i = 0; i < n; ++i)
      if (t.dtype == DType::f32)
        std::memcpy(&out[static_cast<size_t>(i * 4)], x + i, 4);
      else
        reinterpret_cast<bf16*>(out.data())[i] = to_bf16(x[i]);
  }
  return out;
}

Type in_panels(Type t, const std::string& format, int panel = 1) {
  t.format = (format.empty() ? "" : format + "_") + ("p" + std::to_string(panel));
  return t;
}

// Expert by expert.
Tensor packed(const Type& type, const std::string& format) {
  Tensor w(type);
  const cpu::PanelTable t = cpu::panel_table(type);
  const int64_t experts = type.dims[0].size, rows = t.rows / experts;
  for (int64_t e = 0; e < experts; ++e)
    cpu::pack_rows_of(t, published(t, format, rows, static_cast<uint64_t>(e) + 7).data(), e * rows, rows,
                      w.data());
  return w;
}

// Rows that 8 bits hold exactly: only the order of sums is left between a kernel and the reference.
Tensor whole_numbers(const Type& type, int64_t k) {
  Tensor x = random_tensor(type, 3);
  for (int64_t i = 0; i < x.elements(); ++i)
    x.set(i, i % k % 256 == 0 ? 127 : std::clamp(std::nearbyint(x.get(i) * 60), -127.0, 127.0));
  return x;
}

TEST(GroupedContract, PanelsAgreeWithTheReference) {
  for (const char* format : kFormats)
    for (const Routing& r : routings()) {
      const int64_t k = r.rows > 100 ? 256 : 512, experts = static_cast<int64_t>(r.counts.size());
      const Tensor x = whole_numbers(Type(DType::f32, {{"rows", r.rows}, {"model", k}}), k);
      const Tensor w = packed(
          in_panels(Type(DType::f32, {{"experts", experts}, {"ffn", 48}, {"model", k}}), format), format);
      expect_as_reference(contract_call(x, w, r.counts, attrs_for({"ffn"})), 4e-6,
                          std::string(format) + " " + r.name);
    }
}

TEST(GroupedContract, PanelsOfSeveralAxesAndTypes) {
  const Counts counts{2, 0, 9};
  for (DType xt : {DType::f32, DType::bf16})
    for (DType wt : {DType::f32, DType::bf16}) {
      const Tensor x = random_tensor(Type(xt, {{"rows", 12}, {"heads", 3}, {"d", 19}}), 3);
      const Tensor w = packed(
          in_panels(Type(wt, {{"experts", 3}, {"gate", 2}, {"ffn", 56}, {"heads", 3}, {"d", 19}}), "", 2),
          "");
      const OpCall c = contract_call(x, w, counts, attrs_for({"gate", "ffn"}));
      const Tensor want = result_of(c, ref_table(), 1);
      for (Isa isa : isas())  // with dot products, f32 rows are rounded to bf16
        expect_close(result_of(c, cpu_table(isa), 3), want,
                     isa == Isa::kAvx512Dot && xt == DType::f32 && wt == DType::bf16 ? 8e-3 : 3e-6, "dense");
    }
}

TEST(GroupedContract, PanelBitsAreThoseOfContract) {
  const Counts counts{3, 0, 60, 1, 9};
  const int64_t rows = 75, k = 768, n = 80;
  for (const char* format : kFormats)
    for (Isa isa : isas()) {
      const Tensor x = random_tensor(Type(DType::f32, {{"rows", rows, true}, {"model", k}}), 1);
      const Type one = in_panels(Type(DType::f32, {{"ffn", n}, {"model", k}}), format);
      const Tensor w =
          packed(in_panels(Type(DType::f32, {{"experts", 5}, {"ffn", n}, {"model", k}}), format), format);
      ASSERT_EQ(w.type.bytes(), 5 * one.bytes());
      OpCall c = contract_call(x, w, counts, attrs_for({"ffn"}));
      const Tensor whole = result_of(c, cpu_table(isa), 1);
      int64_t row = 0;
      for (size_t expert = 0; expert < counts.size(); ++expert)
        for (int i = 0; i < counts[expert]; ++i, ++row) {
          if (i % 7) continue;
          Tensor own(one);
          std::memcpy(own.data(), w.data() + static_cast<int64_t>(expert) * one.bytes(),
                      static_cast<size_t>(one.bytes()));
          const Tensor alone = result_of({&ops::kContract,
                                          Attrs::of(ops::ContractAttrs{{"one", "ffn"}, DType::f32}),
                                          {row_of(x, row), own}},
                                         cpu_table(isa), 1);
          EXPECT_EQ(0, std::memcmp(alone.data(), whole.data() + row * n * 4, static_cast<size_t>(n) * 4))
              << format << " " << isa_name(isa) << " row " << row;
        }
      for (int threads : {2, 3})
        for (int64_t live : {1, 4, 50, 75}) {
          c.operands[0].dims[0] = live;
          const std::vector<std::byte> got = result_of(c, cpu_table(isa), threads).bytes();
          EXPECT_EQ(0, std::memcmp(got.data(), whole.data(), got.size()))
              << format << " " << isa_name(isa) << " live=" << live << " threads=" << threads;
        }
    }
}

TEST(GroupedContract, RefusesPanelsThatDoNotFit) {
  auto infer = [](const Type& x, const Type& w, const AxisList& out) {
    const Type counts(DType::i32, {{"routed", 3}});
    return ir::infer_types(ops::kGroupedContract, Attrs::of(attrs_for(out)), std::vector<Type>{x, w, counts});
  };
  const ir::Dim e{"experts", 3}, n{"ffn", 32}, a{"a", 2}, k{"model", 64};
  const Type x(DType::f32, {{"rows", 5}, k}), two(DType::f32, {{"rows", 5}, a, k});
  EXPECT_NO_THROW(infer(x, in_panels(Type(DType::f32, {e, n, k}), "q8_0"), {"ffn"}));
  EXPECT_NO_THROW(infer(two, in_panels(Type(DType::f32, {e, n, a, k}), "q8_0", 2), {"ffn"}));
  // Rows that experts would share, inputs outside, inputs in another order, experts inside, no panels.
  EXPECT_THROW(infer(x, in_panels(Type(DType::f32, {e, {"ffn", 24}, k}), "q8_0"), {"ffn"}), Error);
  EXPECT_THROW(infer(x, in_panels(Type(DType::f32, {e, k, n}), "q8_0"), {"ffn"}), Error);
  EXPECT_THROW(infer(two, in_panels(Type(DType::f32, {e, n, k, a}), "p2"), {"ffn"}), Error);
  EXPECT_THROW(infer(x, in_panels(Type(DType::f32, {e, k}), "q8_0", 2), {}), Error);
  Type plain(DType::f32, {e, n, k});
  plain.format = "q8_0";
  EXPECT_THROW(infer(x, plain, {"ffn"}), Error);
}

// ---- grouped_outer ----

TEST(GroupedOuter, AgreesWithTheReference) {
  for (const Routing& r : routings())
    for (const AxisList& out : {AxisList{"ffn", "model"}, AxisList{"model", "ffn"}}) {
      const Tensor x = random_tensor(Type(DType::f32, {{"rows", r.rows}, kModel}), 1);
      const Tensor y = random_tensor(Type(DType::f32, {{"rows", r.rows}, kFfn}), 2);
      expect_as_reference(outer_call(x, y, r.counts, attrs_for(out)), 3e-6, r.name);
    }
}

TEST(GroupedOuter, TypesAndAxesAreRight) {
  const Counts counts{2, 0, 11, 1};
  for (DType d : {DType::f32, DType::bf16, DType::f16})
    for (DType to : {DType::f32, DType::bf16}) {
      const Tensor x = random_tensor(Type(d, {{"rows", 17}, {"heads", 3}, {"head_dim", 20}}), 1);
      const Tensor y = random_tensor(Type(d, {{"rows", 17}, kFfn}), 2);
      expect_as_reference(outer_call(x, y, counts, attrs_for({"heads", "ffn", "head_dim"}, to)),
                          to == DType::f32 && d != DType::f32 ? 1e-5 : tolerance(to),
                          std::string(dtype_name(d)));
    }
}

// One expert's gradient does not know of the others, nor of threads; live rows cut the last runs.
TEST(GroupedOuter, BitsDoNotDependOnNeighboursOrThreads) {
  for (DType d : {DType::f32, DType::bf16})
    for (Isa isa : isas()) {
      const int64_t rows = 1500;
      const Tensor x = random_tensor(Type(d, {{"rows", rows, true}, kModel}), 1);
      const Tensor y = random_tensor(Type(d, {{"rows", rows, true}, kFfn}), 2);
      const ops::GroupedAttrs a = attrs_for({"ffn", "model"});
      const Tensor want = result_of(outer_call(x, y, {4, 1300, 60, 0}, a), cpu_table(isa), 1);
      const int64_t one = kFfn.size * kModel.size * 4;
      for (int threads : {2, 3}) {
        OpCall c = outer_call(x, y, {4, 1300, 5, 70}, a);
        for (int i = 0; i < 2; ++i) c.operands[static_cast<size_t>(i)].dims[0] = 1304;
        const Tensor got = result_of(c, cpu_table(isa), threads);
        EXPECT_EQ(0, std::memcmp(got.data(), want.data(), static_cast<size_t>(2 * one))) << isa_name(isa);
        for (int64_t i = 2 * one / 4; i < got.elements(); ++i) ASSERT_EQ(got.get(i), 0);
      }
    }
}

// ---- route_sort ----

TEST(RouteSort, EqualsTheReference) {
  for (int64_t tokens : {0, 1, 7, 300})
    for (int64_t choices : {0, 1, 2, 5})
      for (int64_t experts : {0, 1, 4, 64})
        for (int64_t base : {0, 3}) {
          OpCall c{&ops::kRouteSort,
                   Attrs::of(ops::RouteSortAttrs{"routed", "rows", experts, base}),
                   {random_tensor(Type(DType::i32, {{"tokens", tokens}, {"choices", choices}}), 5, 9)}};
          for (int64_t i = 0; i < tokens * choices; i += 11)  // no expert's
            c.operands[0].set(i, i % 2 ? INT32_MIN : INT32_MAX);
          OpRunner want(c, ref_table(), 1), got(c, cpu_table(best_isa()), 2);
          EXPECT_NE(got.variant(), "ref");
          want.run();
          got.run();
          for (size_t i = 0; i < want.results().size(); ++i)
            EXPECT_EQ(got.results()[i].bytes(), want.results()[i].bytes())
                << tokens << "x" << choices << ", " << experts << " from " << base << ", result " << i;
        }
}

}  // namespace
}  // namespace hoist::kernels
