// softmax, its gradient, log_sum_exp and cross-entropy: rows of the innermost axis.
#include "ops/softmax.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"
#include "ops/cross_entropy.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {
bool softmax_supports(const ir::OpView& v) {
  return narrow_floats(v) && innermost(v.operands[0], v.attrs_as<ops::SoftmaxAttrs>().axis);
}
}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/softmax.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

template <class T>
float row_max(const T* x, int64_t n) {
  F m = set(-kInf);
  int64_t i = 0;
  for (; i + W <= n; i += W) m = vmax(load(x + i), m);
  float top = maximum(m);
  for (; i < n; ++i) {
    float v = load_n(x + i, 1)[0];
    top = v > top ? v : top;
  }
  return top;
}

// Sum of e^(x - top).
template <class T>
float row_sum(const T* x, int64_t n, float top) {
  F t = set(top);
  return sum_over(n, [&](int64_t i, int64_t left) {
    F e = vexp(load_tail(x + i, left) - t);
    return left < W ? keep_n(e, static_cast<int>(left)) : e;
  });
}

template <class T>
float row_lse(const T* x, int64_t n) {
  float top = row_max(x, n);
  if (top == -kInf || top == kInf) return top;
  return top + std::log(row_sum(x, n, top));
}

// body(T{}, row) over all rows of operand 0.
template <class Body>
void for_rows(const KernelArgs& args, Body body) {
  const int64_t n = row_length(args.operands[0]);
  with_type(args.operands[0].dtype, [&](auto tag) {
    args.pool.parallel_for(row_count(args.operands[0]), grain_for(4 * n),
                           [&](int64_t begin, int64_t end, int) {
                             for (int64_t i = begin; i < end; ++i) body(tag, i);
                           });
  });
}

void softmax(const KernelArgs& args) noexcept {
  const int64_t n = row_length(args.operands[0]);
  for_rows(args, [&](auto tag, int64_t row) {
    using T = decltype(tag);
    const T* x = args.in<T>(0) + row * n;
    T* y = args.out<T>(0) + row * n;
    float top = row_max(x, n);
    if (top == -kInf) {  // nothing but minus infinity
      for (int64_t i = 0; i < n; i += W) store_tail(y + i, set(0), n - i);
      return;
    }
    F t = set(top), scale = set(1.0f / row_sum(x, n, top));
    for (int64_t i = 0; i < n; i += W) store_tail(y + i, vexp(load_tail(x + i, n - i) - t) * scale, n - i);
  });
}

// y, dy -> dx = y * (dy - sum(y dy))
void softmax_grad(const KernelArgs& args) noexcept {
  const int64_t n = row_length(args.operands[0]);
  for_rows(args, [&](auto tag, int64_t row) {
    using T = decltype(tag);
    const T *y = args.in<T>(0) + row * n, *dy = args.in<T>(1) + row * n;
    F dot = set(sum_over(
        n, [&](int64_t i, int64_t left) { return load_tail(y + i, left) * load_tail(dy + i, left); }));
    for (int64_t i = 0; i < n; i += W)
      store_tail(args.out<T>(0) + row * n + i, load_tail(y + i, n - i) * (load_tail(dy + i, n - i) - dot),
                 n - i);
  });
}

void log_sum_exp(const KernelArgs& args) noexcept {
  const int64_t n = row_length(args.operands[0]);
  for_rows(args, [&](auto tag, int64_t row) {
    args.out<float>(0)[row] = row_lse(args.in<decltype(tag)>(0) + row * n, n);
  });
}

// logits, targets -> lse, picked
void cross_entropy(const KernelArgs& args) noexcept {
  const int64_t n = row_length(args.operands[0]), base = args.attrs.as<ops::CrossEntropyAttrs>().base;
  for_rows(args, [&](auto tag, int64_t row) {
    using T = decltype(tag);
    const T* x = args.in<T>(0) + row * n;
    args.out<float>(0)[row] = row_lse(x, n);
    int64_t target = args.in<int32_t>(1)[row] - base;
    args.out<float>(1)[row] = target >= 0 && target < n ? load_n(x + target, 1)[0] : 0.0f;
  });
}

// logits, targets, lse, dlse, dpicked -> dlogits
void cross_entropy_grad(const KernelArgs& args) noexcept {
  const int64_t n = row_length(args.operands[0]), base = args.attrs.as<ops::CrossEntropyAttrs>().base;
  for_rows(args, [&](auto tag, int64_t row) {
    using T = decltype(tag);
    const T* x = args.in<T>(0) + row * n;
    T* dx = args.out<T>(0) + row * n;
    const float lse = args.in<float>(2)[row], dlse = args.in<float>(3)[row];
    const int64_t target = args.in<int32_t>(1)[row] - base;
    // In place over the logits is allowed, so the target's is read first.
    float at_target = target >= 0 && target < n ? load_n(x + target, 1)[0] : 0;
    const bool empty = lse == -kInf;
    F l = set(lse), d = set(dlse);
    for (int64_t i = 0; i < n; i += W)
      store_tail(dx + i, empty ? set(0) : vexp(load_tail(x + i, n - i) - l) * d, n - i);
    if (target >= 0 && target < n) {
      float p = empty ? 0.0f : vexp(set(at_target - lse))[0];
      store_n(dx + target, set(p * dlse + args.in<float>(4)[row]), 1);
    }
  });
}

}  // namespace

void add_softmax(KernelList& list) {
  static const Kernel kernels[] = {
      {"softmax", HOIST_ISA_NAME, softmax_supports, softmax},
      {"softmax_grad", HOIST_ISA_NAME, softmax_supports, softmax_grad},
      {"log_sum_exp", HOIST_ISA_NAME, softmax_supports, log_sum_exp},
      {"cross_entropy", HOIST_ISA_NAME, narrow_floats, cross_entropy},
      {"cross_entropy_grad", HOIST_ISA_NAME, narrow_floats, cross_entropy_grad},
  };
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
