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

#include "kernels/cpu/exp_normal.inc"

template <class T>
float row_max(const T* x, int64_t n) {
  F m[4] = {set(-kInf), set(-kInf), set(-kInf), set(-kInf)};
  int64_t i = 0;
  for (; i + 4 * W <= n; i += 4 * W)
#pragma GCC unroll unrolled(4)
    for (int j = 0; j < 4; ++j) m[j] = vmax(load(x + i + j * W), m[j]);
  for (; i + W <= n; i += W) m[0] = vmax(load(x + i), m[0]);
  float top = maximum(vmax(vmax(m[0], m[1]), vmax(m[2], m[3])));
  for (; i < n; ++i) {
    float v = load_n(x + i, 1)[0];
    top = v > top ? v : top;
  }
  return top;
}

// Softmax rows up to this long keep their exponentials on the stack; longer ones compute them twice.
constexpr int64_t kKept = 4096;

// Largest element and the sum of e^(x - top) over it, in one pass over memory: the maximum so far serves as
// shift until a group of vectors (kGroup of them, counted from the row's beginning) holds a larger element;
// then the sums so far shrink. A row is summed in the same order wherever it stands. Probabilities below the
// smallest normal number count as 0.
struct Exponentials {
  float top, sum;  // top = -inf: nothing but -inf (sum 0) and NaN (sum NaN)
  float lse() const {
    if (top == -kInf) return sum == 0 ? top : sum;
    return top == kInf ? top : top + std::log(sum);
  }
};
template <class T>
Exponentials row_exponentials(const T* x, int64_t n) {
  constexpr int kGroup = 8;
  float top = -kInf;
  F shift = set(0), total[4] = {set(0), set(0), set(0), set(0)};
  auto raise = [&](float to) {
    const F decay = set(top == -kInf ? 1.0f : vexp(set(top - to))[0]);  // no sum yet: NaN at most
    for (F& t : total) t = t * decay;
    top = to;
    shift = set(to);
  };
  int64_t i = 0;
  for (; i + kGroup * W <= n; i += kGroup * W) {
    F v[kGroup], m[4];
#pragma GCC unroll unrolled(8)
    for (int j = 0; j < kGroup; ++j) v[j] = load(x + i + j * W);
#pragma GCC unroll unrolled(4)
    for (int j = 0; j < 4; ++j) m[j] = vmax(v[j], v[j + 4]);
    const float group = maximum(vmax(vmax(m[0], m[1]), vmax(m[2], m[3])));
    if (group > top) raise(group);
#pragma GCC unroll unrolled(8)
    for (int j = 0; j < kGroup; ++j) total[j & 3] += vexp_normal(v[j] - shift);
  }
  for (; i < n; i += W) {
    const int64_t left = n - i;
    F v = load_tail(x + i, left);
    if (left < W) v = lane_index() < seti(static_cast<int>(left)) ? v : set(-kInf);
    const float group = maximum(v);
    if (group > top) raise(group);
    total[0] += vexp_normal(v - shift);
  }
  return {top, sum((total[0] + total[1]) + (total[2] + total[3]))};
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
    if (n > kKept) {
      const Exponentials e = row_exponentials(x, n);
      const bool empty = e.top == -kInf && e.sum == 0;
      F t = set(e.top), scale = set(1.0f / e.sum);
      for (int64_t i = 0; i < n; i += W)
        store_tail(y + i, empty ? set(0) : vexp_normal(load_tail(x + i, n - i) - t) * scale, n - i);
      return;
    }
    alignas(64) float kept[kKept];
    const float top = row_max(x, n);
    F t = set(top == -kInf ? 0 : top);  // -inf: a row of nothing else, all zeros
    const float sum = sum_over(n, [&](int64_t i, int64_t left) {
      F e = vexp_normal(load_tail(x + i, left) - t);
      if (left < W) e = keep_n(e, static_cast<int>(left));
      store(kept + i, e);
      return e;
    });
    F scale = set(sum == 0 ? 0 : 1.0f / sum);
    for (int64_t i = 0; i < n; i += W) {
      __builtin_prefetch(x + n + i, 0, 2);  // the next row
      store_tail(y + i, load(kept + i) * scale, n - i);
    }
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
    args.out<float>(0)[row] = row_exponentials(args.in<decltype(tag)>(0) + row * n, n).lse();
  });
}

// logits, targets -> lse, picked: one read of the logits.
void cross_entropy(const KernelArgs& args) noexcept {
  const int64_t n = row_length(args.operands[0]), base = args.attrs.as<ops::CrossEntropyAttrs>().base;
  for_rows(args, [&](auto tag, int64_t row) {
    using T = decltype(tag);
    const T* x = args.in<T>(0) + row * n;
    args.out<float>(0)[row] = row_exponentials(x, n).lse();
    int64_t target = args.in<int32_t>(1)[row] - base;
    args.out<float>(1)[row] = target >= 0 && target < n ? load_n(x + target, 1)[0] : 0.0f;
  });
}

// logits, targets, lse, dlse, dpicked -> dlogits: probabilities are made anew, in one read and one write.
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
      store_tail(dx + i, empty ? set(0) : vexp_normal(load_tail(x + i, n - i) - l) * d, n - i);
    if (target >= 0 && target < n) {
      float p = empty ? 0.0f : vexp_normal(set(at_target - lse))[0];
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
