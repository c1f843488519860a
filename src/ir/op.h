// OpDef: all that the system knows about one op, as one constant struct of data and function pointers.
//
// ir/ knows what an OpDef is; ops/ knows which exist (ops/table.h). There is no op enum and no switch over
// ops. An absent part has a meaning: no `gradient` -> the op is decomposed before autodiff; no kernel in a
// backend
// -> it is decomposed for that backend; no `flops` -> counted from the axis rules.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/fields.h"
#include "ir/rules.h"
#include "ir/type.h"

namespace hoist::ir {

class Builder;

// An op's attributes: a small trivially copyable struct declared with fields (base/fields.h), kept by value.
struct Attrs {
  static constexpr int kCapacity = 192;
  alignas(16) std::byte bytes[kCapacity] = {};

  template <class T>
  static Attrs of(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kCapacity);
    Attrs a;
    std::memcpy(a.bytes, &value, sizeof(T));
    return a;
  }
  template <class T>
  const T& as() const {
    return *reinterpret_cast<const T*>(bytes);
  }
  template <class T>
  T& as() {
    return *reinterpret_cast<T*>(bytes);
  }
};

// Print, parse and make defaults of one attribute struct.
struct AttrsInfo {
  std::string (*print)(const Attrs&);
  Attrs (*parse)(std::string_view);
};

struct NoAttrs {
  template <class Self, class V>
  static void fields(Self&, V&) {}
};

template <class T>
const AttrsInfo* attrs_info() {
  static const AttrsInfo info = {[](const Attrs& a) { return print_fields(a.as<T>()); },
                                 [](std::string_view text) { return Attrs::of(parse_fields<T>(text)); }};
  return &info;
}

// One op with its attributes and types, apart from any graph: what rules, cost and kernels look at.
struct OpDef;
struct OpView {
  const OpDef* op = nullptr;
  const Attrs* attrs = nullptr;
  std::span<const Type> operands;
  std::span<const Type> results;
  template <class T>
  const T& attrs_as() const {
    return attrs->as<T>();
  }
};

// What a gradient sees. It emits ops through `b` and calls set(i, value) for operands it has a gradient for.
// A result without an incoming gradient has dresults[i] == kNoValue.
struct GradContext {
  Builder& b;
  const OpView& op;
  std::span<const ValueId> operands;
  std::span<const ValueId> results;
  std::span<const ValueId> dresults;
  std::span<const uint8_t> wanted;  // per operand: does anyone need it?
  std::vector<ValueId> doperands;   // filled with kNoValue beforehand
  // The dtype an operand's gradient should have: f32 for 16-bit trainable states, else the operand's own
  // (empty: always the operand's own).
  std::span<const DType> grad_dtypes = {};
  DType grad_dtype(int i) const {
    return grad_dtypes.empty() ? op.operands[static_cast<size_t>(i)].dtype
                               : grad_dtypes[static_cast<size_t>(i)];
  }
  void set(int i, ValueId d) { doperands[i] = d; }
  bool wants(int i) const { return wanted[i] != 0; }
};

// One way to call the op, for the generic properties (tests/ops). Operand values are drawn by `fill`.
enum class Fill : uint8_t {
  kNormal,    // N(0, 1)
  kPositive,  // 0.5 .. 1.5
  kIndex,     // integers 0 .. limit-1
  kRamp,      // 0, 1, 2, ... along the innermost axis (positions)
  kZero,
  kOne,
  kPermutation,  // distinct integers 0 .. elements-1, shuffled
  kCounts,       // non-negative integers along the innermost axis that sum to `limit`
};
struct ExampleOperand {
  Type type;
  Fill fill = Fill::kNormal;
  int64_t limit = 0;
};
struct Example {
  std::string note;  // what this example shows
  Attrs attrs;
  std::vector<ExampleOperand> operands;
  // Operands that the gradient check leaves alone although they are floating point, with the reason.
  const char* gradient_skip = nullptr;
};

struct OpDef {
  std::string_view name;
  const AttrsInfo* attrs;
  // Checks operand types and attributes (Error(kInvalidArgument), message led by the op's name) and appends
  // the result types. `view.results` is empty.
  void (*infer)(const OpView& view, std::vector<Type>& results);
  // Appends one rule per axis.
  void (*rules)(const OpView& view, std::vector<AxisRule>& out);
  // The op in simpler ops: fallback and oracle. nullptr marks a primitive: every backend must have a kernel.
  std::vector<ValueId> (*decompose)(Builder& b, const OpView& view,
                                    std::span<const ValueId> operands) = nullptr;
  void (*gradient)(GradContext& context) = nullptr;
  // Why there is neither gradient nor a decomposition that has one ("integer results", ...).
  const char* no_gradient = nullptr;
  double (*flops)(const OpView& view) = nullptr;
  // Appends examples; every op has at least one.
  void (*examples)(std::vector<Example>& out) = nullptr;
  // in_place[i] = j: result i must live in operand j's storage (state updates). -1: its own storage.
  InlineVec<int8_t, AxisRule::kMaxResults> in_place = {};
  // Result 0 is operand 0's bytes under another type: no instruction is emitted.
  bool view = false;
  // Result 0 may overwrite any operand of the same size that dies here: kernels read element i before writing
  // it.
  bool elementwise = false;
  // Runs in comm/ over a mesh dimension (attribute `mesh`).
  bool collective = false;
};

// Runs infer; throws Error as it does.
std::vector<Type> infer_types(const OpDef& op, const Attrs& attrs, std::span<const Type> operands);
// The op's rules, checked against its types (CHECK).
std::vector<AxisRule> axis_rules(const OpView& view);
// Floating-point operations: op.flops, or 2 x (product of the rule axes' extents) if an axis merges, else
// 1 x that product.
double count_flops(const OpView& view);

// Helpers for infer: throw Error led by the op's name.
[[noreturn]] void op_error(const OpView& view, const std::string& message);
void expect_operands(const OpView& view, int count);
void expect(const OpView& view, bool condition, const char* message);

}  // namespace hoist::ir
