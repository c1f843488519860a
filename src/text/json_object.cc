#include "text/json_object.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace hoist::text {

std::string_view json_kind(JsonElement value) {
  switch (value.type()) {
    case simdjson::dom::element_type::ARRAY: return "a list";
    case simdjson::dom::element_type::OBJECT: return "an object";
    case simdjson::dom::element_type::INT64:
    case simdjson::dom::element_type::UINT64:
    case simdjson::dom::element_type::DOUBLE: return "a number";
    case simdjson::dom::element_type::STRING: return "a string";
    case simdjson::dom::element_type::BOOL: return "true or false";
    case simdjson::dom::element_type::NULL_VALUE: return "null";
  }
  return "something else";
}

void json_mismatch(const std::string& path, JsonElement found, std::string_view expected) {
  throw_corrupt(fmt::format("{}: found {}, expected {}", path, json_kind(found), expected));
}

JsonObject::JsonObject(JsonElement value, std::string path) : path_(std::move(path)) {
  simdjson::dom::object object;
  if (value.get(object)) json_mismatch(path_, value, "an object");
  for (const auto field : object) fields_.push_back({field.key, field.value});
  std::stable_sort(fields_.begin(), fields_.end(),
                   [](const Field& a, const Field& b) { return a.key < b.key; });
  for (size_t i = 1; i < fields_.size(); ++i) {
    if (fields_[i].key == fields_[i - 1].key) throw_corrupt(path_of(fields_[i].key) + ": key given twice");
  }
}

std::optional<JsonElement> JsonObject::find(std::string_view key) const {
  const auto at = std::lower_bound(fields_.begin(), fields_.end(), key,
                                   [](const Field& field, std::string_view k) { return field.key < k; });
  if (at == fields_.end() || at->key != key || at->value.is_null()) return std::nullopt;
  return at->value;
}

JsonElement JsonObject::need(std::string_view key) const {
  const auto value = find(key);
  if (!value) throw_corrupt(path_of(key) + ": missing");
  return *value;
}

std::string_view JsonObject::need_string(std::string_view key) const {
  const JsonElement value = need(key);
  std::string_view text;
  if (value.get(text)) json_mismatch(path_of(key), value, "a string");
  return text;
}

std::string_view JsonObject::string_or(std::string_view key, std::string_view otherwise) const {
  return find(key) ? need_string(key) : otherwise;
}

bool JsonObject::bool_or(std::string_view key, bool otherwise) const {
  return find(key) ? need_bool(key) : otherwise;
}

bool JsonObject::need_bool(std::string_view key) const {
  const JsonElement value = need(key);
  bool result = false;
  if (value.get(result)) json_mismatch(path_of(key), value, "true or false");
  return result;
}

uint64_t JsonObject::need_uint(std::string_view key, uint64_t max) const {
  const JsonElement value = need(key);
  uint64_t result = 0;
  if (value.get(result) || result > max) {
    throw_corrupt(fmt::format("{}: found {}, expected a whole number from 0 to {}", path_of(key),
                              simdjson::minify(value), max));
  }
  return result;
}

JsonArray JsonObject::need_array(std::string_view key) const {
  const JsonElement value = need(key);
  JsonArray result;
  if (value.get(result)) json_mismatch(path_of(key), value, "a list");
  return result;
}

void JsonObject::only(std::initializer_list<std::string_view> keys) const {
  for (const Field& field : fields_) {
    if (std::find(keys.begin(), keys.end(), field.key) == keys.end()) {
      throw_unsupported(
          fmt::format("{}: unknown key, expected one of: {}", path_of(field.key), fmt::join(keys, ", ")));
    }
  }
}

}  // namespace hoist::text
