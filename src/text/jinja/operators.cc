// Arithmetic, comparison and containment, as Python defines them.
#include <fmt/format.h>

#include <cmath>

#include "text/jinja/machine.h"

namespace hoist::text::jinja {

using Kind = Value::Kind;

namespace {

std::string_view sign_of(Op op) {
  switch (op) {
    case Op::kAdd:
    case Op::kPos: return "+";
    case Op::kSub:
    case Op::kNeg: return "-";
    case Op::kMul: return "*";
    case Op::kDiv: return "/";
    case Op::kFloorDiv: return "//";
    case Op::kMod: return "%";
    case Op::kPow: return "**";
    case Op::kEq: return "==";
    case Op::kNe: return "!=";
    case Op::kLt: return "<";
    case Op::kLe: return "<=";
    case Op::kGt: return ">";
    case Op::kGe: return ">=";
    case Op::kIn: return "in";
    case Op::kNotIn: return "not in";
  }
  return "?";
}

// Python rounds quotients down and gives remainders the sign of the divisor.
double floor_mod(double a, double b) {
  double r = std::fmod(a, b);
  if (r != 0 && (r < 0) != (b < 0)) r += b;
  return r == 0 ? std::copysign(0.0, b) : r;
}

double floor_div(double a, double b) {
  const double q = (a - floor_mod(a, b)) / b;
  const double whole = std::floor(q);
  return q - whole > 0.5 ? whole + 1 : whole;
}

// a ** b for b >= 0; false: it does not fit.
bool integer_power(int64_t a, int64_t b, int64_t& out) {
  out = 1;
  while (b > 0) {
    if ((b & 1) && __builtin_mul_overflow(out, a, &out)) return false;
    b >>= 1;
    if (b > 0 && __builtin_mul_overflow(a, a, &a)) return false;
  }
  return true;
}

bool same_kind_of_sequence(const Value& a, const Value& b) {
  const auto kind = [](const Value& v) {
    const Flavor flavor = sequence_of(v).flavor;
    return flavor == Flavor::kGroup ? Flavor::kTuple : flavor;
  };
  return kind(a) == kind(b) && kind(a) != Flavor::kGenerator;
}

}  // namespace

Value Machine::unary(Op op, const Value& v) {
  need_defined(v);
  if (is_integer(v)) {
    int64_t x = v.as_int();
    if (op == Op::kNeg && __builtin_sub_overflow(int64_t{0}, x, &x))
      fail("the result of - needs more than 64 bits");
    return Value::integer(x);
  }
  if (v.kind() != Kind::kFloat) fail(fmt::format("{} cannot be applied to a {}", sign_of(op), type_name(v)));
  return Value::number(op == Op::kNeg ? -v.as_float() : v.as_float());
}

Value Machine::binary(Op op, const Value& a, const Value& b) {
  if (op == Op::kMod && a.is_string()) return str(format_percent(a.as_string(), b));
  need_defined(a);
  need_defined(b);
  if (is_integer(a) && is_integer(b) && op != Op::kDiv) {
    const int64_t x = a.as_int(), y = b.as_int();
    int64_t out = 0;
    bool fits = true;
    switch (op) {
      case Op::kAdd: fits = !__builtin_add_overflow(x, y, &out); break;
      case Op::kSub: fits = !__builtin_sub_overflow(x, y, &out); break;
      case Op::kMul: fits = !__builtin_mul_overflow(x, y, &out); break;
      case Op::kPow:
        if (y < 0) {
          if (x == 0) fail("division by zero");
          return Value::number(std::pow(static_cast<double>(x), static_cast<double>(y)));
        }
        fits = integer_power(x, y, out);
        break;
      default: {
        if (y == 0) fail("division by zero");
        if (y == -1) {  // the one quotient that may not fit
          if (op == Op::kFloorDiv) fits = !__builtin_sub_overflow(int64_t{0}, x, &out);
          break;
        }
        const int64_t q = x / y, r = x % y;
        const bool below = r != 0 && (r < 0) != (y < 0);
        out = op == Op::kMod ? (below ? r + y : r) : (below ? q - 1 : q);
      }
    }
    if (!fits) fail(fmt::format("the result of {} needs more than 64 bits", sign_of(op)));
    return Value::integer(out);
  }
  if (is_number(a) && is_number(b)) {
    const double x = to_double(a), y = to_double(b);
    const bool divides = op == Op::kDiv || op == Op::kFloorDiv || op == Op::kMod;
    if (divides && y == 0) fail("division by zero");
    switch (op) {
      case Op::kAdd: return Value::number(x + y);
      case Op::kSub: return Value::number(x - y);
      case Op::kMul: return Value::number(x * y);
      case Op::kDiv: return Value::number(x / y);
      case Op::kFloorDiv: return Value::number(floor_div(x, y));
      case Op::kMod: return Value::number(floor_mod(x, y));
      default: break;
    }
    const double power = std::pow(x, y);
    if (x == 0 && y < 0) fail("division by zero");
    if (x < 0 && std::isnan(power) && !std::isnan(y)) fail("a negative number has no such power");
    if (std::isinf(power) && !std::isinf(x) && !std::isinf(y)) fail("the result of ** is too large");
    return Value::number(power);
  }
  if (op == Op::kAdd && a.is_string() && b.is_string()) {
    check_memory(a.as_string().size() + b.as_string().size());
    return str(a.as_string() + b.as_string());
  }
  const auto is_list = [](const Value& v) {
    return has_flavor(v, Flavor::kList) || has_flavor(v, Flavor::kTuple) || has_flavor(v, Flavor::kGroup);
  };
  if (op == Op::kAdd && is_list(a) && is_list(b) && same_kind_of_sequence(a, b)) {
    check_memory((a.items().size() + b.items().size()) * sizeof(Value));
    Items items = a.items();
    items.insert(items.end(), b.items().begin(), b.items().end());
    return sequence(std::move(items), has_flavor(a, Flavor::kList) ? Flavor::kList : Flavor::kTuple);
  }
  if (op == Op::kMul && (is_integer(a) || is_integer(b))) {
    const Value& times = is_integer(a) ? a : b;
    const Value& what = is_integer(a) ? b : a;
    const auto n = static_cast<size_t>(std::max<int64_t>(times.as_int(), 0));
    const size_t limit = options_.limits.max_memory_bytes;
    if (what.is_string()) {
      const std::string& piece = what.as_string();
      if (!piece.empty() && n > limit / piece.size()) exhausted("the values grew too large");
      check_memory(n * piece.size());
      std::string out;
      out.reserve(n * piece.size());
      for (size_t i = 0; i < n && !piece.empty(); ++i) out += piece;
      return str(std::move(out));
    }
    if (is_list(what)) {
      const Items& piece = what.items();
      if (!piece.empty() && n > limit / sizeof(Value) / piece.size()) exhausted("the values grew too large");
      check_memory(n * piece.size() * sizeof(Value));
      Items out;
      for (size_t i = 0; i < n && !piece.empty(); ++i) out.insert(out.end(), piece.begin(), piece.end());
      return sequence(std::move(out), has_flavor(what, Flavor::kList) ? Flavor::kList : Flavor::kTuple);
    }
  }
  fail(fmt::format("{} cannot be applied to a {} and a {}", sign_of(op), type_name(a), type_name(b)));
}

bool Machine::equal(const Value& a, const Value& b) {
  burn(1);
  if (is_number(a) && is_number(b)) return compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kString: burn_bytes(a.as_string().size()); return a.as_string() == b.as_string();
    case Kind::kSequence: {
      if (a.object() == b.object()) return true;
      if (!same_kind_of_sequence(a, b)) return false;
      const Items &x = a.items(), &y = b.items();
      if (x.size() != y.size()) return false;
      for (size_t i = 0; i < x.size(); ++i)
        if (!equal(x[i], y[i])) return false;
      return true;
    }
    case Kind::kDict: {
      if (a.object() == b.object()) return true;
      if (a.entries().size() != b.entries().size()) return false;
      for (const auto& [key, value] : a.entries()) {
        const Value* other = b.find(key);
        if (!other || !equal(value, *other)) return false;
      }
      return true;
    }
    case Kind::kObject: return a.object() == b.object();
    default: return true;  // none and undefined
  }
}

bool Machine::less(const Value& a, const Value& b) { return compare(Op::kLt, a, b); }

bool Machine::compare(Op op, const Value& a, const Value& b) {
  switch (op) {
    case Op::kEq: return equal(a, b);
    case Op::kNe: return !equal(a, b);
    case Op::kIn: return contains(b, a);
    case Op::kNotIn: return !contains(b, a);
    default: break;
  }
  burn(1);
  need_defined(a);
  need_defined(b);
  const auto holds = [op](int order) {
    switch (op) {
      case Op::kLt: return order < 0;
      case Op::kLe: return order <= 0;
      case Op::kGt: return order > 0;
      default: return order >= 0;
    }
  };
  if (is_number(a) && is_number(b)) {
    const int order = compare_numbers(a, b);
    return order != 2 && holds(order);
  }
  if (a.is_string() && b.is_string()) {
    burn_bytes(std::min(a.as_string().size(), b.as_string().size()));
    return holds(a.as_string().compare(b.as_string()));  // the order of UTF-8 is that of code points
  }
  const auto ordered = [](const Value& v) {
    return has_flavor(v, Flavor::kList) || has_flavor(v, Flavor::kTuple) || has_flavor(v, Flavor::kGroup);
  };
  if (ordered(a) && ordered(b) && same_kind_of_sequence(a, b)) {
    const Items &x = a.items(), &y = b.items();
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
      if (!equal(x[i], y[i])) return compare(op, x[i], y[i]);
    return holds(x.size() < y.size() ? -1 : x.size() > y.size());
  }
  fail(fmt::format("{} cannot compare a {} and a {}", sign_of(op), type_name(a), type_name(b)));
}

bool Machine::contains(const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined: return false;
    case Kind::kString: {
      const std::string& part = need_string(item, "in");
      const std::string& text = container.as_string();
      burn_search(text.size(), part.size());
      return text.find(part) != std::string::npos;
    }
    case Kind::kDict:
      // Python could hash these; none of our dicts has one as a key.
      if (item.is_undefined() || item.kind() == Kind::kObject || has_flavor(item, Flavor::kRange))
        return false;
      if (!is_hashable(item)) fail(fmt::format("a {} cannot be a key", type_name(item)));
      return container.find(item) != nullptr;
    case Kind::kSequence: {
      const SequenceObject& object = sequence_of(container);
      const bool once = object.flavor == Flavor::kGenerator;
      for (size_t i = once ? object.taken : 0; i < object.items.size(); ++i) {
        if (once) object.taken = i + 1;
        if (equal(object.items[i], item)) return true;
      }
      return false;
    }
    default: fail(fmt::format("a {} contains nothing", type_name(container)));
  }
}

}  // namespace hoist::text::jinja
