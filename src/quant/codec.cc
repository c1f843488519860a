#include "quant/codec.h"

#include "base/check.h"
#include "quant/block_io.h"

namespace hoist::quant {
namespace {

// The table's functions check the length once, so that no codec reads past a row.
template <int Block, void (*Decode)(const void*, float*, int64_t)>
void decode_checked(const void* source, float* y, int64_t n) {
  HOIST_CHECK(n >= 0 && n % Block == 0, "a whole number of blocks");
  Decode(source, y, n);
}
template <int Block, void (*Encode)(const float*, void*, int64_t)>
void encode_checked(const float* x, void* destination, int64_t n) {
  HOIST_CHECK(n >= 0 && n % Block == 0, "a whole number of blocks");
  Encode(x, destination, n);
}

constexpr BlockCodec kCodecs[] = {
    {"q8_0", 32, 34, 8, decode_checked<32, dequantize_q8_0>, encode_checked<32, quantize_q8_0>},
    {"q4_0", 32, 18, 2, decode_checked<32, dequantize_q4_0>, encode_checked<32, quantize_q4_0>},
    {"q4_1", 32, 20, 3, decode_checked<32, dequantize_q4_1>, encode_checked<32, quantize_q4_1>},
    {"q5_0", 32, 22, 6, decode_checked<32, dequantize_q5_0>, encode_checked<32, quantize_q5_0>},
    {"q5_1", 32, 24, 7, decode_checked<32, dequantize_q5_1>, encode_checked<32, quantize_q5_1>},
    {"q4_k", 256, 144, 12, decode_checked<256, dequantize_q4_k>, encode_checked<256, quantize_q4_k>},
    {"q5_k", 256, 176, 13, decode_checked<256, dequantize_q5_k>, encode_checked<256, quantize_q5_k>},
    {"q6_k", 256, 210, 14, decode_checked<256, dequantize_q6_k>, encode_checked<256, quantize_q6_k>},
};

}  // namespace

std::span<const BlockCodec> codecs() { return kCodecs; }

const BlockCodec* find_codec(std::string_view name) {
  for (const BlockCodec& codec : kCodecs)
    if (name == codec.name) return &codec;
  return nullptr;
}

const BlockCodec* find_codec_by_gguf_type(uint32_t type) {
  for (const BlockCodec& codec : kCodecs)
    if (type == codec.gguf_type) return &codec;
  return nullptr;
}

}  // namespace hoist::quant
