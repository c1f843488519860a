// Counter-based randomness: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC'11). A draw depends only on (seed, stream, index), so recompute, resharding and resume draw the same.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace hoist {

std::array<uint32_t, 4> philox(uint64_t key, uint64_t counter_high, uint64_t counter_low);

// A stable 64-bit hash of a name, to turn scopes into streams (FNV-1a; the same on every machine).
uint64_t stable_hash(std::string_view text);

class CounterRng {
 public:
  CounterRng(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}
  uint64_t bits(uint64_t index) const;               // 64 uniform bits
  double uniform(uint64_t index) const;              // [0, 1), 53 bits
  double normal(uint64_t index) const;               // N(0, 1), Box-Muller on one counter
  uint64_t below(uint64_t index, uint64_t n) const;  // 0..n-1, multiply-shift (bias < 2^-32 for n < 2^32)

 private:
  uint64_t seed_, stream_;
};

}  // namespace hoist
