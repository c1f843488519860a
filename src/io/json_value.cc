#include "io/json_value.h"

#include <nlohmann/json.hpp>

#include "base/check.h"

namespace hoist::io {

using nlohmann::ordered_json;

// Arrays and objects hold their parts here, so that operator[] can give out a JsonValue; `scalar` is all
// else.
struct JsonValue::Node {
  enum class Kind { kScalar, kArray, kObject } kind = Kind::kScalar;
  ordered_json scalar;
  std::vector<std::pair<std::string, JsonValue>> parts;  // of an array: without keys

  // Recursion: as deep as our own code nests values.
  static ordered_json convert(const JsonValue& value) {
    if (!value.node_) return nullptr;
    const Node& node = *value.node_;
    if (node.kind == Kind::kScalar) return node.scalar;
    ordered_json out = node.kind == Kind::kArray ? ordered_json::array() : ordered_json::object();
    for (const auto& [key, part] : node.parts) {
      if (node.kind == Kind::kArray)
        out.push_back(convert(part));
      else  // keys differ: operator[] saw to it, and a search of each would be quadratic
        out.get_ref<ordered_json::object_t&>().emplace_back(key, convert(part));
    }
    return out;
  }
  static std::unique_ptr<Node> of(ordered_json scalar) {
    auto node = std::make_unique<Node>();
    node->scalar = std::move(scalar);
    return node;
  }
  static std::unique_ptr<Node> of(Kind kind) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    return node;
  }
};

JsonValue::JsonValue(std::nullptr_t) {}
JsonValue::JsonValue(std::string_view text) : node_(Node::of(ordered_json(text))) {}
JsonValue::JsonValue(const JsonValue& other)
    : node_(other.node_ ? std::make_unique<Node>(*other.node_) : nullptr) {}
JsonValue::JsonValue(JsonValue&& other) noexcept = default;
JsonValue& JsonValue::operator=(JsonValue other) noexcept {
  node_ = std::move(other.node_);
  return *this;
}
JsonValue::~JsonValue() = default;

JsonValue::JsonValue(const std::map<std::string, std::string>& members) : JsonValue(object()) {
  for (const auto& [key, text] : members) (*this)[key] = text;
}

JsonValue::JsonValue(std::initializer_list<JsonValue> list) {
  const auto is_member = [](const JsonValue& v) {
    return v.node_ && v.node_->kind == Node::Kind::kArray && v.node_->parts.size() == 2 &&
           v.node_->parts[0].second.node_ && v.node_->parts[0].second.node_->scalar.is_string();
  };
  bool is_object = true;
  for (const JsonValue& v : list) is_object = is_object && is_member(v);
  node_ = Node::of(is_object ? Node::Kind::kObject : Node::Kind::kArray);
  for (const JsonValue& v : list) {
    if (is_object)
      (*this)[v.node_->parts[0].second.node_->scalar.get_ref<const std::string&>()] =
          v.node_->parts[1].second;
    else
      push_back(v);
  }
}

JsonValue JsonValue::array(std::initializer_list<JsonValue> items) {
  JsonValue out;
  out.node_ = Node::of(Node::Kind::kArray);
  for (const JsonValue& item : items) out.push_back(item);
  return out;
}

JsonValue JsonValue::object() {
  JsonValue out;
  out.node_ = Node::of(Node::Kind::kObject);
  return out;
}

JsonValue JsonValue::from_text(std::string json) {
  JsonValue out;
  out.node_ = Node::of(ordered_json::parse(json));
  return out;
}

JsonValue& JsonValue::operator[](std::string_view key) {
  if (!node_) node_ = Node::of(Node::Kind::kObject);
  HOIST_CHECK(node_->kind == Node::Kind::kObject, "a member of what is no object: " + std::string(key));
  for (auto& [name, value] : node_->parts)
    if (name == key) return value;
  return node_->parts.emplace_back(std::string(key), JsonValue()).second;
}

void JsonValue::append(std::string_view key, JsonValue value) {
  if (!node_) node_ = Node::of(Node::Kind::kObject);
  HOIST_CHECK(node_->kind == Node::Kind::kObject, "a member of what is no object: " + std::string(key));
  node_->parts.emplace_back(std::string(key), std::move(value));
}

bool JsonValue::contains(std::string_view key) const {
  if (node_)
    for (const auto& [name, value] : node_->parts)
      if (name == key) return true;
  return false;
}

void JsonValue::push_back(JsonValue item) {
  if (!node_) node_ = Node::of(Node::Kind::kArray);
  HOIST_CHECK(node_->kind == Node::Kind::kArray, "an element of what is no array");
  node_->parts.emplace_back(std::string(), std::move(item));
}

std::string JsonValue::dump(int indent) const {
  return Node::convert(*this).dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

void JsonValue::set_bool(bool value) { node_ = Node::of(ordered_json(value)); }
void JsonValue::set_int(int64_t value) { node_ = Node::of(ordered_json(value)); }
void JsonValue::set_unsigned(uint64_t value) { node_ = Node::of(ordered_json(value)); }
void JsonValue::set_double(double value) { node_ = Node::of(ordered_json(value)); }

}  // namespace hoist::io
