#include "text/grammar/schema_json.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "text/utf8.h"

namespace hoist::text::grammar {
namespace {

constexpr size_t kMaxText = size_t{4} << 20;
constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxPointer = 400;  // nodes are many and keys may be long

std::string escape_pointer(std::string_view key) {
  std::string out = "/";
  for (const char c : key) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

// Recursion is bounded: simdjson refuses more than kMaxDepth levels.
void fill(std::deque<JsonNode>& nodes, JsonNode& node, simdjson::dom::element value) {
  using Type = simdjson::dom::element_type;
  switch (value.type()) {
    case Type::NULL_VALUE: node.kind = JsonKind::kNull; break;
    case Type::BOOL: node.kind = JsonKind::kBool; break;
    case Type::INT64:
    case Type::UINT64: node.kind = JsonKind::kInt; break;
    case Type::DOUBLE: node.kind = JsonKind::kNumber; break;
    case Type::STRING: node.kind = JsonKind::kString; break;
    case Type::ARRAY: {
      node.kind = JsonKind::kArray;
      size_t i = 0;
      for (const simdjson::dom::element item : simdjson::dom::array(value)) {
        JsonNode& kid = nodes.emplace_back();
        kid.parent = &node;
        kid.step = std::to_string(i++);
        node.items.push_back(&kid);
        fill(nodes, kid, item);
      }
      break;
    }
    case Type::OBJECT: {
      node.kind = JsonKind::kObject;
      std::unordered_set<std::string_view> seen;
      for (const auto field : simdjson::dom::object(value)) {
        JsonNode& kid = nodes.emplace_back();
        kid.parent = &node;
        kid.step = std::string(field.key);
        if (!seen.insert(field.key).second)
          throw_invalid(fmt::format("schema: {}: key given twice", kid.pointer()));
        node.members.push_back({std::string(field.key), &kid});
        fill(nodes, kid, field.value);
      }
      break;
    }
  }
  // At most 64 levels each hold a copy of what is below.
  node.compact = simdjson::minify(value);
  node.text = node.compact;
  if (node.kind == JsonKind::kString) node.text = std::string(std::string_view(value));
}

}  // namespace

const JsonNode* JsonNode::find(std::string_view key) const {
  for (const auto& [name, value] : members) {
    if (name == key) return value;
  }
  return nullptr;
}

std::string JsonNode::pointer() const {
  std::string out;
  for (const JsonNode* node = this; node->parent; node = node->parent) {
    if (out.size() + node->step.size() > kMaxPointer)
      return "..." +
             repair_utf8(node->step.substr(node->step.size() - std::min<size_t>(node->step.size(), 40))) +
             out;
    out.insert(0, escape_pointer(node->step));
  }
  return out;
}

std::string JsonNode::excerpt() const {
  return compact.size() <= 60 ? compact : repair_utf8(compact.substr(0, 57)) + "...";
}

void JsonNode::refuse(std::string_view expected) const {
  throw_invalid(
      fmt::format("schema: {}: found {}, expected {}", parent ? pointer() : "(root)", excerpt(), expected));
}

void JsonNode::unsupported(std::string_view what) const {
  throw_unsupported(fmt::format("schema: {}: {}", parent ? pointer() : "(root)", what));
}

JsonTree::JsonTree(std::string_view text) {
  if (text.size() > kMaxText) {
    throw_invalid(fmt::format("schema: found {} bytes, expected at most {}", text.size(), kMaxText));
  }
  simdjson::dom::parser parser;
  if (parser.allocate(std::max<size_t>(text.size(), 64), kMaxDepth)) {
    throw Error(ErrorCode::kResourceExhausted, "schema: no memory to parse it");
  }
  simdjson::dom::element root;
  const simdjson::padded_string padded(text);
  if (const auto error = parser.parse(padded).get(root)) {
    throw_invalid(fmt::format("schema: not valid JSON: {}", simdjson::error_message(error)));
  }
  nodes_.emplace_back();
  fill(nodes_, nodes_.front(), root);
}

const JsonNode* JsonTree::resolve(std::string_view reference, const JsonNode& from) const {
  if (!reference.starts_with('#')) {
    from.unsupported(fmt::format("$ref to \"{}\" is not supported, only \"#\" and \"#/...\"", reference));
  }
  reference.remove_prefix(1);
  const JsonNode* at = &root();
  while (!reference.empty()) {
    if (reference[0] != '/') {
      from.unsupported("$ref to an anchor is not supported, only \"#\" and \"#/...\"");
    }
    reference.remove_prefix(1);
    const std::string_view part = reference.substr(0, reference.find('/'));
    reference.remove_prefix(part.size());
    std::string key;
    for (size_t i = 0; i < part.size(); ++i) {
      if (part[i] == '~' && i + 1 < part.size() && (part[i + 1] == '0' || part[i + 1] == '1')) {
        key += part[++i] == '0' ? '~' : '/';
      } else if (part[i] == '%' && i + 2 < part.size()) {
        from.unsupported("a percent escape in $ref is not supported");
      } else {
        key += part[i];
      }
    }
    const JsonNode* next = at->find(key);
    if (at->kind == JsonKind::kArray && !key.empty() && key.size() < 7 &&
        key.find_first_not_of("0123456789") == std::string::npos) {
      const size_t i = std::stoul(key);
      if (i < at->items.size()) next = at->items[i];
    }
    if (!next) from.refuse(fmt::format("a place in this schema; \"{}\" has no \"{}\"", at->pointer(), key));
    at = next;
  }
  return at;
}

}  // namespace hoist::text::grammar
