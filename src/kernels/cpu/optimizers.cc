// Optimizer steps over flat storage: sgd, lion, lamb_direction, descend, ema.
#include "ops/optimizers.h"

#include <cmath>

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_FILE "kernels/cpu/optimizers.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

// Elements a worker takes at once: a multiple of every W, so that an element's vector does not depend on
// threads.
constexpr int64_t kGrain = 4096;

F constant(double x) { return set(static_cast<float>(x)); }
F scalar(const KernelArgs& args, int i) { return set(args.in<float>(i)[0]); }
bool skipped(const KernelArgs& args, int ok) { return args.in<float>(ok)[0] == 0; }

// Calls body(i, left) for every vector of n elements.
template <class Body>
void each_vector(const KernelArgs& args, int64_t n, Body body) {
  args.pool.parallel_for(n, kGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i += W) body(i, end - i);
  });
}

// p: the parameter in its own dtype, and the master that is the truth where there is one.
template <class P>
struct Parameter {
  P* p;
  float* master;
  HOIST_INLINE F read(int64_t i, int64_t left) const {
    return master ? load_tail(master + i, left) : load_tail(p + i, left);
  }
  HOIST_INLINE void write(int64_t i, F x, int64_t left) const {
    if (master) store_tail(master + i, x, left);
    store_tail(p + i, x, left);
  }
};

// direction(g, p, &m) of p, g, m, lr, scale, ok, [master]; results are the operands' storage.
template <class Direction>
void momentum_step(const KernelArgs& args, bool has_master, Direction direction) {
  if (skipped(args, 5)) return;
  const F lr = scalar(args, 3), scale = scalar(args, 4);
  with_type(args.operands[0].dtype, [&](auto p_tag) {
    with_type(args.operands[1].dtype, [&](auto g_tag) {
      using P = decltype(p_tag);
      using G = decltype(g_tag);
      const Parameter<P> p{args.out<P>(0), has_master ? args.out<float>(2) : nullptr};
      const G* g = args.in<G>(1);
      float* m = args.out<float>(1);
      each_vector(args, args.operands[0].elements(), [&](int64_t i, int64_t left) {
        F before = p.read(i, left), moment = load_tail(m + i, left);
        F u = direction(load_tail(g + i, left) * scale, before, &moment);
        store_tail(m + i, moment, left);
        p.write(i, fma(-lr, u, before), left);
      });
    });
  });
}

void sgd(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::SgdAttrs>();
  const F momentum = constant(a.momentum), decay = constant(a.decay);
  const bool nesterov = a.nesterov;
  momentum_step(args, a.has_master, [=](F g, F p, F* m) {
    g = fma(decay, p, g);
    *m = fma(*m, momentum, g);
    return nesterov ? fma(*m, momentum, g) : *m;
  });
}

void lion(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::LionAttrs>();
  const F b1 = constant(a.beta1), b2 = constant(a.beta2), rest1 = constant(1 - a.beta1),
          rest2 = constant(1 - a.beta2), decay = constant(a.decay);
  momentum_step(args, a.has_master, [=](F g, F p, F* m) {
    const F c = fma(*m, b1, g * rest1), zero = set(0), one = set(1);
    *m = fma(*m, b2, g * rest2);
    const F sign = c > zero ? one : (c < zero ? -one : zero);
    return fma(decay, p, sign);
  });
}

void lamb_direction(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::LambAttrs>();
  const int64_t n = args.operands[0].elements();
  float *u = args.out<float>(0), *m = args.out<float>(1), *v = args.out<float>(2);
  if (skipped(args, 6))
    return each_vector(args, n, [&](int64_t i, int64_t left) { store_tail(u + i, set(0), left); });
  const double step = static_cast<double>(args.in<float>(4)[0]);
  const F b1 = constant(a.beta1), b2 = constant(a.beta2), rest1 = constant(1 - a.beta1),
          rest2 = constant(1 - a.beta2), correct1 = constant(1 / (1 - std::pow(a.beta1, step))),
          correct2 = constant(1 / (1 - std::pow(a.beta2, step))), eps = constant(a.eps),
          decay = constant(a.decay), scale = scalar(args, 5);
  with_type(args.operands[0].dtype, [&](auto p_tag) {
    with_type(args.operands[1].dtype, [&](auto g_tag) {
      const auto* p = args.in<decltype(p_tag)>(0);
      const auto* grad = args.in<decltype(g_tag)>(1);
      each_vector(args, n, [&](int64_t i, int64_t left) {
        const F g = load_tail(grad + i, left) * scale;
        const F mean = fma(load_tail(m + i, left), b1, g * rest1);
        const F square = fma(load_tail(v + i, left), b2, g * g * rest2);
        store_tail(m + i, mean, left);
        store_tail(v + i, square, left);
        const F update = (mean * correct1) / (vsqrt(square * correct2) + eps);
        store_tail(u + i, fma(decay, load_tail(p + i, left), update), left);
      });
    });
  });
}

void descend(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::DescendAttrs>();
  if (skipped(args, 4)) return;
  const F rate = scalar(args, 2), shrink = scalar(args, 3) * constant(a.decay);
  const float* u = args.in<float>(1);
  with_type(args.operands[0].dtype, [&](auto p_tag) {
    using P = decltype(p_tag);
    const Parameter<P> p{args.out<P>(0), a.has_master ? args.out<float>(1) : nullptr};
    each_vector(args, args.operands[0].elements(), [&](int64_t i, int64_t left) {
      const F before = p.read(i, left);
      p.write(i, fma(-rate, load_tail(u + i, left), fma(-shrink, before, before)), left);
    });
  });
}

void ema(const KernelArgs& args) noexcept {
  if (skipped(args, 2)) return;
  const F rest = constant(1 - args.attrs.as<ops::EmaAttrs>().decay);
  float* e = args.out<float>(0);
  with_type(args.operands[1].dtype, [&](auto p_tag) {
    const auto* p = args.in<decltype(p_tag)>(1);
    each_vector(args, args.operands[0].elements(), [&](int64_t i, int64_t left) {
      const F before = load_tail(e + i, left);
      store_tail(e + i, fma(rest, load_tail(p + i, left) - before, before), left);
    });
  });
}

}  // namespace

void add_optimizers(KernelList& list) {
  static const Kernel kernels[] = {{"sgd", HOIST_ISA_NAME, narrow_floats, sgd},
                                   {"lion", HOIST_ISA_NAME, narrow_floats, lion},
                                   {"lamb_direction", HOIST_ISA_NAME, narrow_floats, lamb_direction},
                                   {"descend", HOIST_ISA_NAME, narrow_floats, descend},
                                   {"ema", HOIST_ISA_NAME, narrow_floats, ema}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
