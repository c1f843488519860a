// One op through the kernel table, outside any plan, on memory of its own: what the product would run.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/row.h"
#include "ir/op.h"

namespace hoist::bench {

// How an operand is filled: floats in (-1, 1); integers uniform in [base, base + limit), or with `count` the
// element's own index, or those of `given`. Formatted (block-quantized) types get bytes that are finite in
// every format.
struct Operand {
  ir::Type type;
  int64_t base = 0, limit = 1;
  bool count = false;
  std::vector<int64_t> given = {};  // as many as there are elements
};

// An empty Run when the op refuses these types, or no kernel of the ISA's table but the reference supports
// them: a naive loop is not worth timing.
Run op_run(const Setting& setting, const ir::OpDef& op, const ir::Attrs& attrs,
           const std::vector<Operand>& operands);

// The type of a weight matrix as the product keeps it: `dtype` is f32, bf16, or a block format (q8_0, q4_0,
// q4_k); `out` rows of `in`. GEMM and GEMV cases and nothing else ask here, so that a packed layout is named
// in one place.
ir::Type weight_type(const std::string& dtype, int64_t out, int64_t in);

// Bytes of a type as stored.
double bytes_of(const ir::Type& type);

// Host memory that is filled with random floats, 64-byte aligned, in huge pages where there are any.
class HostMemory {
 public:
  explicit HostMemory(int64_t bytes);
  HostMemory(const HostMemory&) = delete;
  ~HostMemory();
  std::byte* data() const { return data_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};
// n floats in (-1, 1), the same for the same seed.
void fill_random(float* to, int64_t n, uint64_t seed);

}  // namespace hoist::bench
