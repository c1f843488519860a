#include "io/json.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cmath>

#include "io/json_tree.h"

namespace hoist::io {
namespace {

// The shortest text that reads back to the same double, and reads back as a double.
void append_double(std::string& out, double x) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, x).ptr;
  const std::string_view digits(buffer, static_cast<size_t>(end - buffer));
  out += digits;
  if (digits.find_first_of(".e") == std::string_view::npos) out += ".0";
}

// Bytes of the UTF-8 character at the front of `s`, 0 if it is none.
size_t utf8_length(std::string_view s) {
  const auto byte = [&](size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b <= 0xDF) return tail(1) ? 2 : 0;
  if (b >= 0xE0 && b <= 0xEF) {
    if (!tail(1) || !tail(2) || (b == 0xE0 && byte(1) < 0xA0) || (b == 0xED && byte(1) > 0x9F)) return 0;
    return 3;
  }
  if (b >= 0xF0 && b <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3) || (b == 0xF0 && byte(1) < 0x90) || (b == 0xF4 && byte(1) > 0x8F))
      return 0;
    return 4;
  }
  return 0;
}

// Appends compact JSON, stopping soon after `limit` bytes. The depth cap of the parser bounds the recursion.
void dump_value(const JsonTree& tree, uint32_t index, size_t limit, std::string& out) {
  if (out.size() > limit) return;
  const JsonNode node = tree.nodes[index];
  switch (node.tag()) {
    case NodeTag::kNull: out += "null"; return;
    case NodeTag::kBool: out += node.a() ? "true" : "false"; return;
    case NodeTag::kInt: out += std::to_string(node.integer()); return;
    case NodeTag::kWideInt: out += std::to_string(static_cast<int64_t>(tree.wide[node.a()])); return;
    case NodeTag::kWideUnsigned: out += std::to_string(tree.wide[node.a()]); return;
    case NodeTag::kDouble: append_double(out, std::bit_cast<double>(tree.wide[node.a()])); return;
    case NodeTag::kString: {
      const std::string_view s = tree.text(index);
      out += json_quote(limit - out.size() < s.size() ? s.substr(0, limit - out.size() + 4) : s);
      return;
    }
    case NodeTag::kArray:
      out += '[';
      for (uint32_t i = index + 1; i != node.a() && out.size() <= limit; i = tree.next(i)) {
        if (i != index + 1) out += ',';
        dump_value(tree, i, limit, out);
      }
      out += ']';
      return;
    case NodeTag::kObject:
      out += '{';
      for (uint32_t i = index + 1; i != node.a() && out.size() <= limit; i = tree.next(i + 1)) {
        if (i != index + 1) out += ',';
        dump_value(tree, i, limit, out);
        out += ':';
        dump_value(tree, i + 1, limit, out);
      }
      out += '}';
      return;
  }
}

bool is_plain_key(std::string_view key) {
  if (key.empty() || key.size() > 64) return false;
  for (char c : key)
    if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && c != '_' && c != '-')
      return false;
  return true;
}

}  // namespace

std::string json_quote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t n = utf8_length(text);
    const unsigned char c = static_cast<unsigned char>(text[0]);
    if (n == 0) {
      out += "\xEF\xBF\xBD";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (const size_t at = std::string_view("\b\f\n\r\t").find(static_cast<char>(c));
               at != std::string_view::npos) {
      out += '\\';
      out += "bfnrt"[at];
    } else if (c < 0x20) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += text.substr(0, n);
    }
    text.remove_prefix(n ? n : 1);
  }
  return out += '"';
}

JsonDocument::JsonDocument(std::unique_ptr<JsonTree> tree) : tree_(std::move(tree)) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;
const std::string& JsonDocument::source() const { return tree_->source; }

JsonType Json::type() const {
  switch (tree_->nodes[index_].tag()) {
    case NodeTag::kNull: return JsonType::kNull;
    case NodeTag::kBool: return JsonType::kBool;
    case NodeTag::kInt:
    case NodeTag::kWideInt:
    case NodeTag::kWideUnsigned: return JsonType::kInt;
    case NodeTag::kDouble: return JsonType::kDouble;
    case NodeTag::kString: return JsonType::kString;
    case NodeTag::kArray: return JsonType::kArray;
    case NodeTag::kObject: return JsonType::kObject;
  }
  return JsonType::kNull;
}

bool Json::as_bool() const {
  if (type() != JsonType::kBool) refuse("true or false");
  return tree_->nodes[index_].a() != 0;
}

int64_t Json::as_int(int64_t low, int64_t high) const {
  const JsonNode node = tree_->nodes[index_];
  bool fits = true;
  int64_t x = 0;
  if (node.tag() == NodeTag::kInt)
    x = node.integer();
  else if (node.tag() == NodeTag::kWideInt)
    x = static_cast<int64_t>(tree_->wide[node.a()]);
  else
    fits = false;
  if (fits && x >= low && x <= high) return x;
  if (low == INT64_MIN && high == INT64_MAX) refuse("an integer of 64 bits");
  if (high == INT64_MAX) refuse(fmt::format("an integer of at least {}", low));
  refuse(fmt::format("an integer from {} to {}", low, high));
}

double Json::as_double(double low, double high) const {
  const JsonNode node = tree_->nodes[index_];
  double x = std::nan("");
  switch (node.tag()) {
    case NodeTag::kInt: x = static_cast<double>(node.integer()); break;
    case NodeTag::kWideInt: x = static_cast<double>(static_cast<int64_t>(tree_->wide[node.a()])); break;
    case NodeTag::kWideUnsigned: x = static_cast<double>(tree_->wide[node.a()]); break;
    case NodeTag::kDouble: x = std::bit_cast<double>(tree_->wide[node.a()]); break;
    default: break;
  }
  if (!(x >= low && x <= high)) refuse(fmt::format("a number from {} to {}", low, high));
  return x;
}

std::string_view Json::as_string(size_t max_bytes) const {
  if (!is_string()) refuse("a string");
  const std::string_view s = tree_->text(index_);
  if (s.size() > max_bytes) refuse(fmt::format("a string of at most {} bytes", max_bytes));
  return s;
}

JsonArrayRange Json::elements() const {
  if (!is_array()) refuse("an array");
  return {tree_, index_ + 1, tree_->nodes[index_].a()};
}

JsonObjectRange Json::members() const {
  if (!is_object()) refuse("an object");
  return {tree_, index_ + 1, tree_->nodes[index_].a()};
}

size_t Json::size() const {
  if (!is_array() && !is_object()) refuse("an array or an object");
  return tree_->nodes[index_].b();
}

std::optional<Json> Json::find(std::string_view key) const {
  if (!is_object()) refuse("an object");
  const uint32_t end = tree_->nodes[index_].a();
  for (uint32_t i = index_ + 1; i != end; i = tree_->next(i + 1)) {
    if (tree_->text(i) != key) continue;
    tree_->nodes[i].bits |= JsonNode::kReadFlag;
    return Json(tree_, i + 1);
  }
  return std::nullopt;
}

Json Json::at(std::string_view key) const {
  const auto value = find(key);
  if (!value) fail(tree_->options.value_error, fmt::format("key {} is missing", json_quote(key)));
  return *value;
}

bool Json::get_bool_or(std::string_view key, bool otherwise) const {
  const auto value = find(key);
  return value ? value->as_bool() : otherwise;
}
int64_t Json::get_int_or(std::string_view key, int64_t otherwise, int64_t low, int64_t high) const {
  const auto value = find(key);
  return value ? value->as_int(low, high) : otherwise;
}
double Json::get_double_or(std::string_view key, double otherwise, double low, double high) const {
  const auto value = find(key);
  return value ? value->as_double(low, high) : otherwise;
}
std::string Json::get_string_or(std::string_view key, std::string_view otherwise) const {
  const auto value = find(key);
  return std::string(value ? value->as_string() : otherwise);
}

std::vector<JsonMember> Json::unread_members() const {
  std::vector<JsonMember> members;
  if (!is_object()) return members;
  const uint32_t end = tree_->nodes[index_].a();
  for (uint32_t i = index_ + 1; i != end; i = tree_->next(i + 1))
    if (!(tree_->nodes[i].b() & JsonNode::kReadFlag)) members.push_back({tree_->text(i), Json(tree_, i + 1)});
  return members;
}

std::vector<std::string> Json::unread_keys() const {
  std::vector<std::string> keys;
  for (const JsonMember& member : unread_members()) keys.emplace_back(member.key);
  return keys;
}

// Nodes know no parent: walk down from the root to the child whose nodes include ours. Only errors pay for
// it.
std::string Json::path() const {
  std::string out;
  uint32_t at = 0;
  while (at != index_) {
    const JsonNode node = tree_->nodes[at];
    uint32_t child = at + 1;
    if (node.tag() == NodeTag::kArray) {
      size_t position = 0;
      for (; tree_->next(child) <= index_; child = tree_->next(child)) ++position;
      out += '[' + std::to_string(position) + ']';
      at = child;
    } else {
      while (tree_->next(child + 1) <= index_) child = tree_->next(child + 1);
      const std::string_view key = tree_->text(child);
      if (is_plain_key(key)) {
        if (!out.empty()) out += '.';
        out += key;
      } else {
        out += '[' + json_quote(key.substr(0, 64)) + ']';
      }
      at = child + 1;
    }
  }
  return out;
}

std::string Json::dump() const {
  std::string out;
  dump_value(*tree_, index_, SIZE_MAX, out);
  return out;
}

std::string Json::excerpt(size_t max_bytes) const {
  std::string out;
  dump_value(*tree_, index_, max_bytes, out);
  if (out.size() <= max_bytes) return out;
  while (max_bytes > 0 && (static_cast<unsigned char>(out[max_bytes]) & 0xC0) == 0x80) --max_bytes;
  return out.substr(0, max_bytes) + "...";
}

void Json::refuse(std::string_view expected) const {
  fail(tree_->options.value_error, fmt::format("found {}, expected {}", excerpt(), expected));
}

void Json::fail(ErrorCode code, std::string_view message) const {
  const std::string at = path();
  throw Error(code, fmt::format("{}: {}{}{}", tree_->source, at, at.empty() ? "" : ": ", message));
}

JsonArrayRange::Iterator& JsonArrayRange::Iterator::operator++() {
  index = tree->next(index);
  return *this;
}
JsonMember JsonObjectRange::Iterator::operator*() const {
  return {tree->text(index), *JsonArrayRange::Iterator{tree, index + 1}};
}
JsonObjectRange::Iterator& JsonObjectRange::Iterator::operator++() {
  index = tree->next(index + 1);
  return *this;
}

}  // namespace hoist::io
