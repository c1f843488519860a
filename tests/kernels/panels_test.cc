// Weights in panels: what is packed reads back, and products from panels are right on every instruction set.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "kernels/cpu/gemm/panels.h"
#include "kernels/run_op.h"
#include "ops/contract.h"
#include "ops/embedding.h"
#include "quant/codec.h"

namespace hoist::kernels {
namespace {

using ir::Attrs;
using ir::Type;

const char* const kFormats[] = {"q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k", "i8", ""};

std::vector<Isa> isas() {
  std::vector<Isa> all;
  for (Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Dot})
    if (isa_available(isa)) all.push_back(isa);
  return all;
}

// Random rows as the format publishes them.
std::vector<std::byte> published(const cpu::PanelTable& t, const std::string& format) {
  const Tensor dense = random_tensor(Type(DType::f32, {{"n", t.rows}, {"k", t.k}}), 7);
  const float* x = reinterpret_cast<const float*>(dense.data());
  const int64_t n = t.rows * t.k;
  std::vector<std::byte> out;
  if (format == "i8") {
    out.resize(static_cast<size_t>(t.rows * (t.k + 4)));
    for (int64_t r = 0; r < t.rows; ++r) {
      const float scale = 0.02f + 0.001f * static_cast<float>(r);
      std::memcpy(&out[static_cast<size_t>(r * (t.k + 4))], &scale, 4);
      for (int64_t j = 0; j < t.k; ++j)
        out[static_cast<size_t>(r * (t.k + 4) + 4 + j)] =
            static_cast<std::byte>(static_cast<int8_t>(std::clamp(x[r * t.k + j] * 40, -127.0f, 127.0f)));
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

Type panel_type(DType dtype, const std::string& format, const ir::Dims& dims, int panel) {
  Type t(dtype, dims);
  t.format = (format.empty() ? "" : format + "_") + ("p" + std::to_string(panel));
  return t;
}

Tensor panel_tensor(const Type& type, const std::string& format) {
  Tensor w(type);
  const cpu::PanelTable t = cpu::panel_table(type);
  const std::vector<std::byte> rows = published(t, format);
  // In two pieces, the first a whole number of panels.
  const int64_t cut = std::min<int64_t>(16, t.rows), row = static_cast<int64_t>(rows.size()) / t.rows;
  cpu::pack_rows_of(t, rows.data(), 0, cut, w.data());
  if (cut < t.rows) cpu::pack_rows_of(t, rows.data() + cut * row, cut, t.rows - cut, w.data());
  return w;
}

OpCall call(const Tensor& x, const Tensor& w, const AxisList& out, DType to = DType::f32) {
  return {&ops::kContract, Attrs::of(ops::ContractAttrs{out, to}), {x, w}};
}

TEST(Panels, ReadBackWhatWasPacked) {
  for (const char* format : kFormats)
    for (DType dtype : {DType::f32, DType::bf16}) {
      if (*format && dtype == DType::bf16) continue;
      const Type type = panel_type(dtype, format, {{"n", 37}, {"a", 2}, {"k", 256}}, 2);
      const Tensor w = panel_tensor(type, format);
      const cpu::PanelTable t = cpu::panel_table(type);
      EXPECT_EQ(type.bytes(), (37 + 15) / 16 * t.panel) << format;
      if (!t.blocks) continue;
      const std::vector<std::byte> rows = published(t, format);
      const int64_t row = cpu::row_bytes(t.format, t.k);
      std::vector<std::byte> got(static_cast<size_t>(row));
      for (int64_t r = 0; r < t.rows; ++r) {
        cpu::unpack_published(t.format, w.data() + r / 16 * t.panel, r % 16, t.k, got.data());
        EXPECT_EQ(0, std::memcmp(got.data(), rows.data() + r * row, got.size())) << format << " row " << r;
      }
    }
}

// Activations that 8 bits hold exactly: only the order of f32 sums is left between a kernel and the
// reference.
Tensor whole_numbers(const Type& type) {
  Tensor x(type);
  const int64_t k = type.dims.back().size;
  for (int64_t i = 0; i < x.elements(); ++i)
    x.set(i, i % k % 256 == 0 ? 127 : static_cast<double>(stable_hash("x" + std::to_string(i)) % 255) - 127);
  return x;
}

TEST(Panels, ProductsEqualTheReference) {
  for (const char* format : kFormats)
    for (int64_t k : {256, 768})
      for (int64_t n : {5, 37, 100})
        for (int64_t m : {1, 2, 3, 8, 13, 21}) {
          const Tensor x = whole_numbers(Type(DType::f32, {{"m", m}, {"k", k}}));
          const Tensor w = panel_tensor(panel_type(DType::f32, format, {{"n", n}, {"k", k}}, 1), format);
          OpRunner want(call(x, w, {"m", "n"}), ref_table(), 1);
          ASSERT_TRUE(want.found());
          want.run();
          for (Isa isa : isas()) {
            OpRunner got(call(x, w, {"m", "n"}), cpu_table(isa), 2);
            ASSERT_TRUE(got.found());
            EXPECT_NE(got.variant(), "ref");
            got.run();
            double worst = 0, norm = 1;
            for (int64_t i = 0; i < m * n; ++i) {
              worst = std::max(worst, std::abs(got.results()[0].get(i) - want.results()[0].get(i)));
              norm = std::max(norm, std::abs(want.results()[0].get(i)));
            }
            EXPECT_LE(worst, 4e-6 * norm)
                << format << " " << m << "x" << n << "x" << k << " " << isa_name(isa);
          }
        }
}

// Any activations: 8 bits cost about half a percent of the result's spread.
TEST(Panels, QuantizedActivationsStayClose) {
  for (const char* format : kFormats) {
    if (!*format) continue;
    const int64_t m = 9, n = 64, k = 1024;
    const Tensor x = random_tensor(Type(DType::f32, {{"m", m}, {"k", k}}), 3);
    const Tensor w = panel_tensor(panel_type(DType::f32, format, {{"n", n}, {"k", k}}, 1), format);
    OpRunner want(call(x, w, {"m", "n"}), ref_table(), 1);
    want.run();
    for (Isa isa : isas()) {
      OpRunner got(call(x, w, {"m", "n"}), cpu_table(isa), 2);
      got.run();
      double error = 0, spread = 0;
      for (int64_t i = 0; i < m * n; ++i) {
        error += std::pow(got.results()[0].get(i) - want.results()[0].get(i), 2);
        spread += std::pow(want.results()[0].get(i), 2);
      }
      EXPECT_LE(std::sqrt(error / spread), 0.01) << format << " " << isa_name(isa);
    }
  }
}

TEST(Panels, DenseBf16IsRight) {
  for (int64_t k : {7, 64, 513})
    for (int64_t m : {1, 5, 20})
      for (DType xt : {DType::f32, DType::bf16}) {
        const Tensor x = random_tensor(Type(xt, {{"m", m}, {"k", k}}), 3);
        const Tensor w = panel_tensor(panel_type(DType::bf16, "", {{"n", 50}, {"k", k}}, 1), "");
        OpRunner want(call(x, w, {"m", "n"}), ref_table(), 1);
        want.run();
        for (Isa isa : isas()) {
          OpRunner got(call(x, w, {"m", "n"}), cpu_table(isa), 2);
          ASSERT_NE(got.variant(), "ref");
          got.run();
          // With dot products, f32 activations are rounded to bf16.
          const double tolerance = isa == Isa::kAvx512Dot && xt == DType::f32 ? 8e-3 : 3e-6;
          double worst = 0, norm = 1;
          for (int64_t i = 0; i < m * 50; ++i) {
            worst = std::max(worst, std::abs(got.results()[0].get(i) - want.results()[0].get(i)));
            norm = std::max(norm, std::abs(want.results()[0].get(i)));
          }
          EXPECT_LE(worst, tolerance * norm) << m << "x50x" << k << " " << isa_name(isa);
        }
      }
}

TEST(Panels, BitsDoNotDependOnRowsOrThreads) {
  for (const char* format : kFormats)
    for (Isa isa : isas()) {
      const int64_t rows = 37, n = 77, k = 768;
      const Tensor w = panel_tensor(panel_type(DType::f32, format, {{"n", n}, {"k", k}}, 1), format);
      OpCall whole = call(random_tensor(Type(DType::f32, {{"m", rows, true}, {"k", k}}), 5), w, {"m", "n"});
      OpRunner reference(whole, cpu_table(isa), 1);
      reference.run();
      const std::vector<std::byte> bits = reference.results()[0].bytes();
      for (int threads : {1, 2, 3})
        for (int64_t m : {1, 2, 5, 8, 9, 24, 37}) {
          OpCall part = whole;
          part.operands[0].dims[0] = m;
          OpRunner r(part, cpu_table(isa), threads);
          r.run();
          const std::vector<std::byte> got = r.results()[0].bytes();
          EXPECT_EQ(0, std::memcmp(got.data(), bits.data(), got.size()))
              << format << " " << isa_name(isa) << " m=" << m << " threads=" << threads;
        }
    }
}

// Panels of f32 give the bits that the same weights give as they lie.
TEST(Panels, DensePanelsGiveTheSameBits) {
  for (Isa isa : isas())
    for (int64_t m : {1, 4, 5, 30}) {
      const Tensor x = random_tensor(Type(DType::f32, {{"m", m}, {"k", 1100}}), 3);
      const Type plain(DType::f32, {{"n", 50}, {"k", 1100}});
      const Tensor w = panel_tensor(panel_type(DType::f32, "", plain.dims, 1), "");
      OpRunner a(call(x, random_tensor(plain, 7), {"m", "n"}), cpu_table(isa), 2);
      OpRunner b(call(x, w, {"m", "n"}), cpu_table(isa), 2);
      a.run();
      b.run();
      EXPECT_EQ(a.results()[0].bytes(), b.results()[0].bytes()) << isa_name(isa) << " m=" << m;
    }
}

// A value that is no number spoils its own row of results and nothing else.
TEST(Panels, NotANumberStaysInItsRow) {
  for (const char* format : kFormats)
    for (float bad : {NAN, INFINITY})
      for (Isa isa : isas()) {
        Tensor x = random_tensor(Type(DType::f32, {{"m", 3}, {"k", 512}}), 3);
        x.set(512 + 300, bad);
        const Tensor w = panel_tensor(panel_type(DType::f32, format, {{"n", 20}, {"k", 512}}, 1), format);
        OpRunner r(call(x, w, {"m", "n"}), cpu_table(isa), 2);
        r.run();
        for (int64_t i = 0; i < 60; ++i)
          EXPECT_EQ(std::isfinite(r.results()[0].get(i)), i / 20 != 1) << format << " " << isa_name(isa);
      }
}

TEST(Panels, TablesReadByRow) {
  for (const char* format : kFormats) {
    const Type type = panel_type(DType::f32, format, {{"vocab", 40}, {"model", 256}}, 1);
    const Tensor table = panel_tensor(type, format);
    Tensor ids(Type(DType::i32, {{"tokens", 5}}));
    for (int64_t i = 0; i < 5; ++i)
      ids.set(i, std::vector<double>{3, 39, 17, -1, 40}[static_cast<size_t>(i)]);
    OpCall c{&ops::kEmbedding, Attrs::of(ops::EmbeddingAttrs{"vocab"}), {table, ids}};
    OpRunner got(c, cpu_table(best_isa()), 2);
    ASSERT_TRUE(got.found());
    got.run();
    const cpu::PanelTable t = cpu::panel_table(type);
    std::vector<std::byte> scratch(static_cast<size_t>(cpu::panel_row_scratch(t)));
    std::vector<float> row(256);
    for (int64_t i = 0; i < 5; ++i) {
      const int id = static_cast<int>(ids.get(i));
      if (id >= 0 && id < 40)
        cpu::read_panel_row(t, table.data(), id, DType::f32, reinterpret_cast<std::byte*>(row.data()),
                            scratch.data());
      else
        std::fill(row.begin(), row.end(), 0.0f);
      for (int64_t j = 0; j < 256; ++j)
        EXPECT_EQ(got.results()[0].get(i * 256 + j), row[static_cast<size_t>(j)]) << format;
    }
  }
}

}  // namespace
}  // namespace hoist::kernels
