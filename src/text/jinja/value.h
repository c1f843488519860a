// What lies behind Value: strings, sequences, dicts and the objects of one render.
//
// Values never change once built, so they cannot form circles and may be shared between threads. The three
// exceptions - namespaces, macros and loops - belong to the Machine of one render, which Values point to
// without owning; no Value outlives its render.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja.h"

namespace hoist::text::jinja {

// Bytes of the values that one render made and still holds.
struct Meter {
  size_t live = 0;
};

struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  ~Object() {
    if (meter) meter->live -= charged;
  }
  Meter* meter = nullptr;  // null: made outside a render
  size_t charged = 0;
};

struct StringObject : Object {
  std::string text;
};

enum class Flavor : uint8_t { kList, kTuple, kRange, kKeys, kValues, kItems, kGroup, kGenerator };

struct SequenceObject : Object {
  std::vector<Value> items;
  Flavor flavor = Flavor::kList;
  int depth = 1;
  // Python's generators give each item once. Only made within a render, hence by one thread.
  mutable size_t taken = 0;
};

struct DictObject : Object {
  std::vector<std::pair<Value, Value>> entries;
  std::vector<uint32_t> sorted;  // indices into entries, by compare_keys
  int depth = 1;
};

enum class NativeKind : uint8_t { kFunction, kMethod, kMacro, kNamespace, kLoop };

struct NativeObject : Object {
  explicit NativeObject(NativeKind k) : native(k) {}
  NativeKind native;
};

inline const SequenceObject& sequence_of(const Value& v) {
  return *static_cast<const SequenceObject*>(v.object());
}
inline const DictObject& dict_of(const Value& v) { return *static_cast<const DictObject*>(v.object()); }
inline const NativeObject& native_of(const Value& v) { return *static_cast<const NativeObject*>(v.object()); }
inline bool is_native(const Value& v, NativeKind kind) {
  return v.kind() == Value::Kind::kObject && native_of(v).native == kind;
}
inline bool has_flavor(const Value& v, Flavor flavor) {
  return v.is_sequence() && sequence_of(v).flavor == flavor;
}

using Items = std::vector<Value>;
using Entries = std::vector<std::pair<Value, Value>>;

// Nesting of a value: 0 for a scalar.
int depth_of(const Value& value);
// Builders without caps or charges; the Machine's wrap them.
std::shared_ptr<SequenceObject> make_sequence(Items items, Flavor flavor);
std::shared_ptr<DictObject> make_dict(Entries entries);  // keys must be hashable

// What may be a key: None, numbers, strings, and tuples of these.
bool is_hashable(const Value& value);
// A total order on keys in which Python's equal keys (1, 1.0, True) are equal: <0, 0, >0.
int compare_keys(const Value& a, const Value& b);

inline bool is_integer(const Value& v) {
  return v.kind() == Value::Kind::kInt || v.kind() == Value::Kind::kBool;
}
inline bool is_number(const Value& v) { return is_integer(v) || v.kind() == Value::Kind::kFloat; }
inline double to_double(const Value& v) {
  return v.kind() == Value::Kind::kFloat ? v.as_float() : static_cast<double>(v.as_int());
}
// <0, 0, >0; 2: one of them is NaN. Exact also where an integer has no double.
int compare_numbers(const Value& a, const Value& b);

// Python's name of the type: "str", "list", "dict", "int", ...
std::string_view type_name(const Value& value);
// Its truth value: bool(value).
bool truthy(const Value& value);

}  // namespace hoist::text::jinja
