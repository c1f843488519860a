// Declare a struct's fields once; get print, parse, hash and equality.
//
//   struct RmsNormAttrs {
//     Symbol axis;
//     double eps = 1e-5;
//     template <class Self, class V> static void fields(Self& self, V& v) {
//       v("axis", self.axis);
//       v("eps", self.eps);
//     }
//   };
//
// Text form: `axis=model, eps=1e-05`. Numbers are printed in the shortest form that reads back to the same
// bits. Supported field types: bool, int64_t, double, Symbol, DType, InlineVec<Symbol, N>,
// InlineVec<int64_t, N>, InlineVec<double, N>. Symbols print bare when they are identifiers
// ([A-Za-z_][A-Za-z0-9_.]*).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/inline_vec.h"
#include "base/symbol.h"

namespace hoist {

// [A-Za-z_][A-Za-z0-9_.]*, at most 128 characters: what a name in attributes and types may be.
bool is_identifier(std::string_view text);

using AxisList = InlineVec<Symbol, 8>;
using IntList = InlineVec<int64_t, 8>;
using NumberList = InlineVec<double, 16>;

namespace fields_internal {

void print_value(std::string& out, bool x);
void print_value(std::string& out, int64_t x);
void print_value(std::string& out, double x);
void print_value(std::string& out, Symbol x);
void print_value(std::string& out, DType x);
void print_value(std::string& out, const AxisList& x);
void print_value(std::string& out, const IntList& x);
void print_value(std::string& out, const NumberList& x);

// Each throws Error(kInvalidArgument) naming the field, what was found and what was expected.
void parse_value(std::string_view field, std::string_view text, bool& x);
void parse_value(std::string_view field, std::string_view text, int64_t& x);
void parse_value(std::string_view field, std::string_view text, double& x);
void parse_value(std::string_view field, std::string_view text, Symbol& x);
void parse_value(std::string_view field, std::string_view text, DType& x);
void parse_value(std::string_view field, std::string_view text, AxisList& x);
void parse_value(std::string_view field, std::string_view text, IntList& x);
void parse_value(std::string_view field, std::string_view text, NumberList& x);

struct KeyValue {
  std::string_view key, value;
  bool used = false;
};
// Splits `a=1, b=[x,y]` at top-level commas.
std::vector<KeyValue> split(std::string_view text);
void reject_unused(const std::vector<KeyValue>& pairs);

}  // namespace fields_internal

template <class T>
std::string print_fields(const T& object) {
  std::string out;
  auto v = [&](std::string_view name, const auto& x) {
    if (!out.empty()) out += ", ";
    out += name;
    out += '=';
    fields_internal::print_value(out, x);
  };
  T::fields(object, v);
  return out;
}

// Fields absent from the text keep their defaults; an unknown field is an Error.
template <class T>
T parse_fields(std::string_view text) {
  T object{};
  auto pairs = fields_internal::split(text);
  auto v = [&](std::string_view name, auto& x) {
    for (auto& pair : pairs) {
      if (pair.key != name) continue;
      pair.used = true;
      fields_internal::parse_value(name, pair.value, x);
    }
  };
  T::fields(object, v);
  fields_internal::reject_unused(pairs);
  return object;
}

}  // namespace hoist
