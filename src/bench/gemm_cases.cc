// Linear layers: GEMM over the shapes of GPT-2 124M and of a 1.1B Llama, and products with one vector.
#include <string>

#include "bench/ceilings.h"
#include "bench/kernel_cases.h"
#include "bench/op_run.h"
#include "bench/peers.h"
#include "ops/contract.h"

namespace hoist::bench {

namespace {

struct Weights {
  const char* suffix;  // of the row's name
  const char* dtype;   // as weight_type reads it
  Arithmetic arithmetic;
};
constexpr Weights kF32 = {"f32", "f32", Arithmetic::kF32}, kBf16 = {"bf16", "bf16", Arithmetic::kBf16},
                  kI8 = {"i8", "i8", Arithmetic::kI8}, kQ8 = {"q8", "q8_0", Arithmetic::kI8},
                  kQ4 = {"q4", "q4_0", Arithmetic::kI8}, kQ4K = {"q4_k", "q4_k", Arithmetic::kI8};

struct Layer {
  int64_t out, in;
};
// q and its like, joined qkv, up, down, and the head of each model.
constexpr Layer kGpt2[] = {{768, 768}, {2304, 768}, {3072, 768}, {768, 3072}, {50257, 768}};
constexpr Layer kLlama[] = {{2048, 2048}, {256, 2048}, {5632, 2048}, {2048, 5632}, {32000, 2048}};
constexpr int64_t kRows[] = {1, 4, 8, 16, 32, 64, 128, 256, 512};

DType activations(const Weights& w) { return w.arithmetic == Arithmetic::kBf16 ? DType::bf16 : DType::f32; }

Case matmul(const std::string& family, const Weights& w, int64_t rows, Layer layer) {
  Case c;
  c.name = family + "." + w.suffix;
  c.shape = std::to_string(rows) + "x" + std::to_string(layer.out) + "x" + std::to_string(layer.in);
  c.dtype = w.dtype;
  const DType d = activations(w);
  const ir::Type x(d, {{"m", rows}, {"k", layer.in}}), y = weight_type(w.dtype, layer.out, layer.in);
  c.work.arithmetic = w.arithmetic;
  c.work.ops = 2.0 * static_cast<double>(rows * layer.out * layer.in);
  const double out = static_cast<double>(rows * layer.out * dtype_size(d));
  const bool from_memory = bytes_of(x) + bytes_of(y) + out > static_cast<double>(cache_bytes());
  if (from_memory) {
    c.work.read = bytes_of(x) + bytes_of(y);
    c.work.written = out;
  }
  c.unit = "GFLOP/s";
  c.amount = c.work.ops * 1e-9;
  c.ours = [x, y, d](const Setting& s) {
    return op_run(s, ops::kContract, ir::Attrs::of(ops::ContractAttrs{{"m", "n"}, d}), {{x}, {y}});
  };
  if (auto dense = dtype_from_name(w.dtype))
    c.peers = [rows, layer, type = *dense](const Setting& s) {
      return s.peers.matmul({rows, layer.out, layer.in, type});
    };
  return c;
}

}  // namespace

void add_gemm_cases(const CaseOptions& options, std::vector<Case>& cases) {
  if (options.small) {
    for (const Weights& w : {kF32, kBf16, kQ8}) cases.push_back(matmul("gemm", w, 5, {48, 64}));
    return;
  }
  for (const Weights& w : {kF32, kBf16, kI8})
    for (int64_t n : {1024, 2048}) cases.push_back(matmul("gemm", w, n, {n, n}));
  for (const Weights& w : {kF32, kBf16})
    for (const Layer& layer : kGpt2)
      for (int64_t rows : kRows) cases.push_back(matmul("gemm", w, rows, layer));
  for (const Weights& w : {kF32, kBf16, kQ8, kQ4, kQ4K})
    for (const Layer& layer : kLlama)
      for (int64_t rows : kRows) cases.push_back(matmul("gemm", w, rows, layer));
}

void add_gemv_cases(const CaseOptions& options, std::vector<Case>& cases) {
  // Far larger than any cache, in every format.
  const Layer layer = options.small ? Layer{64, 256} : Layer{65536, 8192};
  for (const Weights& w : {kBf16, kQ8, kQ4, kQ4K}) {
    Case c = matmul("gemv", w, 1, layer);
    c.unit = "GB/s";
    c.work.ops = 0;  // memory binds, whatever the arithmetic
    c.work.read = bytes_of(weight_type(w.dtype, layer.out, layer.in));
    c.work.written = 0;
    c.amount = c.work.read * 1e-9;
    // Activations stay f32: with one row there is nothing to gain from narrower ones.
    const ir::Type x(DType::f32, {{"m", 1}, {"k", layer.in}}), y = weight_type(w.dtype, layer.out, layer.in);
    c.ours = [x, y](const Setting& s) {
      return op_run(s, ops::kContract, ir::Attrs::of(ops::ContractAttrs{{"m", "n"}, DType::f32}), {{x}, {y}});
    };
    c.peers = nullptr;
    cases.push_back(std::move(c));
  }
}

}  // namespace hoist::bench
