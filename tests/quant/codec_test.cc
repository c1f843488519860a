// Block codecs against the published bytes (tests/fixtures/quant, made by scripts/make_quant_fixtures.py from
// two oracles), and the properties they promise beyond: what is not a number, neighbours, instruction sets.
#include "quant/codec.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "base/rng.h"
#include "quant/block_io.h"

namespace hoist::quant {
namespace {

constexpr const char* kCases[] = {"gaussian",  "small",     "constant", "negative_constant",
                                  "zero",      "outlier",   "ramp",     "steps",
                                  "subnormal", "vanishing", "overflow", "huge",
                                  "positive",  "negative",  "sparse",   "any_bits"};

// The inputs of scripts/make_quant_fixtures.py, by operations that round nothing.
std::vector<float> values(const std::string& name, int64_t n) {
  size_t index = 0;
  while (kCases[index] != name) ++index;
  const CounterRng rng(2026, 1 + index);
  std::vector<float> out(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t r = rng.bits(static_cast<uint64_t>(i));
    int total = -1020;
    for (int b = 0; b < 8; ++b) total += static_cast<int>((r >> (8 * b)) & 255);
    const auto bell = static_cast<float>(total);
    float x = 0;
    if (name == "gaussian") x = std::ldexp(bell, -10);
    if (name == "small") x = std::ldexp(bell, -16);
    if (name == "vanishing") x = std::ldexp(bell, -32);
    if (name == "subnormal") x = std::ldexp(bell, -149);
    if (name == "overflow") x = std::ldexp(bell, 12);
    if (name == "huge") x = std::ldexp(bell, 116);
    if (name == "constant") x = 0.37f;
    if (name == "negative_constant") x = -0.37f;
    if (name == "outlier") x = i % 256 == 77 ? 100.0f : std::ldexp(bell, -16);
    if (name == "ramp") x = static_cast<float>(i) * 0.01f;
    if (name == "steps") x = static_cast<float>(r % 17) * 0.5f - 4;
    if (name == "positive") x = std::fabs(std::ldexp(bell, -10)) + 1;
    if (name == "negative") x = -std::fabs(std::ldexp(bell, -10)) - 1;
    if (name == "sparse") x = r % 16 == 0 ? std::ldexp(bell, -10) : 0.0f;
    if (name == "any_bits") {
      auto u = static_cast<uint32_t>(r);
      if ((u & 0x7f800000u) == 0x7f800000u) u &= ~0x40000000u;
      x = std::bit_cast<float>(u);
    }
    out[static_cast<size_t>(i)] = x;
  }
  return out;
}

std::string encode(const BlockCodec& codec, const std::vector<float>& x) {
  std::string out(static_cast<size_t>(codec.bytes_of(static_cast<int64_t>(x.size()))), '\x55');
  codec.quantize(x.data(), out.data(), static_cast<int64_t>(x.size()));
  return out;
}
std::vector<float> decode(const BlockCodec& codec, const std::string& blocks) {
  std::vector<float> out(blocks.size() / static_cast<size_t>(codec.bytes) * static_cast<size_t>(codec.block));
  codec.dequantize(blocks.data(), out.data(), static_cast<int64_t>(out.size()));
  return out;
}
std::string hex(std::string_view bytes) {
  std::string out;
  for (unsigned char c : bytes) {
    out += "0123456789abcdef"[c >> 4];
    out += "0123456789abcdef"[c & 15];
  }
  return out;
}

TEST(Codec, GivesThePublishedBytes) {
  std::ifstream in(HOIST_SOURCE_DIR "/tests/fixtures/quant/codecs.txt");
  ASSERT_TRUE(in);
  int checked = 0;
  for (std::string line; std::getline(in, line); ++checked) {
    std::istringstream fields(line);
    std::string what, format, name, digest;
    int64_t n = 0;
    fields >> what >> format;
    const BlockCodec* codec = find_codec(format);
    ASSERT_NE(codec, nullptr) << format;
    if (what == "bytes") {
      fields >> name >> digest;
      EXPECT_EQ(hex(encode(*codec, values(name, 256))), digest) << format << " " << name;
    } else if (what == "quantize") {
      fields >> name >> n >> digest;
      EXPECT_EQ(stable_hash(encode(*codec, values(name, n))), std::stoull(digest, nullptr, 16))
          << format << " " << name;
    } else {
      ASSERT_EQ(what, "dequantize");
      fields >> n >> digest;
      const CounterRng rng(2026, static_cast<uint64_t>(100 + codec->block + codec->bytes));
      std::string blocks(static_cast<size_t>(codec->bytes_of(n)), '\0');
      for (size_t i = 0; i < blocks.size(); ++i)
        blocks[i] = static_cast<char>(rng.bits(i / 8) >> (8 * (i % 8)));
      std::vector<float> y = decode(*codec, blocks);
      for (float& x : y)
        if (std::isnan(x)) x = std::bit_cast<float>(0x7fc00000u);
      EXPECT_EQ(stable_hash({reinterpret_cast<const char*>(y.data()), y.size() * 4}),
                std::stoull(digest, nullptr, 16))
          << format;
    }
  }
  EXPECT_EQ(checked, 8 * (2 * 16 + 1));
}

TEST(Codec, WhatIsNotANumberStaysInItsBlock) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const BlockCodec& codec : codecs())
    for (float poison : {std::nanf(""), inf, -inf})
      for (int64_t at : {int64_t{0}, codec.block / 2 + 1, codec.block - 1}) {
        std::vector<float> x = values("gaussian", 3 * codec.block);
        const std::string clean = encode(codec, x);
        x[static_cast<size_t>(codec.block + at)] = poison;
        const std::string dirty = encode(codec, x);
        const auto bytes = static_cast<size_t>(codec.bytes), block = static_cast<size_t>(codec.block);
        EXPECT_EQ(dirty.substr(0, bytes), clean.substr(0, bytes));
        EXPECT_EQ(dirty.substr(2 * bytes), clean.substr(2 * bytes));
        const std::vector<float> y = decode(codec, dirty);
        for (size_t i = block; i < 2 * block; ++i) ASSERT_TRUE(std::isnan(y[i])) << codec.name << " " << i;
      }
}

TEST(Codec, ErrorIsWhatTheBitsAllow) {
  // Root mean square error over the values' own, on bell-shaped weights: halving with each bit, k below its
  // plain sister.
  const std::vector<float> x = values("gaussian", 65536);
  auto error = [&](const char* name) {
    const std::vector<float> y = decode(*find_codec(name), encode(*find_codec(name), x));
    double num = 0, den = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      num += (double{x[i]} - y[i]) * (double{x[i]} - y[i]);
      den += double{x[i]} * x[i];
    }
    return std::sqrt(num / den);
  };
  EXPECT_LT(error("q8_0"), 0.006);
  EXPECT_LT(error("q6_k"), 0.022);
  EXPECT_LT(error("q5_k"), 0.04);
  EXPECT_LT(error("q4_k"), 0.08);
  EXPECT_LT(error("q4_0"), 0.1);
  EXPECT_LT(error("q4_k"), error("q4_0"));
  EXPECT_LT(error("q5_k"), error("q5_0"));
}

TEST(Codec, EveryInstructionSetGivesTheSameBytes) {
  if (!avx2_encoders()) GTEST_SKIP() << "this CPU has no AVX2";
  const KEncoders &a = portable_encoders(), &b = *avx2_encoders();
  for (const char* name : kCases) {
    const std::vector<float> x = values(name, 4096);
    std::string p(16 * 210, '\0'), q = p;
    for (auto [f, g] : {std::pair(a.q4_k, b.q4_k), std::pair(a.q5_k, b.q5_k), std::pair(a.q6_k, b.q6_k)}) {
      f(x.data(), p.data(), 4096);
      g(x.data(), q.data(), 4096);
      EXPECT_EQ(p, q) << name;
    }
  }
}

TEST(Codec, TableIsConsistent) {
  EXPECT_EQ(codecs().size(), 8u);
  for (const BlockCodec& codec : codecs()) {
    EXPECT_EQ(find_codec(codec.name), &codec);
    EXPECT_EQ(find_codec_by_gguf_type(codec.gguf_type), &codec);
    codec.quantize(nullptr, nullptr, 0);
    codec.dequantize(nullptr, nullptr, 0);
  }
  EXPECT_EQ(find_codec("q2_k"), nullptr);
  EXPECT_EQ(find_codec(""), nullptr);
  EXPECT_EQ(find_codec_by_gguf_type(16), nullptr);
}

}  // namespace
}  // namespace hoist::quant
