#include "text/jinja/value.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "text/utf8.h"

namespace hoist::text::jinja {

using Kind = Value::Kind;

Value Value::none() { return Value(Kind::kNone, nullptr); }

Value Value::boolean(bool x) {
  Value v(Kind::kBool, nullptr);
  v.integer_ = x;
  return v;
}

Value Value::integer(int64_t x) {
  Value v(Kind::kInt, nullptr);
  v.integer_ = x;
  return v;
}

Value Value::number(double x) {
  Value v(Kind::kFloat, nullptr);
  v.float_ = x;
  return v;
}

Value Value::string(std::string_view text) {
  auto object = std::make_shared<StringObject>();
  object->text = is_utf8(text) ? std::string(text) : repair_utf8(text);
  return Value(Kind::kString, std::move(object));
}

Value Value::list(std::vector<Value> items) {
  auto object = make_sequence(std::move(items), Flavor::kList);
  if (object->depth > kMaxDepth) throw_invalid(fmt::format("values nest deeper than {}", kMaxDepth));
  return Value(Kind::kSequence, std::move(object));
}

Value Value::dict(std::vector<std::pair<std::string, Value>> entries) {
  Entries converted;
  converted.reserve(entries.size());
  for (auto& [key, value] : entries) converted.emplace_back(string(key), std::move(value));
  auto object = make_dict(std::move(converted));
  if (object->depth > kMaxDepth) throw_invalid(fmt::format("values nest deeper than {}", kMaxDepth));
  return Value(Kind::kDict, std::move(object));
}

const std::string& Value::as_string() const { return static_cast<const StringObject*>(object())->text; }
const std::vector<Value>& Value::items() const { return sequence_of(*this).items; }
const std::vector<std::pair<Value, Value>>& Value::entries() const { return dict_of(*this).entries; }

namespace {

// Where the first key that is not less than the one asked for stands; `order(key)` is <0 for lesser keys.
template <class Order>
const Value* search(const DictObject& dict, Order order) {
  const auto at = std::partition_point(dict.sorted.begin(), dict.sorted.end(),
                                       [&](uint32_t index) { return order(dict.entries[index].first) < 0; });
  if (at == dict.sorted.end() || order(dict.entries[*at].first) != 0) return nullptr;
  return &dict.entries[*at].second;
}

int sign(int x) { return x < 0 ? -1 : x > 0; }

int key_class(const Value& key) {
  switch (key.kind()) {
    case Kind::kNone: return 0;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat: return 1;
    case Kind::kString: return 2;
    default: return 3;
  }
}

}  // namespace

const Value* Value::find(std::string_view key) const {
  return search(dict_of(*this), [&](const Value& k) {
    const int cls = key_class(k);
    return cls != 2 ? cls - 2 : sign(std::string_view(k.as_string()).compare(key));
  });
}

const Value* Value::find(const Value& key) const {
  if (key.is_string()) return find(std::string_view(key.as_string()));
  return search(dict_of(*this), [&](const Value& k) { return compare_keys(k, key); });
}

Value Value::with(std::string_view key, Value value) const {
  Entries copy = entries();
  copy.emplace_back(string(key), std::move(value));
  auto object = make_dict(std::move(copy));
  if (object->depth > kMaxDepth) throw_invalid(fmt::format("values nest deeper than {}", kMaxDepth));
  return Value(Kind::kDict, std::move(object));
}

int depth_of(const Value& value) {
  if (value.is_sequence()) return sequence_of(value).depth;
  if (value.is_dict()) return dict_of(value).depth;
  return 0;
}

std::shared_ptr<SequenceObject> make_sequence(Items items, Flavor flavor) {
  auto object = std::make_shared<SequenceObject>();
  object->flavor = flavor;
  for (const Value& item : items) object->depth = std::max(object->depth, 1 + depth_of(item));
  object->items = std::move(items);
  return object;
}

std::shared_ptr<DictObject> make_dict(Entries entries) {
  auto object = std::make_shared<DictObject>();
  std::vector<uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return compare_keys(entries[a].first, entries[b].first) < 0;
  });
  const auto same = [&](size_t i) {
    return compare_keys(entries[order[i]].first, entries[order[i - 1]].first) == 0;
  };
  size_t distinct = entries.empty() ? 0 : 1;
  for (size_t i = 1; i < order.size(); ++i) distinct += !same(i);
  if (distinct != entries.size()) {
    std::vector<bool> dropped(entries.size());
    for (size_t i = 1, first = 0; i < order.size(); ++i) {
      if (!same(i)) {
        first = i;
        continue;
      }
      entries[order[first]].second = entries[order[i]].second;
      dropped[order[i]] = true;
    }
    Entries kept;
    for (size_t i = 0; i < entries.size(); ++i)
      if (!dropped[i]) kept.push_back(std::move(entries[i]));
    return make_dict(std::move(kept));
  }
  for (const auto& [key, value] : entries) object->depth = std::max(object->depth, 1 + depth_of(value));
  object->entries = std::move(entries);
  object->sorted = std::move(order);
  return object;
}

bool is_hashable(const Value& value) {
  if (has_flavor(value, Flavor::kTuple)) {
    return std::none_of(value.items().begin(), value.items().end(),
                        [](const Value& v) { return v.is_sequence() || !is_hashable(v); });
  }
  return value.is_none() || value.is_string() || is_number(value);
}

int compare_keys(const Value& a, const Value& b) {
  const int cls = key_class(a), other = key_class(b);
  if (cls != other) return cls < other ? -1 : 1;
  if (cls == 0) return 0;
  if (cls == 1) {
    const int order = compare_numbers(a, b);
    if (order != 2) return order;
    const bool nan_a = std::isnan(to_double(a)), nan_b = std::isnan(to_double(b));
    return nan_a == nan_b ? 0 : nan_a ? 1 : -1;
  }
  if (cls == 2) return sign(a.as_string().compare(b.as_string()));
  const Items &x = a.items(), &y = b.items();
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    if (const int order = compare_keys(x[i], y[i])) return order;
  return x.size() < y.size() ? -1 : x.size() > y.size();
}

int compare_numbers(const Value& a, const Value& b) {
  const auto three_way = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : 0; };
  const bool float_a = a.kind() == Kind::kFloat, float_b = b.kind() == Kind::kFloat;
  if (!float_a && !float_b) return three_way(a.as_int(), b.as_int());
  if (float_a && float_b) {
    if (std::isnan(a.as_float()) || std::isnan(b.as_float())) return 2;
    return three_way(a.as_float(), b.as_float());
  }
  if (!float_a) {
    const int order = compare_numbers(b, a);
    return order == 2 ? 2 : -order;
  }
  const double x = a.as_float();
  const int64_t y = b.as_int();
  if (std::isnan(x)) return 2;
  if (x >= 9223372036854775808.0) return 1;
  if (x < -9223372036854775808.0) return -1;
  const auto whole = static_cast<int64_t>(x);  // towards zero
  if (whole != y) return three_way(whole, y);
  return three_way(x - static_cast<double>(whole), 0.0);
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined: return "Undefined";
    case Kind::kNone: return "None";
    case Kind::kBool: return "bool";
    case Kind::kInt: return "int";
    case Kind::kFloat: return "float";
    case Kind::kString: return "str";
    case Kind::kDict: return "dict";
    case Kind::kSequence:
      switch (sequence_of(value).flavor) {
        case Flavor::kList: return "list";
        case Flavor::kTuple: return "tuple";
        case Flavor::kGroup: return "tuple";
        case Flavor::kRange: return "range";
        case Flavor::kKeys: return "dict_keys";
        case Flavor::kValues: return "dict_values";
        case Flavor::kItems: return "dict_items";
        case Flavor::kGenerator: return "generator";
      }
      return "list";
    case Kind::kObject:
      switch (native_of(value).native) {
        case NativeKind::kFunction: return "function";
        case NativeKind::kMethod: return "method";
        case NativeKind::kMacro: return "Macro";
        case NativeKind::kNamespace: return "Namespace";
        case NativeKind::kLoop: return "LoopContext";
      }
  }
  return "object";
}

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone: return false;
    case Kind::kBool:
    case Kind::kInt: return value.as_int() != 0;
    case Kind::kFloat: return value.as_float() != 0;
    case Kind::kString: return !value.as_string().empty();
    case Kind::kSequence: return has_flavor(value, Flavor::kGenerator) || !value.items().empty();
    case Kind::kDict: return !value.entries().empty();
    case Kind::kObject: return true;
  }
  return false;
}

namespace {

// An element as the C++ type that its kind says it has.
template <class T>
T element_as(simdjson::dom::element element) {
  T out{};
  if (element.get(out) != simdjson::SUCCESS) return T{};
  return out;
}

// Recursion is bounded by the parser's own cap on depth.
Value convert(simdjson::dom::element element) {
  switch (element.type()) {
    case simdjson::dom::element_type::ARRAY: {
      Items items;
      for (const auto item : element_as<simdjson::dom::array>(element)) items.push_back(convert(item));
      return Value(Kind::kSequence, make_sequence(std::move(items), Flavor::kList));
    }
    case simdjson::dom::element_type::OBJECT: {
      Entries entries;
      for (const auto field : element_as<simdjson::dom::object>(element))
        entries.emplace_back(Value::string(field.key), convert(field.value));
      return Value(Kind::kDict, make_dict(std::move(entries)));
    }
    case simdjson::dom::element_type::INT64: return Value::integer(element_as<int64_t>(element));
    // Beyond 2^63 Python would go on with a wider integer; nothing a template does with a number needs it.
    case simdjson::dom::element_type::UINT64:
      return Value::number(static_cast<double>(element_as<uint64_t>(element)));
    case simdjson::dom::element_type::DOUBLE: return Value::number(element_as<double>(element));
    case simdjson::dom::element_type::STRING: return Value::string(element_as<std::string_view>(element));
    case simdjson::dom::element_type::BOOL: return Value::boolean(element_as<bool>(element));
    case simdjson::dom::element_type::NULL_VALUE: return Value::none();
  }
  return Value();
}

}  // namespace

Value Value::from_json(std::string_view json, const std::string& source) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  auto error = parser.allocate(std::max<size_t>(json.size(), 64), kMaxDepth);
  if (!error) error = parser.parse(json.data(), json.size()).get(root);
  if (error) throw_invalid(fmt::format("{}: not JSON: {}", source, simdjson::error_message(error)));
  return convert(root);
}

}  // namespace hoist::text::jinja
