// Reading JSON objects from files we did not write: every key known, none twice, every value of the right
// type.
//
// Includes simdjson, so include it from .cc files only. Errors are Error(kCorrupt), or kUnsupported for a key
// we do not know, and lead with the path of the value: "tokenizer.json: pre_tokenizer.split: expected true or
// false".
#pragma once

#include <simdjson.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::text {

using JsonElement = simdjson::dom::element;
using JsonArray = simdjson::dom::array;

// What `value` is, for messages: "a string", "null", ...
std::string_view json_kind(JsonElement value);

class JsonObject {
 public:
  JsonObject(JsonElement value, std::string path);

  const std::string& path() const { return path_; }
  std::string path_of(std::string_view key) const {
    return path_ + (path_.back() == ':' ? " " : ".") + std::string(key);
  }

  // A key that is absent or null gives no value.
  std::optional<JsonElement> find(std::string_view key) const;
  JsonElement need(std::string_view key) const;
  std::string_view need_string(std::string_view key) const;
  std::string_view string_or(std::string_view key, std::string_view otherwise) const;
  bool bool_or(std::string_view key, bool otherwise) const;
  bool need_bool(std::string_view key) const;
  uint64_t need_uint(std::string_view key, uint64_t max) const;
  JsonArray need_array(std::string_view key) const;

  // Refuses keys outside `keys`.
  void only(std::initializer_list<std::string_view> keys) const;

 private:
  struct Field {
    std::string_view key;
    JsonElement value;
  };
  std::vector<Field> fields_;
  std::string path_;
};

[[noreturn]] void json_mismatch(const std::string& path, JsonElement found, std::string_view expected);

}  // namespace hoist::text
