// JSON as tests look at it: text read by nlohmann, an oracle beside our own parser and writer, into a plain
// tree. nlohmann's header takes seconds to compile and every comparison with it more, so only json.cc reads
// it.
//
//   Json body = {{"prompt", "a"}, {"stop", {"x", "y"}}};  // braces as in nlohmann: pairs that begin with a
//   string Json answer = Json::parse(text); EXPECT_EQ(answer["choices"][0]["index"], 1);
//
// A value of another type than was asked for, a missing member and text that is no JSON throw
// std::runtime_error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace hoist::support {

class Json {
 public:
  Json(std::nullptr_t = nullptr) {}
  Json(const char* text) : Json(std::string_view(text)) {}
  Json(const std::string& text) : Json(std::string_view(text)) {}
  Json(std::string_view text);
  template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
  Json(T n) {
    if constexpr (std::is_same_v<T, bool>)
      set(Kind::kBool, n, 0);
    else if constexpr (std::is_floating_point_v<T>)
      set(Kind::kReal, 0, static_cast<double>(n));
    else
      set(std::is_signed_v<T> ? Kind::kInt : Kind::kUnsigned, static_cast<uint64_t>(n), 0);
  }
  template <class T>
  Json(const std::vector<T>& list) : Json(array()) {
    for (const T& item : list) push_back(item);
  }
  Json(std::initializer_list<Json> list);
  Json(const Json& other) = default;
  Json(Json&& other) = default;
  Json& operator=(Json other) {  // by value: a reference would take x = {y} for x = y
    swap(other);
    return *this;
  }
  static Json array(std::initializer_list<Json> items = {});  // even of pairs
  static Json object();                                       // empty
  static Json parse(std::string_view text);

  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_array() const { return kind_ == Kind::kArray; }
  bool is_integer() const { return kind_ == Kind::kInt || kind_ == Kind::kUnsigned; }

  // T: bool, a number, std::string, a pair or a std::vector of these.
  template <class T>
  T get() const {
    T out;
    read(out);
    return out;
  }

  // Of arrays and objects.
  bool empty() const { return items_.empty(); }
  size_t size() const { return items_.size(); }
  std::vector<Json>::const_iterator begin() const { return items_.begin(); }
  std::vector<Json>::const_iterator end() const { return items_.end(); }
  const Json& at(size_t index) const;
  const Json& at(std::string_view key) const;
  template <class I, std::enable_if_t<std::is_integral_v<I>, int> = 0>
  const Json& operator[](I index) const {
    return at(static_cast<size_t>(index));
  }
  template <class I, std::enable_if_t<std::is_integral_v<I>, int> = 0>
  Json& operator[](I index) {
    return const_cast<Json&>(at(static_cast<size_t>(index)));
  }
  const Json& operator[](const char* key) const { return at(std::string_view(key)); }
  Json& operator[](const char* key);  // adds null where there is none; null becomes an object
  bool contains(std::string_view key) const;
  void push_back(Json item);  // null becomes an array
  void erase(std::string_view key);

  std::string dump() const;  // one line, members by name

  // Numbers by value, whatever their type.
  friend bool operator==(const Json& a, const Json& b) { return equal(a, b); }
  friend std::ostream& operator<<(std::ostream& out, const Json& value);

 private:
  friend struct JsonConversion;  // to nlohmann's and back
  enum class Kind { kNull, kBool, kInt, kUnsigned, kReal, kString, kArray, kObject };

  void swap(Json& other);
  void set(Kind kind, uint64_t bits, double real);
  void expect(Kind kind) const;
  static bool equal(const Json& a, const Json& b);
  double as_double() const;
  int64_t as_int() const;

  template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
  void read(T& out) const {
    if constexpr (std::is_floating_point_v<T>)
      out = static_cast<T>(as_double());
    else
      out = static_cast<T>(as_int());
  }
  void read(std::string& out) const {
    expect(Kind::kString);
    out = text_;
  }
  template <class A, class B>
  void read(std::pair<A, B>& out) const {
    at(0).read(out.first);
    at(1).read(out.second);
  }
  template <class T>
  void read(std::vector<T>& out) const {
    expect(Kind::kArray);
    out.resize(items_.size());
    for (size_t i = 0; i < items_.size(); ++i) items_[i].read(out[i]);
  }

  Kind kind_ = Kind::kNull;
  uint64_t bits_ = 0;  // of a bool, kInt or kUnsigned
  double real_ = 0;
  std::string text_;
  std::vector<std::string> keys_;  // of an object, sorted; else empty
  std::vector<Json> items_;
};

}  // namespace hoist::support
