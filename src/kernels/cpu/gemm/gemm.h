// GEMM over groups of axes: c[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n].
//
// Each index (batch, m, n, k) is a group of axes, outermost first, with one stride (in elements) per tensor,
// so any contraction runs without a copy; packing is fast where a group has collapsed to one axis of
// stride 1. Operands f32, bf16 or f16 in any mix, accumulated in f32, stored as f32, bf16 or f16. b may be
// weights in panels, packed when they were loaded (panels.h).
//
// Arithmetic: two bf16 operands are multiplied by the dot-product instruction where the CPU has one (pairs of
// k, subnormals read as zero), all else as f32 multiply-adds. There, a is rounded to bf16 first if b is bf16
// in panels: whoever packs weights of that type wants their speed.
//
// Order (the law of order): every element of c is a sum of blocks of kKBlock consecutive k (twice as many
// where they are multiplied in pairs), added first to
// last; in a block one chain runs from its first k to its last. Neither m, n, the threads nor the path taken
// (tiles, panels, or the direct one for few rows) enter, and a and b may change places.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "base/threads.h"
#include "ops/linear.h"

namespace hoist::kernels::cpu {

struct GemmSchedule;  // schedule.h

constexpr int64_t kKBlock = 512;
constexpr int64_t kPanel = 16;  // columns of b that lie together, on every instruction set

struct AxisGroup {
  static constexpr int kMax = 16;
  enum { kA, kB, kC };
  int count = 0;  // 0: one index, at offset 0
  int64_t size[kMax];
  int64_t stride[kMax][3];

  int64_t total() const {
    int64_t t = 1;
    for (int i = 0; i < count; ++i) t *= size[i];
    return t;
  }
  // A further, inner axis; becomes one with the last where the strides allow it.
  void add(int64_t n, int64_t a, int64_t b, int64_t c);
  bool contiguous(int tensor) const { return count == 1 && stride[0][tensor] == 1; }
  // Offsets of indices [begin, begin + n).
  void offsets(int tensor, int64_t begin, int64_t n, int64_t* out) const;
  int64_t offset(int tensor, int64_t index) const {
    int64_t o;
    offsets(tensor, index, 1, &o);
    return o;
  }
};

// What is done to an element after its sum (ops/linear.h), before it is rounded to c's type. c's columns lie
// side by side then, and gate and residual lie as c does, in its type.
struct Epilogue {
  float scale = 1;
  ops::Activation activation = ops::Activation::kNone, gate_activation = ops::Activation::kNone;
  DType bias_type = DType::f32;
  const std::byte* bias = nullptr;  // [n]
  const std::byte* gate = nullptr;
  const std::byte* residual = nullptr;
};

struct Gemm {
  AxisGroup batch, m, n, k;
  const std::byte* a = nullptr;
  const std::byte* b = nullptr;
  std::byte* c = nullptr;
  DType a_type = DType::f32, b_type = DType::f32, c_type = DType::f32;
  bool b_panels = false;  // b is [n / kPanel][k][kPanel] (bf16: pairs of k), its strides are not read
  const GemmSchedule* schedule = nullptr;  // null: the default
  const Epilogue* epilogue = nullptr;  // null: none; otherwise a and b keep their places, and batch is empty
};

// Bytes that gemm() needs for sizes up to m and n, and k, on that many threads. Enough for every instruction
// set.
int64_t gemm_workspace(int64_t m, int64_t n, int64_t k, int threads, const GemmSchedule* schedule = nullptr);
// The same for every k up to this one: of shorter rows more are packed at once.
int64_t gemm_workspace_up_to(int64_t m, int64_t n, int64_t k, int threads,
                             const GemmSchedule* schedule = nullptr);
// And as much more when b is in panels of bf16, for rows of a that are rounded to bf16 first.
int64_t rounded_rows_bytes(int64_t m, int64_t k);

namespace portable {
void gemm(const Gemm& g, std::byte* workspace, ThreadPool& pool);
}
namespace avx2 {
void gemm(const Gemm& g, std::byte* workspace, ThreadPool& pool);
}
namespace avx512 {
void gemm(const Gemm& g, std::byte* workspace, ThreadPool& pool);
}
namespace avx512dot {
void gemm(const Gemm& g, std::byte* workspace, ThreadPool& pool);
}

}  // namespace hoist::kernels::cpu
