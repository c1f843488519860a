// adamw and sum_squares: one pass over flat storage.
#include "ops/adamw.h"

#include <cmath>

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

constexpr int64_t kSquaresBlock = 4096;
int64_t squares_workspace(const ir::OpView& v, int) {
  return (v.operands[0].elements() + kSquaresBlock - 1) / kSquaresBlock * 8;
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/adamw.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

struct Step {
  F b1, b2, rest1, rest2, correct1, correct2, eps, lr, decay, scale;
};

// One vector: `p` is the parameter's f32 value; returns the new one.
HOIST_INLINE F advance(const Step& s, F p, F g, F* m, F* v) {
  g = g * s.scale;
  *m = fma(*m, s.b1, g * s.rest1);
  *v = fma(*v, s.b2, g * g * s.rest2);
  F update = (*m * s.correct1) / (vsqrt(*v * s.correct2) + s.eps);
  return fma(-s.lr, fma(s.decay, p, update), p);
}

// p, g, m, v, lr, step, scale, ok, [master]
template <class P, class G>
void update(const KernelArgs& args, const Step& s, bool has_master) {
  P* p = args.out<P>(0);
  float *m = args.out<float>(1), *v = args.out<float>(2), *master = has_master ? args.out<float>(3) : nullptr;
  const G* g = args.in<G>(1);
  args.pool.parallel_for(args.operands[0].elements(), 4096, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i += W) {
      const int64_t left = end - i;
      F mean = load_tail(m + i, left), square = load_tail(v + i, left);
      F old = master ? load_tail(master + i, left) : load_tail(p + i, left);
      F next = advance(s, old, load_tail(g + i, left), &mean, &square);
      store_tail(m + i, mean, left);
      store_tail(v + i, square, left);
      if (master) store_tail(master + i, next, left);
      store_tail(p + i, next, left);
    }
  });
}

void adamw(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::AdamwAttrs>();
  if (args.in<float>(7)[0] == 0) return;  // results are the operands' storage
  const double step = args.in<float>(5)[0];
  auto f = [](double x) { return set(static_cast<float>(x)); };
  const Step s{f(a.beta1),
               f(a.beta2),
               f(1 - a.beta1),
               f(1 - a.beta2),
               f(1 / (1 - std::pow(a.beta1, step))),
               f(1 / (1 - std::pow(a.beta2, step))),
               f(a.eps),
               set(args.in<float>(4)[0]),
               f(a.decay),
               set(args.in<float>(6)[0])};
  with_type(args.operands[0].dtype, [&](auto p) {
    with_type(args.operands[1].dtype,
              [&](auto g) { update<decltype(p), decltype(g)>(args, s, a.has_master); });
  });
}

// Blocks of 4096 elements; their sums are added in double, in order.
void sum_squares(const KernelArgs& args) noexcept {
  const int64_t n = args.operands[0].elements(), blocks = (n + kSquaresBlock - 1) / kSquaresBlock;
  auto* sums = reinterpret_cast<double*>(args.workspace);
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    args.pool.parallel_for(blocks, 8, [&](int64_t begin, int64_t end, int) {
      for (int64_t b = begin; b < end; ++b) {
        const T* x = args.in<T>(0) + b * kSquaresBlock;
        sums[b] = sum_over(std::min(kSquaresBlock, n - b * kSquaresBlock), [&](int64_t i, int64_t left) {
          F v = load_tail(x + i, left);
          return v * v;
        });
      }
    });
  });
  double total = 0;
  for (int64_t b = 0; b < blocks; ++b) total += sums[b];
  args.out<float>(0)[0] = static_cast<float>(total);
}

}  // namespace

void add_adamw(KernelList& list) {
  static const Kernel kernels[] = {
      {"adamw", HOIST_ISA_NAME, narrow_floats, adamw},
      {"sum_squares", HOIST_ISA_NAME, narrow_floats, sum_squares, nullptr, squares_workspace}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
