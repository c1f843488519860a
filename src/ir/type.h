// Types of values: an element type and named axes, outermost first; `f32[tokens=16?, model=64]` in text.
//
// Every axis has a concrete capacity. A `live` axis (marked `?`) also has a length read at run time, at most
// its capacity: kernels stop at it, so one plan serves many batch sizes. A live axis must be outermost, so
// that a shorter tensor is a prefix of its storage. Storage is always contiguous, row-major.
// `format` names a block-quantized storage of the innermost axis (q8_0, ...); empty means dense.
#pragma once

#include <cstdint>
#include <string>

#include "base/dtype.h"
#include "base/inline_vec.h"
#include "base/symbol.h"

namespace hoist::ir {

using Axis = Symbol;

struct Dim {
  Axis axis;
  int64_t size = 0;
  bool live = false;
  friend bool operator==(const Dim& a, const Dim& b) {
    return a.axis == b.axis && a.size == b.size && a.live == b.live;
  }
};
using Dims = InlineVec<Dim, 8>;

// A block format: `block` elements of a row share `bytes` bytes. As published, a row is the innermost axis.
// A panel format holds weights repacked for matrix products: 16 rows together, padded to 16 rows and to 64
// bytes a panel; the innermost `panel` axes are the row (the contracted axes), all others count rows. Names:
// "<block format>_p<panel>", "i8_p<panel>" (a byte an element, one f32 scale a row), and "p<panel>" for dense
// elements of the type's dtype (f32 or bf16).
struct Format {
  std::string name;
  int64_t block, bytes;  // 1, 0 for dense panels
  int panel;             // 0: as published
  std::string base;      // the block format; empty for dense panels
};
constexpr int64_t kPanelRows = 16;
// nullptr if the name is unknown.
const Format* find_format(Symbol name);

struct Type {
  DType dtype = DType::f32;
  Dims dims;
  Symbol format;

  Type() = default;
  Type(DType d, const Dims& s) : dtype(d), dims(s) {}
  int rank() const { return dims.size(); }
  // Index of the axis in dims, or -1.
  int find(Axis axis) const;
  bool has(Axis axis) const { return find(axis) >= 0; }
  // Size of an axis that is present (CHECK).
  int64_t size_of(Axis axis) const;
  int64_t elements() const;  // capacity; 1 for a scalar
  int64_t bytes() const;     // capacity
  Type with_dtype(DType d) const {
    Type t = *this;
    t.dtype = d;
    return t;
  }
  // The same type without an axis (CHECK that it is present).
  Type without(Axis axis) const;
  friend bool operator==(const Type& a, const Type& b) {
    return a.dtype == b.dtype && a.dims == b.dims && a.format == b.format;
  }
};

std::string to_string(const Type& type);
// Why a type cannot have its format (empty: it can).
std::string format_problem(const Type& type);
// Elements of a type, empty axes counted as one, so that no product of sizes overflows. parse_type and
// infer_types hold every type to it.
constexpr int64_t kMaxElements = int64_t{1} << 59;
bool within_limits(const Type& type);
// Parses what to_string prints; throws Error(kInvalidArgument). Axes must be distinct identifiers other than
// `none`.
Type parse_type(std::string_view text);

}  // namespace hoist::ir
