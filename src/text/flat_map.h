// Open-addressing hash map from 64-bit keys to 64-bit values, for tables that are filled once and read often.
//
// Keys come from files, so the hash is seeded per process: a file cannot be built to collide. The order of
// entries is never observable. Not synchronised; const reads from many threads are fine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hoist::text {

uint64_t hash_seed();  // one random number per process

inline uint64_t mix_bits(uint64_t x) {
  x ^= x >> 32;
  x *= 0xE9846AF9B1A615D9ull;
  x ^= x >> 32;
  x *= 0xE9846AF9B1A615D9ull;
  x ^= x >> 28;
  return x;
}

class FlatMap {
 public:
  FlatMap() : seed_(hash_seed()) {}

  size_t size() const { return size_; }

  // Sets the value of `key`; true if the key is new.
  bool insert(uint64_t key, uint64_t value) {
    if ((size_ + 1) * 2 > slots_.size()) grow();
    Slot& slot = slots_[find_slot(key)];
    const bool is_new = !slot.used;
    size_ += is_new;
    slot = {key, value, true};
    return is_new;
  }

  // nullptr when absent.
  const uint64_t* find(uint64_t key) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[find_slot(key)];
    return slot.used ? &slot.value : nullptr;
  }

 private:
  struct Slot {
    uint64_t key = 0, value = 0;
    bool used = false;
  };

  size_t find_slot(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t at = mix_bits(key ^ seed_) & mask;
    while (slots_[at].used && slots_[at].key != key) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.used) slots_[find_slot(slot.key)] = slot;
    }
  }

  uint64_t seed_;
  size_t size_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace hoist::text
