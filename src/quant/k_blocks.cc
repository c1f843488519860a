// Super-blocks of 256: q4_k, q5_k (8 sub-blocks of 32, each with a 6-bit scale and a 6-bit minimum) and q6_k
// (16 sub-blocks of 16 with an 8-bit scale).
//
//   q4_k {f16 d, f16 dmin, u8 scales[12], u8 q[128]}            x = d sc q - dmin m
//   q5_k {f16 d, f16 dmin, u8 scales[12], u8 high[32], q[128]}  the same with q of five bits
//   q6_k {u8 low[128], u8 high[64], i8 sc[16], f16 d}           x = d sc (q - 32)
//
// Quantizing searches each sub-block for the scale of least weighted squared error. The sums of a sub-block
// run over its elements in order, because the published bytes depend on that order; so the vector lanes here
// are eight sub-blocks side by side, each lane doing exactly the scalar arithmetic.
#include <algorithm>
#include <type_traits>

#include "quant/block_io.h"

#define HOIST_INLINE inline __attribute__((always_inline))

namespace hoist::quant {
namespace {

constexpr int kSuper = 256, kLanes = 8;
using Floats = float __attribute__((vector_size(32)));
using Ints = int32_t __attribute__((vector_size(32)));

HOIST_INLINE void broadcast(float x, Floats& out) { out = Floats{} + x; }
HOIST_INLINE void magnitude(const Floats& x, Floats& out) { out = (Floats)((Ints)x & 0x7fffffff); }
// round_even() on each lane, clamped.
HOIST_INLINE void round_clamped(const Floats& x, int low, int high, Ints& out) {
  Ints q = ((Ints)(x + 12582912.0f) & 0x007fffff) - 0x00400000;
  q = q < low ? Ints{} + low : q;
  out = q > high ? Ints{} + high : q;
}
HOIST_INLINE bool any(const Ints& mask) {
  int32_t all = 0;
  for (int i = 0; i < kLanes; ++i) all |= mask[i];
  return all != 0;
}

// Columns: element i of sub-block `lane`.
template <int N>
struct Columns {
  Floats at[N];
};
template <int N>
HOIST_INLINE void load_columns(const float* x, Columns<N>& out) {
  for (int i = 0; i < N; ++i)
    for (int lane = 0; lane < kLanes; ++lane) out.at[i][lane] = x[lane * N + i];
}

// The search of q4_k and q5_k over eight sub-blocks: levels 0..top, a scale and a minimum (stored negated, so
// never below zero) for each. Weights are rms(x) + |x|. Candidate scales stretch the range by steps of 0.1
// level from `first_stretch`; each gives levels, the levels give the weighted least-squares scale and
// minimum; the least error wins, the first of equals.
HOIST_INLINE void search_affine(const Columns<32>& x, int top, float first_stretch, int last_step,
                                Floats& out_scale, Floats& out_minimum, Ints* levels) {
  Floats squares{};
  for (int i = 0; i < 32; ++i) squares += x.at[i] * x.at[i];
  squares = squares / 32.0f;
  Floats rms;
  for (int lane = 0; lane < kLanes; ++lane) rms[lane] = std::sqrt(squares[lane]);
  Columns<32> w;
  for (int i = 0; i < 32; ++i) {
    magnitude(x.at[i], w.at[i]);
    w.at[i] = rms + w.at[i];
  }

  Floats low = x.at[0], high = x.at[0], sum_w = w.at[0], sum_x = w.at[0] * x.at[0];
  for (int i = 1; i < 32; ++i) {
    low = x.at[i] < low ? x.at[i] : low;
    high = x.at[i] > high ? x.at[i] : high;
    sum_w += w.at[i];
    sum_x += w.at[i] * x.at[i];
  }
  low = low > 0.0f ? Floats{} : low;
  const Ints flat = high == low;  // its levels are 0 and its scale is 0
  const Floats span = high - low;

  Floats stretch;
  broadcast(static_cast<float>(top), stretch);
  Floats inverse = stretch / span, scale = 1.0f / inverse, minimum = low, error{};
  for (int i = 0; i < 32; ++i) {
    round_clamped(inverse * (x.at[i] - low), 0, top, levels[i]);
    const Floats off = scale * __builtin_convertvector(levels[i], Floats) + low - x.at[i];
    error += w.at[i] * (off * off);
  }
  for (int step = 0; step <= last_step; ++step) {
    broadcast(first_stretch + 0.1f * static_cast<float>(step) + static_cast<float>(top), stretch);
    // The published search overwrites its minimum with each better one and measures later candidates from it.
    const Floats from = minimum;
    inverse = stretch / (high - from);
    Ints candidate[32];
    Floats sum_l{}, sum_ll{}, sum_xl{};
    for (int i = 0; i < 32; ++i) {
      round_clamped(inverse * (x.at[i] - from), 0, top, candidate[i]);
      const Floats level = __builtin_convertvector(candidate[i], Floats), wl = w.at[i] * level;
      sum_l += wl;
      sum_ll += wl * level;
      sum_xl += wl * x.at[i];
    }
    const Floats determinant = sum_w * sum_ll - sum_l * sum_l;
    Floats this_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    Floats this_minimum = (sum_ll * sum_x - sum_l * sum_xl) / determinant;
    const Ints positive = this_minimum > 0.0f;
    this_scale = positive ? sum_xl / sum_ll : this_scale;
    this_minimum = positive ? Floats{} : this_minimum;
    Floats this_error{};
    for (int i = 0; i < 32; ++i) {
      const Floats off = this_scale * __builtin_convertvector(candidate[i], Floats) + this_minimum - x.at[i];
      this_error += w.at[i] * (off * off);
    }
    const Ints better = (determinant > 0.0f) & (this_error < error);
    if (!any(better)) continue;
    error = better ? this_error : error;
    scale = better ? this_scale : scale;
    minimum = better ? this_minimum : minimum;
    for (int i = 0; i < 32; ++i) levels[i] = better ? candidate[i] : levels[i];
  }
  out_scale = flat ? Floats{} : scale;
  out_minimum = flat ? -low : -minimum;
  for (int i = 0; i < 32; ++i) levels[i] = flat ? Ints{} : levels[i];
}

// Sub-block j's 6-bit scale and minimum out of 12 bytes: the first four lie whole in the low six bits of
// bytes 0..3 and 4..7; of the others bytes 8..11 hold the low nibbles and the top bits of bytes 0..7 the
// rest.
struct Six {
  int scale, minimum;
};
HOIST_INLINE Six unpack_six(const uint8_t* s, int j) {
  if (j < 4) return {s[j] & 63, s[j + 4] & 63};
  return {(s[j + 4] & 15) | (s[j - 4] >> 6) << 4, (s[j + 4] >> 4) | (s[j] >> 6) << 4};
}
HOIST_INLINE void pack_six(const Six* sub, uint8_t* s) {
  for (int j = 0; j < 4; ++j) {
    const Six &a = sub[j], &b = sub[j + 4];
    s[j] = static_cast<uint8_t>(a.scale | (b.scale >> 4) << 6);
    s[j + 4] = static_cast<uint8_t>(a.minimum | (b.minimum >> 4) << 6);
    s[j + 8] = static_cast<uint8_t>((b.scale & 15) | (b.minimum & 15) << 4);
  }
}

// Writes d, dmin and the sub-blocks' six-bit numbers to out[0..16) and gives the final levels.
HOIST_INLINE void encode_affine(const float* v, int top, float first_stretch, int last_step, uint8_t* out,
                                uint8_t* levels) {
  Columns<32> x;
  load_columns<32>(v, x);
  Floats scale, minimum;
  Ints found[32];
  search_affine(x, top, first_stretch, last_step, scale, minimum, found);
  float max_scale = 0, max_minimum = 0;
  for (int j = 0; j < 8; ++j) {
    if (scale[j] > max_scale) max_scale = scale[j];
    if (minimum[j] > max_minimum) max_minimum = minimum[j];
  }
  const float inverse_scale = max_scale > 0 ? 63.0f / max_scale : 0.0f;
  const float inverse_minimum = max_minimum > 0 ? 63.0f / max_minimum : 0.0f;
  Six six[8];
  for (int j = 0; j < 8; ++j) {
    six[j].scale = std::min<int>(63, static_cast<uint8_t>(round_even(inverse_scale * scale[j])));
    six[j].minimum = std::min<int>(63, static_cast<uint8_t>(round_even(inverse_minimum * minimum[j])));
  }
  const float d = store_half(out, max_scale / 63.0f), dmin = store_half(out + 2, max_minimum / 63.0f);
  pack_six(six, out + 4);
  // Levels again, by the rounded scales; a sub-block whose scale became 0 keeps those of the search.
  Floats step, shift;
  for (int j = 0; j < 8; ++j) {
    step[j] = d * static_cast<float>(six[j].scale);
    shift[j] = dmin * static_cast<float>(six[j].minimum);
  }
  const Ints dead = step == 0.0f;
  for (int i = 0; i < 32; ++i) {
    Ints q;
    round_clamped((x.at[i] + shift) / step, 0, top, q);
    q = dead ? found[i] : q;
    for (int lane = 0; lane < kLanes; ++lane) levels[lane * 32 + i] = static_cast<uint8_t>(q[lane]);
  }
}

HOIST_INLINE void encode_q4_k(const float* v, uint8_t* out) {
  uint8_t q[kSuper];
  encode_affine(v, 15, -1.0f, 20, out, q);
  for (int pair = 0; pair < 4; ++pair)
    for (int i = 0; i < 32; ++i)
      out[16 + 32 * pair + i] = static_cast<uint8_t>(q[64 * pair + i] | q[64 * pair + 32 + i] << 4);
}

HOIST_INLINE void encode_q5_k(const float* v, uint8_t* out) {
  uint8_t q[kSuper];
  encode_affine(v, 31, -0.5f, 15, out, q);
  uint8_t* high = out + 16;
  std::memset(high, 0, 32);
  for (int pair = 0; pair < 4; ++pair)
    for (int i = 0; i < 32; ++i) {
      const int a = q[64 * pair + i], b = q[64 * pair + 32 + i];
      out[48 + 32 * pair + i] = static_cast<uint8_t>((a & 15) | (b & 15) << 4);
      high[i] = static_cast<uint8_t>(high[i] | (a >> 4) << (2 * pair) | (b >> 4) << (2 * pair + 1));
    }
}

// The search of q6_k over eight sub-blocks: levels -32..31 (given + 32) and a signed scale. Weights are x^2;
// candidates divide the peak by -(32 + 0.1 step), step 0 first, then -9..9; the largest (sum wxl)^2 / sum
// wl^2 wins. A sub-block below 1e-15 has scale 0 and levels 0.
HOIST_INLINE void search_symmetric(const Columns<16>& x, Floats& out_scale, Ints* levels) {
  Floats largest{}, peak{};
  for (int i = 0; i < 16; ++i) {
    Floats m;
    magnitude(x.at[i], m);
    const Ints more = m > largest;
    largest = more ? m : largest;
    peak = more ? x.at[i] : peak;
  }
  const Ints tiny = largest < 1e-15f;
  Floats scale{}, best{};
  for (int turn = 0; turn < 19; ++turn) {
    const int step = turn == 0 ? 0 : turn <= 9 ? turn - 10 : turn - 9;
    Floats numerator;
    broadcast(step == 0 ? -32.0f : -(32.0f + 0.1f * static_cast<float>(step)), numerator);
    const Floats inverse = numerator / peak;
    Ints candidate[16];
    Floats sum_xl{}, sum_ll{};
    for (int i = 0; i < 16; ++i) {
      round_clamped(inverse * x.at[i], -32, 31, candidate[i]);
      const Floats level = __builtin_convertvector(candidate[i], Floats), w = x.at[i] * x.at[i];
      sum_xl += w * x.at[i] * level;
      sum_ll += w * level * level;
    }
    const Ints found = sum_ll > 0.0f;
    if (turn == 0) {
      scale = sum_ll != 0.0f ? sum_xl / sum_ll : Floats{};
      best = scale * sum_xl;
      for (int i = 0; i < 16; ++i) levels[i] = candidate[i] + 32;
      continue;
    }
    const Ints better = found & (sum_xl * sum_xl > best * sum_ll);
    if (!any(better)) continue;
    scale = better ? sum_xl / sum_ll : scale;
    best = better ? scale * sum_xl : best;
    for (int i = 0; i < 16; ++i) levels[i] = better ? candidate[i] + 32 : levels[i];
  }
  out_scale = tiny ? Floats{} : scale;
  for (int i = 0; i < 16; ++i) levels[i] = tiny ? Ints{} : levels[i];
}

HOIST_INLINE void encode_q6_k(const float* v, uint8_t* out) {
  Columns<16> x[2];
  Floats scale[2];
  Ints found[2][16];
  float peak = 0, peak_magnitude = 0;
  for (int half = 0; half < 2; ++half) {
    load_columns<16>(v + 128 * half, x[half]);
    search_symmetric(x[half], scale[half], found[half]);
    for (int j = 0; j < 8; ++j)
      if (std::fabs(scale[half][j]) > peak_magnitude) {
        peak_magnitude = std::fabs(scale[half][j]);
        peak = scale[half][j];
      }
  }
  if (peak_magnitude < 1e-15f) {
    std::memset(out, 0, 210);
    return;
  }
  const float inverse = -128.0f / peak;
  const float d = store_half(out + 208, 1 / inverse);
  for (int half = 0; half < 2; ++half) {
    uint8_t *low = out + 64 * half, *high = out + 128 + 32 * half, *sc = out + 192 + 8 * half;
    Floats step;
    for (int j = 0; j < 8; ++j) {
      const auto s = static_cast<int8_t>(std::min(127, round_even(inverse * scale[half][j])));
      sc[j] = static_cast<uint8_t>(s);
      step[j] = d * static_cast<float>(s);
    }
    const Ints dead = step == 0.0f;
    uint8_t q[128];
    for (int i = 0; i < 16; ++i) {
      Ints level;
      round_clamped(x[half].at[i] / step, -32, 31, level);
      level = dead ? found[half][i] : level + 32;
      for (int lane = 0; lane < kLanes; ++lane) q[lane * 16 + i] = static_cast<uint8_t>(level[lane]);
    }
    for (int i = 0; i < 32; ++i) {
      low[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 64] & 15) << 4);
      low[i + 32] = static_cast<uint8_t>((q[i + 32] & 15) | (q[i + 96] & 15) << 4);
      high[i] = static_cast<uint8_t>(q[i] >> 4 | (q[i + 32] >> 4) << 2 | (q[i + 64] >> 4) << 4 |
                                     (q[i + 96] >> 4) << 6);
    }
  }
}

// Encodes n elements; all of it is inlined into the functions below, one set per instruction set.
template <int Bytes, int ScaleAt, void (*Encode)(const float*, uint8_t*)>
HOIST_INLINE void encode_all(const float* x, void* destination, int64_t n) {
  auto* out = static_cast<uint8_t*>(destination);
  for (int64_t i = 0; i < n; i += kSuper, out += Bytes) {
    if (all_finite(x + i, kSuper))
      Encode(x + i, out);
    else
      store_not_a_number<Bytes, ScaleAt>(out);
  }
}

#define HOIST_ENCODERS(isa, attributes)                              \
  attributes void q4_k_##isa(const float* x, void* out, int64_t n) { \
    encode_all<144, 0, encode_q4_k>(x, out, n);                      \
  }                                                                  \
  attributes void q5_k_##isa(const float* x, void* out, int64_t n) { \
    encode_all<176, 0, encode_q5_k>(x, out, n);                      \
  }                                                                  \
  attributes void q6_k_##isa(const float* x, void* out, int64_t n) { \
    encode_all<210, 208, encode_q6_k>(x, out, n);                    \
  }

HOIST_ENCODERS(portable, )
#if defined(__x86_64__)
HOIST_ENCODERS(avx2, __attribute__((target("avx2"))))
#endif

const KEncoders& best_encoders() {
  static const KEncoders best = avx2_encoders() ? *avx2_encoders() : portable_encoders();
  return best;
}

// Levels of one super-block with affine sub-blocks: level(sub_block, i) in 0..31.
template <int Bytes, class Level>
HOIST_INLINE void decode_affine(const void* source, float* y, int64_t n, Level level) {
  const auto* in = static_cast<const uint8_t*>(source);
  for (int64_t at = 0; at < n; at += kSuper, in += Bytes, y += kSuper) {
    const float d = load_half(in), dmin = load_half(in + 2);
    for (int j = 0; j < 8; ++j) {
      const Six six = unpack_six(in + 4, j);
      const float step = d * static_cast<float>(six.scale), shift = dmin * static_cast<float>(six.minimum);
      for (int i = 0; i < 32; ++i) y[32 * j + i] = step * static_cast<float>(level(in, j, i)) - shift;
    }
  }
}

}  // namespace

const KEncoders& portable_encoders() {
  static constexpr KEncoders table{q4_k_portable, q5_k_portable, q6_k_portable};
  return table;
}

const KEncoders* avx2_encoders() {
#if defined(__x86_64__)
  static constexpr KEncoders table{q4_k_avx2, q5_k_avx2, q6_k_avx2};
  return __builtin_cpu_supports("avx2") ? &table : nullptr;
#else
  return nullptr;
#endif
}

void quantize_q4_k(const float* x, void* destination, int64_t n) { best_encoders().q4_k(x, destination, n); }
void quantize_q5_k(const float* x, void* destination, int64_t n) { best_encoders().q5_k(x, destination, n); }
void quantize_q6_k(const float* x, void* destination, int64_t n) { best_encoders().q6_k(x, destination, n); }

void dequantize_q4_k(const void* source, float* y, int64_t n) {
  decode_affine<144>(source, y, n, [](const uint8_t* in, int j, int i) {
    return (in[16 + 32 * (j / 2) + i] >> (4 * (j & 1))) & 15;
  });
}

void dequantize_q5_k(const void* source, float* y, int64_t n) {
  decode_affine<176>(source, y, n, [](const uint8_t* in, int j, int i) {
    return ((in[48 + 32 * (j / 2) + i] >> (4 * (j & 1))) & 15) | ((in[16 + i] >> j) & 1) << 4;
  });
}

void dequantize_q6_k(const void* source, float* y, int64_t n) {
  const auto* in = static_cast<const uint8_t*>(source);
  for (int64_t at = 0; at < n; at += kSuper, in += 210, y += kSuper) {
    const float d = load_half(in + 208);
    for (int j = 0; j < 16; ++j) {  // sub-block j: 16 elements of quarter t of half h
      const int h = j / 8, t = (j % 8) / 2, first = 16 * (j % 2);
      const uint8_t *low = in + 64 * h + 32 * (t & 1) + first, *high = in + 128 + 32 * h + first;
      const float step = d * static_cast<float>(static_cast<int8_t>(in[192 + j]));
      for (int i = 0; i < 16; ++i) {
        const int q = ((low[i] >> (4 * (t / 2))) & 15) | ((high[i] >> (2 * t)) & 3) << 4;
        y[16 * j + i] = step * static_cast<float>(q - 32);
      }
    }
  }
}

}  // namespace hoist::quant
