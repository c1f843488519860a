// Objects and arrays of a schema.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "text/grammar/automaton.h"
#include "text/grammar/regex_parser.h"
#include "text/grammar/schema_compiler.h"

namespace hoist::text::grammar {
namespace {

constexpr uint32_t kMaxItems = 1024;
constexpr uint64_t kMaxGraph = 50'000;  // states of one object's own graph

const JsonNode* object_at(const JsonNode& schema, std::string_view key) {
  const JsonNode* node = schema.find(key);
  if (node && !node->is_object()) node->refuse("an object");
  return node;
}

}  // namespace

ExprId SchemaCompiler::key(std::string_view name) {
  return rules_.seq({rules_.literal(json_quoted(name) + ":"), space_});
}

bool SchemaCompiler::name_matches(const JsonNode& pattern, const std::string& name) {
  RuleSet rules;
  const ExprId e =
      parse_regex(rules, pattern.step, "schema: " + pattern.pointer(), {utf8_char, true, CodeSet::all()});
  const Automaton a = grammar::compile(rules, e);
  State at = a.root;
  for (const char c : name) at = a.step(at, static_cast<uint8_t>(c));
  return a.accepts[at];
}

// A key that is none of `listed`, in one spelling, so that no listed name comes back in disguise.
ExprId SchemaCompiler::free_key(const std::vector<std::string>& listed, const JsonNode* matching,
                                const JsonNode* not_matching) {
  std::string id =
      fmt::format("{} {}", static_cast<const void*>(matching), static_cast<const void*>(not_matching));
  for (const std::string& name : listed) id += json_quoted(name);
  const auto [found, is_new] = keys_.emplace(id, 0);
  if (!is_new) return found->second;
  ExprId content = rules_.repeat(json_any_, 0, kUnbounded);
  const auto pattern = [&](const JsonNode& node) {
    return parse_regex(rules_, node.step, "schema: " + node.pointer(), {json_char, true, CodeSet::all()});
  };
  if (matching) content = pattern(*matching);
  if (not_matching) {
    content = combine(rules_, content, pattern(*not_matching), RegularOp::kFirstOnly,
                      "schema: " + not_matching->pointer());
  }
  if (!listed.empty()) {
    std::vector<ExprId> names;
    for (const std::string& name : listed) {
      const std::string quoted = json_quoted(name);
      names.push_back(rules_.literal(std::string_view(quoted).substr(1, quoted.size() - 2)));
    }
    content =
        combine(rules_, content, rules_.alt(std::move(names)), RegularOp::kFirstOnly, "schema: properties");
  }
  const RuleId rule = rules_.add_rule("key", true);
  rules_.define(rule, rules_.seq({rules_.literal("\""), content, rules_.literal("\":"), space_}));
  return found->second = rules_.call(rule);
}

ExprId SchemaCompiler::object(const Conjunction& parts) {
  // Names in the order of the schemas, then those only required.
  std::vector<std::string> names;
  std::unordered_map<std::string, bool> required;
  uint32_t least = 0, most = kUnbounded;
  const JsonNode* pattern = nullptr;  // of patternProperties: the one pattern's schema
  const JsonNode* least_at = nullptr;
  bool lists = false, open = false, closed = false;
  for (const Part& part : parts) {
    if (const JsonNode* properties = object_at(*part.schema, "properties")) {
      lists = true;
      for (const auto& [name, schema] : properties->members) {
        if (required.emplace(name, false).second) names.push_back(name);
      }
    }
    if (const JsonNode* patterns = object_at(*part.schema, "patternProperties")) {
      lists = true;
      for (const auto& [text, schema] : patterns->members) {
        if (pattern && pattern != schema)
          schema->unsupported("a second pattern in one object is not supported");
        pattern = schema;
      }
    }
    if (const JsonNode* more = part.schema->find("additionalProperties"))
      (more->is_false() ? closed : open) = true;
    if (const JsonNode* n = part.schema->find("minProperties")) {
      if (read_count(*n) >= least) least = read_count(*n), least_at = n;
    }
    if (const JsonNode* n = part.schema->find("maxProperties")) most = std::min(most, read_count(*n));
  }
  for (const Part& part : parts) {
    const JsonNode* list = part.schema->find("required");
    if (!list) continue;
    if (list->kind != JsonKind::kArray) list->refuse("a list of names");
    for (const JsonNode* name : list->items) {
      if (name->kind != JsonKind::kString) name->refuse("a name");
      if (required.emplace(name->text, true).second) names.push_back(name->text);
      required[name->text] = true;
    }
  }
  if (least > most) return rules_.never();

  // What each schema says of a name: its property and its pattern, or else its additionalProperties.
  const auto value_of = [&](const std::string* name, bool matches) -> std::optional<ExprId> {
    Conjunction said;
    for (const Part& part : parts) {
      const JsonNode* properties = part.schema->find("properties");
      const JsonNode* own = name && properties ? properties->find(*name) : nullptr;
      if (own) said.push_back({own, 0});
      const JsonNode* patterns = matches ? part.schema->find("patternProperties") : nullptr;
      if (patterns && !patterns->members.empty()) {
        said.push_back({patterns->members.front().second, 0});
        own = said.back().schema;
      }
      const JsonNode* more = part.schema->find("additionalProperties");
      if (!own && more) {
        if (more->is_false()) return std::nullopt;
        said.push_back({more, 0});
      }
    }
    return value(std::move(said));
  };
  struct Property {
    ExprId pair;
    bool required;
  };
  std::vector<Property> properties;
  for (const std::string& name : names) {
    const auto value = value_of(&name, pattern && name_matches(*pattern, name));
    if (value) {
      properties.push_back({rules_.seq({key(name), *value}), required[name]});
    } else if (required[name]) {
      return rules_.never();
    }
  }
  std::vector<ExprId> free;
  if (pattern) {
    if (const auto value = value_of(nullptr, true)) {
      free.push_back(rules_.seq({free_key(names, pattern, nullptr), *value}));
    }
  }
  if (!closed && (open || !lists)) {
    if (const auto value = value_of(nullptr, false)) {
      free.push_back(rules_.seq({free_key(names, nullptr, pattern), *value}));
    }
  }
  // A text can repeat a free key, so only one of them surely counts.
  const auto sure = static_cast<uint32_t>(properties.size() + !free.empty());
  if (least > sure) {
    least_at->unsupported(
        fmt::format("found {}, supported up to {}: the listed properties{}", least, sure,
                    free.empty() ? "" : " and one other, as others cannot be kept from repeating"));
  }

  struct At {
    uint32_t next, counted, total;  // property to come; those that count for least; all, up to the limit
    bool has_free;
    auto operator<=>(const At&) const = default;
  };
  const uint32_t total_cap = most == kUnbounded ? 1 : most;
  if (uint64_t{properties.size() + 1} * (least + 1) * (uint64_t{total_cap} + 1) > kMaxGraph) {
    throw Error(
        ErrorCode::kResourceExhausted,
        fmt::format(
            "schema: {}: {} properties with minProperties {} and maxProperties {} are too many to count",
            parts.empty() ? "" : parts[0].schema->pointer(), properties.size(), least, most));
  }
  std::map<At, uint32_t> number;
  std::vector<At> todo;
  std::vector<GraphEdge> edges;
  const auto id_of = [&](At at) {
    at.counted = std::min(at.counted, least);
    at.total = std::min(at.total, total_cap);
    const auto [found, is_new] = number.emplace(at, static_cast<uint32_t>(number.size() + 2));
    if (is_new) todo.push_back(at);
    return found->second;
  };
  const ExprId end = rules_.literal("}"), spaced_end = rules_.seq({space_, end});
  edges.push_back({0, id_of({0, 0, 0, false}), rules_.literal("{")});
  const ExprId any_free = rules_.alt(free);
  while (!todo.empty()) {
    const At at = todo.back();
    todo.pop_back();
    const uint32_t from = number.at(at);
    const ExprId before = at.total == 0 ? space_ : comma_;
    const bool room = at.total < most;
    if (at.next < properties.size()) {
      const Property& p = properties[at.next];
      if (!p.required)
        edges.push_back({from, id_of({at.next + 1, at.counted, at.total, false}), rules_.empty()});
      if (room) {
        edges.push_back(
            {from, id_of({at.next + 1, at.counted + 1, at.total + 1, false}), rules_.seq({before, p.pair})});
      }
      continue;
    }
    if (at.counted >= least) edges.push_back({from, 1, at.total == 0 ? end : spaced_end});
    if (!free.empty() && room) {
      edges.push_back({from, id_of({at.next, at.counted + !at.has_free, at.total + 1, true}),
                       rules_.seq({before, any_free})});
    }
  }
  return rules_.graph(static_cast<uint32_t>(number.size() + 2), std::move(edges));
}

ExprId SchemaCompiler::array(const Conjunction& parts) {
  uint32_t least = 0, most = kUnbounded, fixed = 0;
  for (const Part& part : parts) {
    const JsonNode& schema = *part.schema;
    const JsonNode* items = schema.find("items");
    const bool draft7 = items && items->kind == JsonKind::kArray;  // what prefixItems is called now
    const JsonNode* prefix = draft7 ? items : schema.find("prefixItems");
    const JsonNode* rest = draft7 ? schema.find("additionalItems") : items;
    if (prefix && prefix->kind != JsonKind::kArray) prefix->refuse("a list of schemas");
    const auto listed =
        static_cast<uint32_t>(prefix ? std::min<size_t>(prefix->items.size(), kMaxItems + 1) : 0);
    fixed = std::max(fixed, listed);
    if (listed > kMaxItems) prefix->unsupported(fmt::format("more than {} schemas", kMaxItems));
    if (rest && rest->is_false()) most = std::min(most, listed);
    if (const JsonNode* n = schema.find("minItems")) {
      least = std::max(least, read_count(*n));
      if (least > kMaxItems) n->unsupported(fmt::format("found {}, supported up to {}", least, kMaxItems));
    }
    if (const JsonNode* n = schema.find("maxItems")) most = std::min({most, read_count(*n), kMaxItems});
  }
  if (least > most) return rules_.never();
  const auto item = [&](uint32_t i) {
    Conjunction said;
    for (const Part& part : parts) {
      const JsonNode& schema = *part.schema;
      const JsonNode* items = schema.find("items");
      const bool draft7 = items && items->kind == JsonKind::kArray;
      const JsonNode* prefix = draft7 ? items : schema.find("prefixItems");
      const JsonNode* rest = draft7 ? schema.find("additionalItems") : items;
      if (prefix && i < prefix->items.size()) {
        said.push_back({prefix->items[i], 0});
      } else if (rest) {
        said.push_back({rest, 0});
      }
    }
    return value(std::move(said));
  };
  // State 2 + k: k items are written; from `loop` on all are alike.
  const uint32_t loop = std::max({fixed, least, 1u});
  const uint32_t last = most == kUnbounded ? loop : most;
  const ExprId end = rules_.literal("]"), spaced_end = rules_.seq({space_, end});
  const ExprId other = last > fixed || most == kUnbounded ? item(fixed) : rules_.never();
  std::vector<GraphEdge> edges = {{0, 2, rules_.literal("[")}};
  for (uint32_t k = 0; k <= last; ++k) {
    if (k >= least) edges.push_back({2 + k, 1, k == 0 ? end : spaced_end});
    const ExprId before = k == 0 ? space_ : comma_;
    const ExprId next = k < fixed ? item(k) : other;
    if (k < last) {
      edges.push_back({2 + k, 3 + k, rules_.seq({before, next})});
    } else if (most == kUnbounded) {
      edges.push_back({2 + k, 2 + k, rules_.seq({before, next})});
    }
  }
  return rules_.graph(last + 3, std::move(edges));
}

}  // namespace hoist::text::grammar
