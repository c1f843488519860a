// rms_norm and its gradient: one row of x [rows, n] after another.
#include "ops/rms_norm.h"

#include <cmath>
#include <type_traits>

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {
// dgamma's sum over each block of rows, [blocks, n].
int64_t grad_workspace(const ir::OpView& v, int) {
  int64_t n = v.operands[1].elements();
  return n ? row_blocks(v.operands[0].elements() / n) * n * 4 : 0;
}
}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/rms_norm.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/row_blocks.inc"

// v as it would read back after a store as T, without going through memory where that is easy.
template <class T>
HOIST_INLINE F read_back(F v, T tag) {
  if constexpr (std::is_same_v<T, bf16>) {
    const I u = (I)v;
    const I near = (u + seti(0x7fff) + ((u >> 16) & seti(1))) & seti(static_cast<int32_t>(0xffff0000u));
    return v != v ? v : (F)near;
  } else {
    return rounded(v, tag);
  }
}

template <class T>
void row(const T* x, const T* gamma, T* y, float* rstd, int64_t n, double eps, bool offset) {
  float squares = sum_over(n, [&](int64_t i, int64_t left) {
    F v = load_tail(x + i, left);
    return v * v;
  });
  *rstd = static_cast<float>(1.0 / std::sqrt(static_cast<double>(squares) / static_cast<double>(n) + eps));
  F r = set(*rstd);
  if (offset) {
    for (int64_t i = 0; i < n; i += W)
      store_tail(y + i, load_tail(x + i, n - i) * r * (set(1) + load_tail(gamma + i, n - i)), n - i);
    return;
  }
  for (int64_t i = 0; i < n; i += W) {
    __builtin_prefetch(x + n + i, 0, 2);  // the next row
    F normal = read_back(load_tail(x + i, n - i) * r, T{});
    store_tail(y + i, normal * load_tail(gamma + i, n - i), n - i);
  }
}

void run(const KernelArgs& args) noexcept {
  const double eps = args.attrs.as<ops::RmsNormAttrs>().eps;
  const bool offset = args.attrs.as<ops::RmsNormAttrs>().offset;
  const int64_t n = row_length(args.operands[0]), rows = row_count(args.operands[0]);
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    args.pool.parallel_for(rows, grain_for(n), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i)
        row(args.in<T>(0) + i * n, args.in<T>(1), args.out<T>(0) + i * n, args.out<float>(1) + i, n, eps,
            offset);
    });
  });
}

// dx = rstd * (g - x * rstd^2 * mean(g x)), g = dy * gamma; dgamma += dy * x * rstd. `one`: 1 where gamma is
// stored less one, and else a zero that leaves gamma's bits alone.
template <class T>
void grad_row(const T* x, const T* gamma, float one, float rstd, const T* dy, T* dx, float* dgamma,
              int64_t n) {
  float along = sum_over(n, [&](int64_t i, int64_t left) {
    return load_tail(dy + i, left) * (load_tail(gamma + i, left) + set(one)) * load_tail(x + i, left);
  });
  F r = set(rstd), pull = set(-along * rstd * rstd / static_cast<float>(n));
  for (int64_t i = 0; i < n; i += W) {
    int64_t left = n - i;
    __builtin_prefetch(x + n + i, 0, 2);  // the next row
    __builtin_prefetch(dy + n + i, 0, 2);
    F d = load_tail(dy + i, left), v = load_tail(x + i, left);
    store_tail(dgamma + i, fma(d, v * r, load_tail(dgamma + i, left)), left);
    store_tail(dx + i, r * fma(v, pull, d * (load_tail(gamma + i, left) + set(one))), left);
  }
}

void run_grad(const KernelArgs& args) noexcept {
  const int64_t n = row_length(args.operands[0]), rows = row_count(args.operands[0]);
  float* partial = reinterpret_cast<float*>(args.workspace);
  const float one = args.attrs.as<ops::RmsNormGradAttrs>().offset ? 1.0f : -0.0f;
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    for_row_blocks(args.pool, rows, n, partial, n, [&](int64_t i, float* sums) {
      grad_row(args.in<T>(0) + i * n, args.in<T>(1), one, args.in<float>(2)[i], args.in<T>(3) + i * n,
               args.out<T>(0) + i * n, sums, n);
    });
  });
  add_row_blocks(args.pool, rows, n, partial, n, args.out<float>(1));
}

}  // namespace

void add_rms_norm(KernelList& list) {
  static const Kernel kernels[] = {
      {"rms_norm", HOIST_ISA_NAME, narrow_floats, run},
      {"rms_norm_grad", HOIST_ISA_NAME, narrow_floats, run_grad, nullptr, grad_workspace}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
