// layer_norm and its gradient: one row of x [rows, n] after another.
#include "ops/layer_norm.h"

#include <cmath>

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {
// Sums over each block of rows, [blocks, dgamma n | dbeta n].
int64_t grad_workspace(const ir::OpView& v, int) {
  int64_t n = v.operands[1].elements();
  return n ? row_blocks(v.operands[0].elements() / n) * n * 8 : 0;
}
}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/layer_norm.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/row_blocks.inc"

template <class T>
void row(const T* x, const T* gamma, const T* beta, T* y, float* mean, float* rstd, int64_t n, double eps) {
  *mean =
      sum_over(n, [&](int64_t i, int64_t left) { return load_tail(x + i, left); }) / static_cast<float>(n);
  F m = set(*mean);
  float squares = sum_over(n, [&](int64_t i, int64_t left) {
    F d = load_tail(x + i, left) - m;
    if (left < W) d = keep_n(d, static_cast<int>(left));
    return d * d;
  });
  *rstd = static_cast<float>(1.0 / std::sqrt(static_cast<double>(squares) / static_cast<double>(n) + eps));
  F r = set(*rstd);
  for (int64_t i = 0; i < n; i += W) {
    int64_t left = n - i;
    __builtin_prefetch(x + n + i, 0, 2);  // the next row
    F normal = (load_tail(x + i, left) - m) * r;
    store_tail(y + i, fma(normal, load_tail(gamma + i, left), load_tail(beta + i, left)), left);
  }
}

void run(const KernelArgs& args) noexcept {
  const double eps = args.attrs.as<ops::LayerNormAttrs>().eps;
  const int64_t n = row_length(args.operands[0]), rows = row_count(args.operands[0]);
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    args.pool.parallel_for(rows, grain_for(n), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i)
        row(args.in<T>(0) + i * n, args.in<T>(1), args.in<T>(2), args.out<T>(0) + i * n,
            args.out<float>(1) + i, args.out<float>(2) + i, n, eps);
    });
  });
}

// With g = dy * gamma and h = (x - mean) * rstd: dx = rstd * (g - mean(g) - h * mean(g h)).
template <class T>
void grad_row(const T* x, const T* gamma, float mean, float rstd, const T* dy, T* dx, float* dgamma,
              float* dbeta, int64_t n) {
  F m = set(mean), r = set(rstd);
  F along_sum[2] = {set(0), set(0)}, level_sum[2] = {set(0), set(0)};
  auto add = [&](int64_t i, int64_t left, int part) __attribute__((always_inline)) {
    const F g = load_tail(dy + i, left) * load_tail(gamma + i, left);
    along_sum[part] += g * ((load_tail(x + i, left) - m) * r);
    level_sum[part] += g;
  };
  int64_t j = 0;
  for (; j + 2 * W <= n; j += 2 * W) {
    add(j, W, 0);
    add(j + W, W, 1);
  }
  for (; j < n; j += W) add(j, n - j, 0);
  const float along = sum(along_sum[0] + along_sum[1]), level = sum(level_sum[0] + level_sum[1]);
  F pull = set(-along / static_cast<float>(n)), shift = set(-level / static_cast<float>(n));
  for (int64_t i = 0; i < n; i += W) {
    int64_t left = n - i;
    __builtin_prefetch(x + n + i, 0, 2);  // the next row
    __builtin_prefetch(dy + n + i, 0, 2);
    F d = load_tail(dy + i, left), h = (load_tail(x + i, left) - m) * r;
    store_tail(dgamma + i, fma(d, h, load_tail(dgamma + i, left)), left);
    store_tail(dbeta + i, d + load_tail(dbeta + i, left), left);
    store_tail(dx + i, r * fma(h, pull, fma(d, load_tail(gamma + i, left), shift)), left);
  }
}

void run_grad(const KernelArgs& args) noexcept {
  const int64_t n = row_length(args.operands[0]), rows = row_count(args.operands[0]);
  float* partial = reinterpret_cast<float*>(args.workspace);
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    for_row_blocks(args.pool, rows, n, partial, 2 * n, [&](int64_t i, float* sums) {
      grad_row(args.in<T>(0) + i * n, args.in<T>(1), args.in<float>(2)[i], args.in<float>(3)[i],
               args.in<T>(4) + i * n, args.out<T>(0) + i * n, sums, sums + n, n);
    });
  });
  add_row_blocks(args.pool, rows, n, partial, 2 * n, args.out<float>(1));
  add_row_blocks(args.pool, rows, n, partial + n, 2 * n, args.out<float>(2));
}

}  // namespace

void add_layer_norm(KernelList& list) {
  static const Kernel kernels[] = {
      {"layer_norm", HOIST_ISA_NAME, narrow_floats, run},
      {"layer_norm_grad", HOIST_ISA_NAME, narrow_floats, run_grad, nullptr, grad_workspace}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
