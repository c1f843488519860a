// The parts of conv.h, one per algorithm: for src/kernels/cpu/conv/*.cc only.
#pragma once

#include "kernels/cpu/conv/conv.h"

namespace hoist::kernels::cpu {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// What a convolution is to its algorithms. Output (r, c) of the grid reads source row r * step_h + dr[s] and
// column c * step_w + dc[t], zero outside, and is written to (r * place_h + first_h, c * place_w + first_w).
// Weight (o, i, s, t) lies at o * out_stride + i * in_stride + s_at[s] * s_stride + t_at[t].
struct TapConv {
  int64_t batch, in, src_h, src_w, out, dst_h, dst_w;
  int64_t rows, cols, step_h, step_w, place_h, place_w, first_h, first_w;
  int64_t out_stride, in_stride, s_stride;
  int64_t taps_h, taps_w;
  bool in_order;  // each output channel's weights lie in the order of (i, s, t), all of them
  const int64_t *dr, *dc, *s_at, *t_at;  // into a table of 2 * (kh + kw) numbers
};

inline int64_t tap_table_size(const ConvShape& s) { return 2 * (s.kh + s.kw); }
// Forward: one part. Input gradient: one for each residue of the stride. `table` is written.
inline int64_t conv_parts(const ConvPlan& p) {
  return p.pass == ConvPass::kForward ? 1 : p.shape.stride_h * p.shape.stride_w;
}
TapConv tap_conv(const ConvPlan& p, int64_t part, int64_t* table);

#define HOIST_CONV_PARTS                                                                               \
  int64_t implicit_packed_floats(const ConvPlan& p);                                                   \
  int64_t implicit_workspace(const ConvPlan& p, int threads);                                          \
  void implicit_pack(const ConvPlan& p, const float* w, float* packed, ThreadPool& pool);              \
  void implicit_run(const ConvPlan& p, const float* x, const float* packed, float* y, std::byte* work, \
                    ThreadPool& pool);                                                                 \
  int64_t blocked_packed_floats(const ConvPlan& p);                                                    \
  int64_t blocked_workspace(const ConvPlan& p, int threads);                                           \
  void blocked_pack(const ConvPlan& p, const float* w, float* packed, ThreadPool& pool);               \
  void blocked_run(const ConvPlan& p, const float* x, const float* packed, float* y, std::byte* work,  \
                   ThreadPool& pool);                                                                  \
  int64_t winograd_packed_floats(const ConvPlan& p);                                                   \
  int64_t winograd_workspace(const ConvPlan& p, int threads);                                          \
  void winograd_pack(const ConvPlan& p, const float* w, float* packed, ThreadPool& pool);              \
  void winograd_run(const ConvPlan& p, const float* x, const float* packed, float* y, std::byte* work, \
                    ThreadPool& pool);

namespace portable {
HOIST_CONV_PARTS
}
namespace avx2 {
HOIST_CONV_PARTS
}
namespace avx512 {
HOIST_CONV_PARTS
}
#undef HOIST_CONV_PARTS

}  // namespace hoist::kernels::cpu
