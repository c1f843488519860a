// Tensors for tests of ops: drawn by example, cut, joined, converted and compared element by element. Slow
// and plain.
#pragma once

#include <string>
#include <vector>

#include "ir/op.h"
#include "runtime/interpret.h"

namespace hoist::testing {

using runtime::HostTensor;

double get(const HostTensor& t, int64_t i);
void set(HostTensor& t, int64_t i, double value);  // rounded to the tensor's dtype

// Values as the example's `fill` asks; the same for the same seed on every machine.
HostTensor draw(const ir::ExampleOperand& operand, uint64_t seed);

HostTensor convert(const HostTensor& t, DType dtype);
// Elements [begin, end) of dimension `dim`; what remains is not live.
HostTensor slice(const HostTensor& t, int dim, int64_t begin, int64_t end);
HostTensor concatenate(const std::vector<HostTensor>& pieces, int dim);

// Two tensors agree when |a - b| <= relative * |b| + 0.1 * relative * (largest finite |b|) everywhere,
// infinities and NaNs stand in the same places, and types are equal. relative == 0 asks for equal bits (of
// numbers).
struct Tolerance {
  double relative;
  static Tolerance exact() { return {0}; }
  // What a different order of summation may change.
  static Tolerance of(DType dtype);
};
// Empty when they agree, else the first difference in words. `tolerance` nullptr: Tolerance::of the dtype.
std::string difference(const HostTensor& got, const HostTensor& want, const Tolerance* tolerance = nullptr);

}  // namespace hoist::testing
