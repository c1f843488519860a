// Every loop is compiled for its instruction set by itself (target attributes), so that one binary measures
// whatever machine it runs on.
#include "bench/probes.h"

#include <immintrin.h>

#include <cstring>

namespace hoist::bench {

namespace {

// ---- Multiply-adds: twelve accumulators cover a latency of six at two per cycle.

#define HOIST_FMA_PROBE(NAME, TARGET, VECTOR, INSTRUCTION)                                                   \
  __attribute__((target(TARGET), noinline)) void NAME(int64_t steps) {                                       \
    VECTOR x = {}, y = {}, a = {}, b = {}, c = {}, d = {}, e = {}, f = {}, g = {}, h = {}, i = {}, j = {},   \
           k = {}, l = {};                                                                                   \
    for (int64_t n = 0; n < steps; ++n)                                                                      \
      asm volatile(INSTRUCTION(0) INSTRUCTION(1) INSTRUCTION(2) INSTRUCTION(3) INSTRUCTION(4) INSTRUCTION(5) \
                       INSTRUCTION(6) INSTRUCTION(7) INSTRUCTION(8) INSTRUCTION(9) INSTRUCTION(10)           \
                           INSTRUCTION(11)                                                                   \
                   : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i),        \
                     "+v"(j), "+v"(k), "+v"(l)                                                               \
                   : "v"(x), "v"(y));                                                                        \
  }
#define HOIST_FMA_F32(N) "vfmadd231ps %12, %13, %" #N "\n"
#define HOIST_FMA_BF16(N) "vdpbf16ps %12, %13, %" #N "\n"
#define HOIST_DOT_I8(N) "vpdpbusd %12, %13, %" #N "\n"
typedef float F16 __attribute__((vector_size(64)));
typedef float F8 __attribute__((vector_size(32)));
HOIST_FMA_PROBE(fma_f32_512, "avx512f", F16, HOIST_FMA_F32)
HOIST_FMA_PROBE(fma_bf16_512, "avx512f,avx512bf16", F16, HOIST_FMA_BF16)
HOIST_FMA_PROBE(dot_i8_512, "avx512f,avx512vnni", F16, HOIST_DOT_I8)
HOIST_FMA_PROBE(fma_f32_256, "avx2,fma", F8, HOIST_FMA_F32)

// Without VNNI a product of bytes takes three instructions: multiply pairs, add pairs, accumulate.
#define HOIST_DOT_PROBE(NAME, TARGET, VECTOR)                                                               \
  __attribute__((target(TARGET), noinline)) void NAME(int64_t steps) {                                      \
    VECTOR x = {}, ones = {}, a = {}, b = {}, c = {}, d = {}, s = {}, t = {}, u = {}, v = {};               \
    for (int64_t n = 0; n < steps; ++n)                                                                     \
      asm volatile(                                                                                         \
          "vpmaddubsw %8, %8, %4\n vpmaddubsw %8, %8, %5\n vpmaddubsw %8, %8, %6\n vpmaddubsw %8, %8, %7\n" \
          "vpmaddwd %9, %4, %4\n vpmaddwd %9, %5, %5\n vpmaddwd %9, %6, %6\n vpmaddwd %9, %7, %7\n"         \
          "vpaddd %4, %0, %0\n vpaddd %5, %1, %1\n vpaddd %6, %2, %2\n vpaddd %7, %3, %3\n"                 \
          : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(s), "+v"(t), "+v"(u), "+v"(v)                          \
          : "v"(x), "v"(ones));                                                                             \
  }
HOIST_DOT_PROBE(products_i8_512, "avx512f,avx512bw", F16)
HOIST_DOT_PROBE(products_i8_256, "avx2", F8)

// What every x86-64 has: multiply and add apart, four floats at a time.
__attribute__((noinline)) void fma_f32_128(int64_t steps) {
  typedef float F4 __attribute__((vector_size(16)));
  F4 x = {}, a = {}, b = {}, c = {}, d = {}, s = {}, t = {}, u = {}, v = {};
  for (int64_t n = 0; n < steps; ++n)
    asm volatile(
        "mulps %8, %4\n addps %4, %0\n mulps %8, %5\n addps %5, %1\n"
        "mulps %8, %6\n addps %6, %2\n mulps %8, %7\n addps %7, %3\n"
        : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(s), "+x"(t), "+x"(u), "+x"(v)
        : "x"(x));
}

// ---- Memory. A walk of one stream, or of several that start a part of the range apart: pages then come from
// several DRAM banks at once and every stream has a hardware prefetcher of its own.

#define HOIST_READ_PROBE(NAME, TARGET, VECTOR, LOAD, OR, SINK)                                          \
  template <int kStreams, int kAhead>                                                                   \
  __attribute__((target(TARGET), noinline)) void NAME(std::byte* to, const std::byte*, int64_t bytes) { \
    constexpr int64_t kStep = 256, kWidth = sizeof(VECTOR);                                             \
    const int64_t part = bytes / kStreams;                                                              \
    VECTOR a = {}, b = {}, c = {}, d = {};                                                              \
    for (int64_t at = 0; at < part; at += kStep)                                                        \
      for (int s = 0; s < kStreams; ++s) {                                                              \
        const std::byte* p = to + s * part + at;                                                        \
        if constexpr (kAhead > 0)                                                                       \
          for (int64_t line = 0; line < kStep; line += 64)                                              \
            _mm_prefetch(reinterpret_cast<const char*>(p + kAhead + line), _MM_HINT_T0);                \
        for (int64_t i = 0; i < kStep; i += 4 * kWidth) {                                               \
          const VECTOR* v = reinterpret_cast<const VECTOR*>(p + i);                                     \
          a = OR(a, LOAD(v)), b = OR(b, LOAD(v + 1)), c = OR(c, LOAD(v + 2)), d = OR(d, LOAD(v + 3));   \
        }                                                                                               \
      }                                                                                                 \
    a = OR(OR(a, b), OR(c, d));                                                                         \
    asm volatile("" ::SINK(a));                                                                         \
  }
HOIST_READ_PROBE(read_512, "avx512f", __m512i, _mm512_load_si512, _mm512_or_si512, "v")
HOIST_READ_PROBE(read_256, "avx2", __m256i, _mm256_load_si256, _mm256_or_si256, "x")
HOIST_READ_PROBE(read_128, "sse2", __m128i, _mm_load_si128, _mm_or_si128, "x")

#define HOIST_WRITE_PROBES(SUFFIX, TARGET, VECTOR, LOAD, STORE, STREAM, SET, XOR)                           \
  template <int kStreams>                                                                                   \
  __attribute__((target(TARGET), noinline)) void stream##SUFFIX(std::byte* to, const std::byte*,            \
                                                                int64_t bytes) {                            \
    const int64_t part = bytes / kStreams;                                                                  \
    const VECTOR x = SET(7);                                                                                \
    for (int64_t at = 0; at < part; at += 64)                                                               \
      for (int s = 0; s < kStreams; ++s)                                                                    \
        for (int64_t i = 0; i < 64; i += sizeof(VECTOR))                                                    \
          STREAM(reinterpret_cast<VECTOR*>(to + s * part + at + i), x);                                     \
    _mm_sfence();                                                                                           \
  }                                                                                                         \
  template <bool kPast>                                                                                     \
  __attribute__((target(TARGET), noinline)) void copy##SUFFIX(std::byte* to, const std::byte* from,         \
                                                              int64_t bytes) {                              \
    for (int64_t at = 0; at < bytes; at += sizeof(VECTOR)) {                                                \
      if (at % 64 == 0) _mm_prefetch(reinterpret_cast<const char*>(from + at + 2048), _MM_HINT_T0);         \
      const VECTOR x = LOAD(reinterpret_cast<const VECTOR*>(from + at));                                    \
      if constexpr (kPast)                                                                                  \
        STREAM(reinterpret_cast<VECTOR*>(to + at), x);                                                      \
      else                                                                                                  \
        STORE(reinterpret_cast<VECTOR*>(to + at), x);                                                       \
    }                                                                                                       \
    _mm_sfence();                                                                                           \
  }                                                                                                         \
  template <int kAhead>                                                                                     \
  __attribute__((target(TARGET), noinline)) void update##SUFFIX(std::byte* to, const std::byte*,            \
                                                                int64_t bytes) {                            \
    const VECTOR y = SET(7);                                                                                \
    for (int64_t at = 0; at < bytes; at += 64) {                                                            \
      if constexpr (kAhead > 0) _mm_prefetch(reinterpret_cast<const char*>(to + at + kAhead), _MM_HINT_T0); \
      for (int64_t i = 0; i < 64; i += sizeof(VECTOR)) {                                                    \
        VECTOR* p = reinterpret_cast<VECTOR*>(to + at + i);                                                 \
        STORE(p, XOR(LOAD(p), y));                                                                          \
      }                                                                                                     \
    }                                                                                                       \
  }
HOIST_WRITE_PROBES(_512, "avx512f", __m512i, _mm512_load_si512, _mm512_store_si512, _mm512_stream_si512,
                   _mm512_set1_epi32, _mm512_xor_si512)
HOIST_WRITE_PROBES(_256, "avx2", __m256i, _mm256_load_si256, _mm256_store_si256, _mm256_stream_si256,
                   _mm256_set1_epi32, _mm256_xor_si256)
HOIST_WRITE_PROBES(_128, "sse2", __m128i, _mm_load_si128, _mm_store_si128, _mm_stream_si128, _mm_set1_epi32,
                   _mm_xor_si128)

void set_bytes(std::byte* to, const std::byte*, int64_t bytes) {
  std::memset(to, 7, static_cast<size_t>(bytes));
}
void copy_bytes(std::byte* to, const std::byte* from, int64_t bytes) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

// Streams times prefetch distance. The prefetch of the last step runs past the range by less than 8 KiB: it
// reads nothing and cannot fault.
#define HOIST_READS(F)                                                                                 \
  {"1 stream", F<1, 0>}, {"1 stream, prefetch 1K", F<1, 1024>}, {"1 stream, prefetch 4K", F<1, 4096>}, \
      {"2 streams", F<2, 0>}, {"2 streams, prefetch 1K", F<2, 1024>}, {"4 streams", F<4, 0>},          \
      {"4 streams, prefetch 1K", F<4, 1024>}, {"4 streams, prefetch 4K", F<4, 4096>},                  \
      {"8 streams", F<8, 0>}, {"8 streams, prefetch 1K", F<8, 1024>}, {                                \
    "16 streams", F<16, 0>                                                                             \
  }
#define HOIST_WRITES(S) \
  {"past the caches", stream##S<1>}, {"past the caches, 4 streams", stream##S<4>}, { "memset", set_bytes }
#define HOIST_COPIES(S) \
  {"past the caches", copy##S<true>}, {"through the caches", copy##S<false>}, { "memcpy", copy_bytes }
#define HOIST_UPDATES(S) \
  {"plain", update##S<0>}, {"prefetch 1K", update##S<1024>}, { "prefetch 4K", update##S<4096> }

#define HOIST_MEMORY_TABLES(S)                            \
  const MemoryProbe kReads##S[] = {HOIST_READS(read##S)}; \
  const MemoryProbe kWrites##S[] = {HOIST_WRITES(S)};     \
  const MemoryProbe kCopies##S[] = {HOIST_COPIES(S)};     \
  const MemoryProbe kUpdates##S[] = {HOIST_UPDATES(S)};   \
  std::span<const MemoryProbe> table##S(Memory kind) {    \
    switch (kind) {                                       \
      case Memory::kRead: return kReads##S;               \
      case Memory::kWrite: return kWrites##S;             \
      case Memory::kCopy: return kCopies##S;              \
      case Memory::kUpdate: return kUpdates##S;           \
    }                                                     \
    return {};                                            \
  }
HOIST_MEMORY_TABLES(_512)
HOIST_MEMORY_TABLES(_256)
HOIST_MEMORY_TABLES(_128)

}  // namespace

FmaProbe fma_probe(kernels::Isa isa, Arithmetic arithmetic) {
  const bool bytes = arithmetic == Arithmetic::kI8;
  switch (isa) {
    case kernels::Isa::kAvx512Dot:
      if (bytes) return {"vpdpbusd", dot_i8_512, 12 * 128};
      if (arithmetic == Arithmetic::kBf16) return {"vdpbf16ps", fma_bf16_512, 12 * 64};
      [[fallthrough]];
    case kernels::Isa::kAvx512:
      if (bytes) return {"vpmaddubsw, 512 bits", products_i8_512, 4 * 128};
      return {"vfmadd231ps, 512 bits", fma_f32_512, 12 * 32};
    case kernels::Isa::kAvx2:
      if (bytes) return {"vpmaddubsw, 256 bits", products_i8_256, 4 * 64};
      return {"vfmadd231ps, 256 bits", fma_f32_256, 12 * 16};
    case kernels::Isa::kPortable: break;
  }
  return {"mulps and addps", fma_f32_128, 4 * 8};
}

std::span<const MemoryProbe> memory_probes(kernels::Isa isa, Memory kind) {
  switch (isa) {
    case kernels::Isa::kAvx512Dot:
    case kernels::Isa::kAvx512: return table_512(kind);
    case kernels::Isa::kAvx2: return table_256(kind);
    case kernels::Isa::kPortable: break;
  }
  return table_128(kind);
}

}  // namespace hoist::bench
