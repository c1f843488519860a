// A schema's JSON as a tree whose nodes know their place (a JSON pointer). Private to text/grammar.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hoist::text::grammar {

enum class JsonKind : uint8_t { kNull, kBool, kInt, kNumber, kString, kArray, kObject };

struct JsonNode {
  JsonKind kind = JsonKind::kNull;
  std::string text;                  // a string's characters; else the value as compact JSON
  std::string compact;               // the value as compact JSON
  const JsonNode* parent = nullptr;  // null for the root
  std::string step;                  // the key or number under which the parent holds it
  std::vector<std::pair<std::string, const JsonNode*>> members;  // of an object, as written
  std::vector<const JsonNode*> items;                            // of an array

  bool is_object() const { return kind == JsonKind::kObject; }
  bool is_true() const { return kind == JsonKind::kBool && compact == "true"; }
  bool is_false() const { return kind == JsonKind::kBool && compact == "false"; }
  const JsonNode* find(std::string_view key) const;  // nullptr if absent
  std::string pointer() const;  // for messages: "/properties/a", "" for the root; of a long one its end
  std::string excerpt() const;  // of `compact`, for messages
  // Throws Error(kInvalidArgument): "schema: /a/b: found x, expected y".
  [[noreturn]] void refuse(std::string_view expected) const;
  [[noreturn]] void unsupported(std::string_view what) const;  // Error(kUnsupported): "schema: /a/b: what"
};

class JsonTree {
 public:
  // Throws Error(kInvalidArgument) for text that is not JSON, a key given twice, more than 64 levels or 4
  // MiB.
  explicit JsonTree(std::string_view text);
  const JsonNode& root() const { return nodes_.front(); }
  // What a reference such as "#/$defs/a" points to. Throws, naming `from`.
  const JsonNode* resolve(std::string_view reference, const JsonNode& from) const;

 private:
  std::deque<JsonNode> nodes_;
};

}  // namespace hoist::text::grammar
