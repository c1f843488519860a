// JSON that we write: a value put together in memory, then printed. What others wrote is read by io/json.h.
//
//   JsonValue out = {{"kind", "step"}, {"step", 12}, {"ids", std::vector<int>{1, 2}}};
//   out["loss"] = 2.5;
//   out.dump();  // {"kind":"step","step":12,"ids":[1,2],"loss":2.5}
//
// Braces make an object where each element is a pair that begins with a string, else an array; members keep
// the order they were added in. It is a front for nlohmann::ordered_json, which alone takes seconds to
// compile in each source: only json_value.cc reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace hoist::io {

class JsonValue {
 public:
  JsonValue() : JsonValue(nullptr) {}
  JsonValue(std::nullptr_t);
  JsonValue(const char* text) : JsonValue(std::string_view(text)) {}
  JsonValue(const std::string& text) : JsonValue(std::string_view(text)) {}
  JsonValue(std::string_view text);
  template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
  JsonValue(T n) : JsonValue() {
    if constexpr (std::is_same_v<T, bool>)
      set_bool(n);
    else if constexpr (std::is_floating_point_v<T>)
      set_double(static_cast<double>(n));
    else if constexpr (std::is_signed_v<T>)
      set_int(n);
    else
      set_unsigned(n);
  }
  template <class T>
  JsonValue(const std::vector<T>& list) : JsonValue(array()) {
    for (const T& item : list) push_back(JsonValue(item));
  }
  JsonValue(const std::map<std::string, std::string>& members);
  JsonValue(std::initializer_list<JsonValue> list);
  JsonValue(const JsonValue& other);
  JsonValue(JsonValue&& other) noexcept;
  JsonValue& operator=(JsonValue other) noexcept;
  ~JsonValue();

  static JsonValue array(std::initializer_list<JsonValue> items = {});  // even of pairs
  static JsonValue object();                                            // empty
  // The value that `json` is the text of, which must be well-formed.
  static JsonValue from_text(std::string json);

  // Member of an object, added as null if it is not there; null becomes an object.
  JsonValue& operator[](std::string_view key);
  // A member that is not there yet: operator[] searches for it, which takes long in large objects.
  void append(std::string_view key, JsonValue value);
  bool contains(std::string_view key) const;
  void push_back(JsonValue item);  // null becomes an array

  // indent: spaces a level; -1: one line. Bytes that are not UTF-8 become U+FFFD.
  std::string dump(int indent = -1) const;

 private:
  struct Node;
  void set_bool(bool value);
  void set_int(int64_t value);
  void set_unsigned(uint64_t value);
  void set_double(double value);
  std::unique_ptr<Node> node_;  // null: JSON's null
};

}  // namespace hoist::io
