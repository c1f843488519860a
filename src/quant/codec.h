// Block codecs: weights as small integers in blocks that share a scale, bit for bit as ggml and GGUF files
// hold them.
//
// Entry point: find_codec("q4_k"). Formats: q8_0, q4_0, q4_1, q5_0, q5_1 (blocks of 32) and q4_k, q5_k, q6_k
// (blocks of 256, with 6- or 8-bit scales of sub-blocks). For finite input quantize() gives the bytes of
// ggml's reference quantizers without an importance matrix; dequantize() gives their floats. Source of the
// procedures: the GGUF format as published by ggml (ggml-quants.c), restated in the .cc files beside us.
//
// What is not a number:
// - quantize: a block that holds a NaN or an infinity becomes a block whose scale is a NaN and whose other
//   bytes are zero, so it reads back as NaN throughout; its neighbours do not notice. Nothing is undefined.
// - quantize: finite values beyond a format's reach (its f16 scale overflows) give an infinite scale, as in
//   ggml, and read back as infinities or NaN. Values so small that the f16 scale vanishes read back as 0.
// - dequantize: any bytes are valid. NaN and infinite scales follow IEEE arithmetic on the formula.
//
// Threads: all functions are pure; callers split rows over threads. Time per weight, about: see
// docs/formats.md.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace hoist::quant {

struct BlockCodec {
  const char* name;      // as in ir::Type::format
  int64_t block, bytes;  // `block` elements are held in `bytes` bytes
  uint32_t gguf_type;    // tensor type in a GGUF file
  // `n` is a multiple of `block` (CHECK). No alignment is asked for; ranges must not overlap.
  void (*dequantize)(const void* source, float* destination, int64_t n);
  void (*quantize)(const float* source, void* destination, int64_t n);

  int64_t bytes_of(int64_t n) const { return n / block * bytes; }
};

// Null when the name is unknown.
const BlockCodec* find_codec(std::string_view name);
const BlockCodec* find_codec_by_gguf_type(uint32_t type);
std::span<const BlockCodec> codecs();

}  // namespace hoist::quant
