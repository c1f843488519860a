// Mixture of experts: the up projection of eight experts, two choices a token, unevenly routed.
#include <string>

#include "bench/ceilings.h"
#include "bench/kernel_cases.h"
#include "bench/op_run.h"
#include "ops/moe.h"

namespace hoist::bench {

namespace {

constexpr int64_t kExperts = 8, kChoices = 2;

// Rows per expert. Of 32: nine, one, five, none, ...
std::vector<int64_t> routed(int64_t rows) {
  if (rows < 32) return {rows - rows / 2, rows / 2, 0, 0, 0, 0, 0, 0};
  std::vector<int64_t> counts = {9, 1, 5, 0, 4, 7, 2, 4};
  for (int64_t& n : counts) n *= rows / 32;
  return counts;
}

Case contract(const char* suffix, const char* dtype, Arithmetic arithmetic, int64_t tokens, int64_t out,
              int64_t in) {
  const int64_t rows = tokens * kChoices;
  const std::vector<int64_t> counts = routed(rows);
  const DType d = arithmetic == Arithmetic::kBf16 ? DType::bf16 : DType::f32;
  const ir::Type x(d, {{"rows", rows}, {"k", in}}), of_expert = weight_type(dtype, out, in),
                                                    n(DType::i32, {{"routed", kExperts}});
  ir::Type w = of_expert;
  w.dims = {{"experts", kExperts}, {"n", out}, {"k", in}};
  double busy = 0;
  for (int64_t c : counts) busy += c > 0;
  Case c;
  c.name = std::string("moe.contract.") + suffix;
  c.shape = std::to_string(tokens) + "x" + std::to_string(kChoices) + "of" + std::to_string(kExperts) + "x" +
            std::to_string(out) + "x" + std::to_string(in);
  c.dtype = dtype;
  c.work.arithmetic = arithmetic;
  c.work.ops = 2.0 * static_cast<double>(rows * out * in);
  const double read = bytes_of(x) + busy * bytes_of(of_expert),
               written = static_cast<double>(rows * out * dtype_size(d));
  if (read + written > static_cast<double>(cache_bytes())) {
    c.work.read = read;
    c.work.written = written;
  }
  c.unit = "GFLOP/s";
  c.amount = c.work.ops * 1e-9;
  c.ours = [x, w, n, d, counts](const Setting& s) {
    ops::GroupedAttrs a;
    a.row_axis = "rows";
    a.expert_axis = "experts";
    a.out = {"n"};
    a.to = d;
    return op_run(s, ops::kGroupedContract, ir::Attrs::of(a), {{x}, {w}, {n, 0, 1, false, counts}});
  };
  return c;
}

}  // namespace

void add_moe_cases(const CaseOptions& options, std::vector<Case>& cases) {
  const int64_t in = options.small ? 64 : 2048, out = options.small ? 48 : 5632;
  for (int64_t tokens : {1, 16, 256}) {
    if (options.small && tokens > 16) continue;
    cases.push_back(contract("f32", "f32", Arithmetic::kF32, tokens, out, in));
    cases.push_back(contract("bf16", "bf16", Arithmetic::kBf16, tokens, out, in));
    cases.push_back(contract("q8", "q8_0", Arithmetic::kI8, tokens, out, in));
    cases.push_back(contract("q4", "q4_0", Arithmetic::kI8, tokens, out, in));
  }
}

}  // namespace hoist::bench
