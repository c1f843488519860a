// Blocks of 32: q8_0, q4_0, q4_1, q5_0, q5_1.
//
// One f16 scale d; the _1 formats also an f16 minimum m. Nibble j of the low halves holds element j, of the
// high halves element j + 16; five-bit formats keep bit 4 of element j in bit j of a 32-bit word.
//   q8_0 {d, i8 q[32]}        x = d q            d = max|x| / 127, q = x / d rounded half away from zero
//   q4_0 {d, u8 q[16]}        x = d (q - 8)      d = M / -8, M the x of largest magnitude, its sign kept
//   q5_0 {d, u32 high, q[16]} x = d (q - 16)     d = M / -16
//   q4_1 {d, m, q[16]}        x = d q + m        m = min x, d = (max x - m) / 15
//   q5_1 {d, m, u32 high, q[16]}                 d = (max x - m) / 31
// All arithmetic is f32 with one rounding per operation; x / d is a product with 1 / d.
#include <algorithm>

#include "quant/block_io.h"

namespace hoist::quant {
namespace {

constexpr int kBlock = 32;

float inverse(float d) { return d != 0 ? 1.0f / d : 0.0f; }

// Eight maxima side by side, for a compiler that may not change the order of one.
constexpr int kLanes = 8;
float largest_magnitude(const float* x) {
  float top[kLanes] = {};
  for (int i = 0; i < kBlock; i += kLanes)
    for (int j = 0; j < kLanes; ++j) {
      const float magnitude = std::fabs(x[i + j]);
      top[j] = magnitude > top[j] ? magnitude : top[j];
    }
  return *std::max_element(top, top + kLanes);
}
// The element of largest magnitude, the first of equals; 0 when all are.
float signed_peak(const float* x) {
  const float largest = largest_magnitude(x);
  if (largest == 0) return 0;
  int i = 0;
  while (std::fabs(x[i]) != largest) ++i;
  return x[i];
}

struct Range {
  float low, high;
};
Range range_of(const float* x) {
  Range r{x[0], x[0]};
  for (int i = 1; i < kBlock; ++i) {
    if (x[i] < r.low) r.low = x[i];
    if (x[i] > r.high) r.high = x[i];
  }
  return r;
}

// Half away from zero, for |x| <= 127.5 and what is not a number. Adding the largest float below 0.5 makes
// exactly the halves and what lies above them reach the next integer.
int8_t round_away(float x) { return static_cast<int8_t>(truncate(x + std::copysign(0.49999997f, x))); }

void pack_nibbles(const uint8_t* q, uint8_t* out) {
  for (int j = 0; j < kBlock / 2; ++j) out[j] = static_cast<uint8_t>((q[j] & 15) | (q[j + 16] & 15) << 4);
}
void pack_fives(const uint8_t* q, uint8_t* high_out, uint8_t* out) {
  pack_nibbles(q, out);
  uint32_t high = 0;
  for (int j = 0; j < kBlock; ++j) high |= uint32_t{(q[j] >> 4) & 1u} << j;
  std::memcpy(high_out, &high, 4);
}
void unpack_nibbles(const uint8_t* in, uint8_t* q) {
  for (int j = 0; j < kBlock / 2; ++j) {
    q[j] = in[j] & 15;
    q[j + 16] = in[j] >> 4;
  }
}
void unpack_fives(const uint8_t* high_in, const uint8_t* in, uint8_t* q) {
  unpack_nibbles(in, q);
  for (int i = 0; i < 4; ++i) {
    // A byte's eight bits to bit 4 of eight bytes: each byte of the product keeps its bit, which the sum
    // carries to the top.
    uint64_t eight = high_in[i] * 0x0101010101010101u & 0x8040201008040201u, levels;
    eight = (eight + 0x00406070787c7e7fu) & 0x8080808080808080u;
    std::memcpy(&levels, q + 8 * i, 8);
    levels |= eight >> 3;
    std::memcpy(q + 8 * i, &levels, 8);
  }
}

// (x - low) * scale + shift, truncated, at most `top`, as one byte.
void to_levels(const float* x, float low, float scale, float shift, int top, uint8_t* q) {
  for (int j = 0; j < kBlock; ++j) {
    const auto level = static_cast<int8_t>(truncate((x[j] - low) * scale + shift));
    q[j] = static_cast<uint8_t>(std::min<int>(top, level));
  }
}

}  // namespace

void quantize_q8_0(const float* x, void* destination, int64_t n) {
  encode_blocks<kBlock, 34, 0>(x, destination, n, [](const float* v, uint8_t* out) {
    const float d = largest_magnitude(v) / 127, id = inverse(d);
    store_half(out, d);
    for (int j = 0; j < kBlock; ++j) out[2 + j] = static_cast<uint8_t>(round_away(v[j] * id));
  });
}

void quantize_q4_0(const float* x, void* destination, int64_t n) {
  encode_blocks<kBlock, 18, 0>(x, destination, n, [](const float* v, uint8_t* out) {
    const float d = signed_peak(v) / -8;
    store_half(out, d);
    uint8_t q[kBlock];
    to_levels(v, 0, inverse(d), 8.5f, 15, q);
    pack_nibbles(q, out + 2);
  });
}

void quantize_q4_1(const float* x, void* destination, int64_t n) {
  encode_blocks<kBlock, 20, 0>(x, destination, n, [](const float* v, uint8_t* out) {
    const Range r = range_of(v);
    const float d = (r.high - r.low) / 15;
    store_half(out, d);
    store_half(out + 2, r.low);
    uint8_t q[kBlock];
    to_levels(v, r.low, inverse(d), 0.5f, 15, q);
    pack_nibbles(q, out + 4);
  });
}

void quantize_q5_0(const float* x, void* destination, int64_t n) {
  encode_blocks<kBlock, 22, 0>(x, destination, n, [](const float* v, uint8_t* out) {
    const float d = signed_peak(v) / -16;
    store_half(out, d);
    uint8_t q[kBlock];
    to_levels(v, 0, inverse(d), 16.5f, 31, q);
    pack_fives(q, out + 2, out + 6);
  });
}

void quantize_q5_1(const float* x, void* destination, int64_t n) {
  encode_blocks<kBlock, 24, 0>(x, destination, n, [](const float* v, uint8_t* out) {
    const Range r = range_of(v);
    const float d = (r.high - r.low) / 31;
    store_half(out, d);
    store_half(out + 2, r.low);
    uint8_t q[kBlock];
    to_levels(v, r.low, inverse(d), 0.5f, 255, q);
    pack_fives(q, out + 4, out + 8);
  });
}

void dequantize_q8_0(const void* source, float* y, int64_t n) {
  const auto* in = static_cast<const uint8_t*>(source);
  for (int64_t i = 0; i < n; i += kBlock, in += 34) {
    const float d = load_half(in);
    for (int j = 0; j < kBlock; ++j) y[i + j] = static_cast<float>(static_cast<int8_t>(in[2 + j])) * d;
  }
}

void dequantize_q4_0(const void* source, float* y, int64_t n) {
  const auto* in = static_cast<const uint8_t*>(source);
  for (int64_t i = 0; i < n; i += kBlock, in += 18) {
    const float d = load_half(in);
    uint8_t q[kBlock];
    unpack_nibbles(in + 2, q);
    for (int j = 0; j < kBlock; ++j) y[i + j] = static_cast<float>(q[j] - 8) * d;
  }
}

void dequantize_q4_1(const void* source, float* y, int64_t n) {
  const auto* in = static_cast<const uint8_t*>(source);
  for (int64_t i = 0; i < n; i += kBlock, in += 20) {
    const float d = load_half(in), m = load_half(in + 2);
    uint8_t q[kBlock];
    unpack_nibbles(in + 4, q);
    for (int j = 0; j < kBlock; ++j) y[i + j] = static_cast<float>(q[j]) * d + m;
  }
}

void dequantize_q5_0(const void* source, float* y, int64_t n) {
  const auto* in = static_cast<const uint8_t*>(source);
  for (int64_t i = 0; i < n; i += kBlock, in += 22) {
    const float d = load_half(in);
    uint8_t q[kBlock];
    unpack_fives(in + 2, in + 6, q);
    for (int j = 0; j < kBlock; ++j) y[i + j] = static_cast<float>(q[j] - 16) * d;
  }
}

void dequantize_q5_1(const void* source, float* y, int64_t n) {
  const auto* in = static_cast<const uint8_t*>(source);
  for (int64_t i = 0; i < n; i += kBlock, in += 24) {
    const float d = load_half(in), m = load_half(in + 2);
    uint8_t q[kBlock];
    unpack_fives(in + 4, in + 8, q);
    for (int j = 0; j < kBlock; ++j) y[i + j] = static_cast<float>(q[j]) * d + m;
  }
}

}  // namespace hoist::quant
