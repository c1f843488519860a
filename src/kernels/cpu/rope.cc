// rope, half-split pairs: sine and cosine are computed once per position and serve all heads that share it.
#include "ops/rope.h"

#include <cmath>

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

// Which of x's leading axes pos has (bit i), and how many leading axes come before the last of them.
struct RopePlan {
  uint32_t in_pos = 0;
  int outer = 0;
};

bool supports(const ir::OpView& v) {
  return narrow_floats(v) && !v.attrs_as<ops::RopeAttrs>().interleaved && v.operands[2].dtype == DType::f32;
}

void prepare(const ir::OpView& v, Prepared& prepared) {
  RopePlan p;
  for (int i = 0; i + 1 < v.operands[0].rank(); ++i)
    if (v.operands[1].has(v.operands[0].dims[i].axis)) {
      p.in_pos |= 1u << i;
      p.outer = i + 1;
    }
  prepared.store(p);
}

// Cosines and sines, for each worker.
int64_t workspace(const ir::OpView& v, int threads) {
  return threads * align64(v.operands[2].elements() * 8);
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/rope.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

template <class T>
void turn(const T* x, T* y, const float* cosine, const float* sine, int64_t half, int64_t channels) {
  for (int64_t j = 0; j < half; j += W) {
    int64_t left = half - j;
    F c = load_tail(cosine + j, left), s = load_tail(sine + j, left);
    F x0 = load_tail(x + j, left), x1 = load_tail(x + half + j, left);
    store_tail(y + j, x0 * c - x1 * s, left);
    store_tail(y + half + j, x1 * c + x0 * s, left);
  }
  if (y != x) std::memcpy(y + 2 * half, x + 2 * half, static_cast<size_t>(channels - 2 * half) * sizeof(T));
}

// Cosines and sines of pos * freqs; `top` is the largest frequency.
void angles(float pos, const float* freqs, int64_t half, float top, float scale, float sign, float* cosine,
            float* sine) {
  const bool fused = HOIST_ISA_IS_AVX512 || HOIST_ISA_IS_AVX2;
  if (fused && std::abs(pos) * top <= kSineLimit) {
    const F p = set(pos);
    for (int64_t j = 0; j < half; j += W) {
      F s, c;
      vsincos(p * load_tail(freqs + j, half - j), &s, &c);
      store_tail(cosine + j, c * set(scale), half - j);
      store_tail(sine + j, s * set(sign), half - j);
    }
    return;
  }
  for (int64_t j = 0; j < half; ++j) {
    cosine[j] = scale * std::cos(pos * freqs[j]);
    sine[j] = sign * std::sin(pos * freqs[j]);
  }
}

void run(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::RopeAttrs>();
  const RopePlan& p = args.prepared.as<RopePlan>();
  const TensorView& x = args.operands[0];
  const int64_t half = args.operands[2].elements(), channels = x.dims.back();
  int64_t outer = 1, inner = 1;
  for (int i = 0; i + 1 < x.dims.size(); ++i) (i < p.outer ? outer : inner) *= x.dims[i];
  const float* freqs = args.in<float>(2);
  const float scale = static_cast<float>(a.scale), sign = a.inverse ? -scale : scale;
  float top = 0;
  for (int64_t j = 0; j < half; ++j) top = std::max(top, std::abs(freqs[j]));
  with_type(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    args.pool.parallel_for(
        outer, grain_for(inner * channels + half * 16), [&](int64_t begin, int64_t end, int worker) {
          float* cosine = reinterpret_cast<float*>(args.workspace + worker * align64(half * 8));
          float* sine = cosine + half;
          int64_t last = -1;
          for (int64_t i = begin; i < end; ++i) {
            int64_t at = 0, rest = i, stride = 1;  // index into pos: i without the axes that pos lacks
            for (int d = p.outer - 1; d >= 0; --d) {
              if (p.in_pos >> d & 1) {
                at += rest % x.dims[d] * stride;
                stride *= x.dims[d];
              }
              rest /= x.dims[d];
            }
            if (at != last) {
              angles(static_cast<float>(args.in<int32_t>(1)[at]), freqs, half, top, scale, sign, cosine,
                     sine);
              last = at;
            }
            for (int64_t h = i * inner; h < (i + 1) * inner; ++h)
              turn(args.in<T>(0) + h * channels, args.out<T>(0) + h * channels, cosine, sine, half, channels);
          }
        });
  });
}

}  // namespace

void add_rope(KernelList& list) {
  static const Kernel kernel{"rope", HOIST_ISA_NAME, supports, run, prepare, workspace};
  list.push_back(&kernel);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
