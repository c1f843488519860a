// Reading JSON that somebody else wrote: files beside a model, request bodies.
//
// Entry point: JsonDocument::parse. It refuses what a reader must not guess about: text that is not UTF-8,
// broken syntax, nesting beyond a cap, a key given twice, lone surrogates, numbers no double can hold. The
// whole text is checked before parse returns. Values are then read by typed getters whose errors name the
// source, the path inside it, what was found and what was expected:
//     config.json: rope_scaling.factor: found "8", expected a number from 1 to 10000
//
// Memory: at most about ten times the text while parsing, five after. Stack: bounded by max_depth.
// Threads: getters mark keys as read, so a document belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace hoist::io {

struct JsonTree;

enum class JsonType : uint8_t { kNull, kBool, kInt, kDouble, kString, kArray, kObject };

struct JsonOptions {
  size_t max_bytes = size_t{64} << 20;  // at most 512 MiB - 1
  int max_depth = 64;                   // nested arrays and objects; at most 1024
  // Who is to blame: files that break their format are corrupt, requests are invalid.
  ErrorCode syntax_error = ErrorCode::kCorrupt;
  ErrorCode value_error = ErrorCode::kInvalidArgument;
};

class JsonArrayRange;
class JsonObjectRange;
struct JsonMember;

// One value of a document; a cheap handle, valid while the document lives.
class Json {
 public:
  JsonType type() const;
  bool is_null() const { return type() == JsonType::kNull; }
  bool is_string() const { return type() == JsonType::kString; }
  bool is_array() const { return type() == JsonType::kArray; }
  bool is_object() const { return type() == JsonType::kObject; }
  bool is_number() const { return type() == JsonType::kInt || type() == JsonType::kDouble; }

  // This value as a C++ one. Ranges include both ends. 3.0 is not an int; 3 is a double.
  bool as_bool() const;
  int64_t as_int(int64_t low = INT64_MIN, int64_t high = INT64_MAX) const;
  double as_double(double low, double high) const;
  std::string_view as_string(size_t max_bytes = SIZE_MAX) const;  // lives as long as the document
  JsonArrayRange elements() const;                                // of an array, in order
  JsonObjectRange members() const;                                // of an object, in the text's order
  size_t size() const;                                            // of an array or object

  // Members of an object. `find` and everything below mark the key as read; `at` refuses an absent key.
  std::optional<Json> find(std::string_view key) const;
  Json at(std::string_view key) const;
  bool get_bool(std::string_view key) const { return at(key).as_bool(); }
  int64_t get_int(std::string_view key, int64_t low, int64_t high) const { return at(key).as_int(low, high); }
  double get_double(std::string_view key, double low, double high) const {
    return at(key).as_double(low, high);
  }
  std::string_view get_string(std::string_view key) const { return at(key).as_string(); }
  // The default stands for an absent key only: null is refused like any other wrong type.
  bool get_bool_or(std::string_view key, bool otherwise) const;
  int64_t get_int_or(std::string_view key, int64_t otherwise, int64_t low, int64_t high) const;
  double get_double_or(std::string_view key, double otherwise, double low, double high) const;
  std::string get_string_or(std::string_view key, std::string_view otherwise) const;

  // What nobody asked for yet in this object, in the text's order.
  std::vector<JsonMember> unread_members() const;
  std::vector<std::string> unread_keys() const;

  std::string path() const;                          // "messages[3].content"; "" for the root
  std::string dump() const;                          // compact JSON text of this value
  std::string excerpt(size_t max_bytes = 60) const;  // dump, cut short for a message
  // Throws the document's value error: "<source>: <path>: found <excerpt>, expected <expected>".
  [[noreturn]] void refuse(std::string_view expected) const;
  // The same with free text after the path, and a code of the caller's choice.
  [[noreturn]] void fail(ErrorCode code, std::string_view message) const;

 private:
  friend class JsonDocument;
  friend class JsonArrayRange;
  friend class JsonObjectRange;
  Json(JsonTree* tree, uint32_t index) : tree_(tree), index_(index) {}
  JsonTree* tree_;
  uint32_t index_;
};

class JsonDocument {
 public:
  // `source` leads every message: a path, or "request body".
  static JsonDocument parse(std::string_view text, std::string source, const JsonOptions& options = {});
  JsonDocument(JsonDocument&&) noexcept;
  JsonDocument& operator=(JsonDocument&&) noexcept;
  ~JsonDocument();
  Json root() const { return Json(tree_.get(), 0); }
  const std::string& source() const;

 private:
  explicit JsonDocument(std::unique_ptr<JsonTree> tree);
  std::unique_ptr<JsonTree> tree_;
};

class JsonArrayRange {
 public:
  struct Iterator {
    JsonTree* tree;
    uint32_t index;
    Json operator*() const { return Json(tree, index); }
    Iterator& operator++();
    bool operator!=(const Iterator& o) const { return index != o.index; }
  };
  JsonArrayRange(JsonTree* tree, uint32_t first, uint32_t last) : tree_(tree), first_(first), last_(last) {}
  Iterator begin() const { return {tree_, first_}; }
  Iterator end() const { return {tree_, last_}; }

 private:
  JsonTree* tree_;
  uint32_t first_, last_;
};

struct JsonMember {
  std::string_view key;
  Json value;
};

class JsonObjectRange {
 public:
  struct Iterator {
    JsonTree* tree;
    uint32_t index;  // of the key; its value follows
    JsonMember operator*() const;
    Iterator& operator++();
    bool operator!=(const Iterator& o) const { return index != o.index; }
  };
  JsonObjectRange(JsonTree* tree, uint32_t first, uint32_t last) : tree_(tree), first_(first), last_(last) {}
  Iterator begin() const { return {tree_, first_}; }
  Iterator end() const { return {tree_, last_}; }

 private:
  JsonTree* tree_;
  uint32_t first_, last_;
};

// `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD, so that any name may be
// printed.
std::string json_quote(std::string_view text);

}  // namespace hoist::io
