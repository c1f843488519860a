// batch_norm and its gradient over x [outer, channels, inner]: a channel's numbers are summed and then used
// again while they are in cache, channel after channel. With nothing inside the channels (features), W of
// them go together.
#include "ops/batch_norm.h"

#include <cmath>

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

struct ChannelDim {
  int8_t dim;
};
template <class Attrs>
void channel_prepare(const ir::OpView& v, Prepared& prepared) {
  prepared.store(ChannelDim{static_cast<int8_t>(v.operands[0].find(v.attrs_as<Attrs>().axis))});
}

struct Channels {
  int64_t outer = 1, n = 1, inner = 1;
  explicit Channels(const KernelArgs& args) {
    const TensorView& x = args.operands[0];
    const int dim = args.prepared.as<ChannelDim>().dim;
    for (int i = 0; i < x.dims.size(); ++i) (i < dim ? outer : i == dim ? n : inner) *= x.dims[i];
  }
  double count() const { return static_cast<double>(outer) * static_cast<double>(inner); }
};

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/batch_norm.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

// Sums of each(offset, left) over channel c: run by run, each in four chains, the runs' sums in double.
template <class Each>
double channel_sum(const Channels& k, int64_t c, Each each) {
  double total = 0;
  for (int64_t o = 0; o < k.outer; ++o) {
    const int64_t base = (o * k.n + c) * k.inner;
    total +=
        static_cast<double>(sum_over(k.inner, [&](int64_t i, int64_t left) { return each(base + i, left); }));
  }
  return total;
}
// Vectors of channel c.
template <class Each>
void over_channel(const Channels& k, int64_t c, Each each) {
  for (int64_t o = 0; o < k.outer; ++o) {
    const int64_t base = (o * k.n + c) * k.inner;
    for (int64_t i = 0; i < k.inner; i += W) each(base + i, k.inner - i);
  }
}
// channel(c) for every channel, or features(c, left) for every W of them when inner is 1.
template <class Channel, class Features>
void for_channels(const KernelArgs& args, const Channels& k, Channel channel, Features features) {
  if (k.inner > 1) {
    args.pool.parallel_for(k.n, grain_for(k.outer * k.inner), [&](int64_t begin, int64_t end, int) {
      for (int64_t c = begin; c < end; ++c) channel(c);
    });
    return;
  }
  args.pool.parallel_for((k.n + W - 1) / W, grain_for(k.outer * W), [&](int64_t begin, int64_t end, int) {
    for (int64_t c = begin * W; c < std::min(k.n, end * W); c += W) features(c, k.n - c);
  });
}
// Over the rows of W feature channels: blocks of kRowBlock rows are summed, then the blocks.
template <class Each>
F feature_sum(const Channels& k, int64_t c, Each each) {
  F total = set(0);
  for (int64_t o = 0; o < k.outer; o += kRowBlock) {
    F part = set(0);
    for (int64_t r = o; r < std::min(k.outer, o + kRowBlock); ++r) part += each(r * k.n + c);
    total += part;
  }
  return total;
}

void run(const KernelArgs& args) noexcept {
  const double eps = args.attrs.as<ops::BatchNormAttrs>().eps;
  const Channels k(args);
  const double n = k.count();
  const F share = set(static_cast<float>(1 / n));
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    const T *x = args.in<T>(0), *gamma = args.in<T>(1), *beta = args.in<T>(2);
    T* y = args.out<T>(0);
    float *means = args.out<float>(1), *rstds = args.out<float>(2);
    for_channels(
        args, k,
        [&](int64_t c) {
          const double mean =
              channel_sum(k, c, [&](int64_t i, int64_t left) { return load_tail(x + i, left); }) / n;
          const F m = set(static_cast<float>(mean));
          const double squares = channel_sum(k, c, [&](int64_t i, int64_t left) {
            F d = load_tail(x + i, left) - m;
            if (left < W) d = keep_n(d, static_cast<int>(left));
            return d * d;
          });
          means[c] = static_cast<float>(mean);
          rstds[c] = static_cast<float>(1.0 / std::sqrt(squares / n + eps));
          const F g = set(rstds[c]) * load_n(gamma + c, 1), scale = set(sum(g)),
                  shift = set(sum(load_n(beta + c, 1)));
          over_channel(k, c, [&](int64_t i, int64_t left) {
            store_tail(y + i, fma(load_tail(x + i, left) - m, scale, shift), left);
          });
        },
        [&](int64_t c, int64_t left) {
          const F m = share * feature_sum(k, c, [&](int64_t i) { return load_tail(x + i, left); });
          const F squares = feature_sum(k, c, [&](int64_t i) {
            const F d = load_tail(x + i, left) - m;
            return d * d;
          });
          const F rstd = set(1) / vsqrt(fma(squares, share, set(static_cast<float>(eps))));
          store_tail(means + c, m, left);
          store_tail(rstds + c, rstd, left);
          const F scale = rstd * load_tail(gamma + c, left), shift = load_tail(beta + c, left);
          for (int64_t o = 0; o < k.outer; ++o)
            store_tail(y + o * k.n + c, fma(load_tail(x + o * k.n + c, left) - m, scale, shift), left);
        });
  });
}

// dx = gamma rstd (dy - mean(dy) - normal mean(dy normal)); dgamma = sum(dy normal), dbeta = sum(dy).
void run_grad(const KernelArgs& args) noexcept {
  const Channels k(args);
  const double n = k.count();
  const F share = set(static_cast<float>(1 / n));
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    const T *x = args.in<T>(0), *gamma = args.in<T>(1), *dy = args.in<T>(4);
    const float *means = args.in<float>(2), *rstds = args.in<float>(3);
    T* dx = args.out<T>(0);
    float *dgamma = args.out<float>(1), *dbeta = args.out<float>(2);
    for_channels(
        args, k,
        [&](int64_t c) {
          const F m = set(means[c]), r = set(rstds[c]);
          double level = 0, along = 0;
          for (int64_t o = 0; o < k.outer; ++o) {  // both sums in one reading
            const int64_t base = (o * k.n + c) * k.inner;
            F a[2] = {set(0), set(0)}, b[2] = {set(0), set(0)};
            for (int64_t i = 0; i < k.inner; i += W) {
              const int64_t left = k.inner - i;
              const F d = load_tail(dy + base + i, left), normal = (load_tail(x + base + i, left) - m) * r;
              const int chain = i / W & 1;
              a[chain] += d;
              b[chain] = fma(d, normal, b[chain]);
            }
            level += static_cast<double>(sum(a[0] + a[1]));
            along += static_cast<double>(sum(b[0] + b[1]));
          }
          dgamma[c] = static_cast<float>(along);
          dbeta[c] = static_cast<float>(level);
          const F g = set(sum(load_n(gamma + c, 1))) * r;
          const F shift = set(static_cast<float>(-level / n)), pull = set(static_cast<float>(-along / n)) * r;
          over_channel(k, c, [&](int64_t i, int64_t left) {
            const F d = load_tail(dy + i, left) + shift;
            store_tail(dx + i, g * fma(load_tail(x + i, left) - m, pull, d), left);
          });
        },
        [&](int64_t c, int64_t left) {
          const F m = load_tail(means + c, left), r = load_tail(rstds + c, left);
          const F level = feature_sum(k, c, [&](int64_t i) { return load_tail(dy + i, left); });
          const F along = feature_sum(
              k, c, [&](int64_t i) { return load_tail(dy + i, left) * ((load_tail(x + i, left) - m) * r); });
          store_tail(dgamma + c, along, left);
          store_tail(dbeta + c, level, left);
          const F g = load_tail(gamma + c, left) * r, shift = level * share, pull = along * share * r;
          for (int64_t o = 0; o < k.outer; ++o) {
            const int64_t i = o * k.n + c;
            const F d = load_tail(dy + i, left) - shift;
            store_tail(dx + i, g * (d - (load_tail(x + i, left) - m) * pull), left);
          }
        });
  });
}

// x, gamma, beta, mean, variance
void run_inference(const KernelArgs& args) noexcept {
  const F eps = set(static_cast<float>(args.attrs.as<ops::BatchNormAttrs>().eps));
  const Channels k(args);
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    const T *x = args.in<T>(0), *gamma = args.in<T>(1), *beta = args.in<T>(2);
    const float *means = args.in<float>(3), *variances = args.in<float>(4);
    T* y = args.out<T>(0);
    auto scale_of = [&](int64_t c, int64_t left) {
      return load_tail(gamma + c, left) / vsqrt(load_tail(variances + c, left) + eps);
    };
    for_channels(
        args, k,
        [&](int64_t c) {
          const F scale = set(sum(keep_n(scale_of(c, 1), 1))), m = set(means[c]),
                  shift = set(sum(load_n(beta + c, 1)));
          over_channel(k, c, [&](int64_t i, int64_t left) {
            store_tail(y + i, fma(load_tail(x + i, left) - m, scale, shift), left);
          });
        },
        [&](int64_t c, int64_t left) {
          const F scale = scale_of(c, left), m = load_tail(means + c, left),
                  shift = load_tail(beta + c, left);
          for (int64_t o = 0; o < k.outer; ++o)
            store_tail(y + o * k.n + c, fma(load_tail(x + o * k.n + c, left) - m, scale, shift), left);
        });
  });
}

}  // namespace

void add_batch_norm(KernelList& list) {
  static const Kernel kernels[] = {
      {"batch_norm", HOIST_ISA_NAME, narrow_floats, run, channel_prepare<ops::BatchNormAttrs>},
      {"batch_norm_grad", HOIST_ISA_NAME, narrow_floats, run_grad, channel_prepare<ops::BatchNormGradAttrs>},
      {"batch_norm_inference", HOIST_ISA_NAME, narrow_floats, run_inference,
       channel_prepare<ops::BatchNormAttrs>}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
