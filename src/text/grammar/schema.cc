#include "text/grammar/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "text/grammar/schema_compiler.h"

namespace hoist::text::grammar {
namespace {

constexpr size_t kMaxChain = 200;  // $ref and allOf, one in another

enum TypeBit : uint32_t {
  kNull = 1,
  kBool = 2,
  kInteger = 4,
  kFraction = 8,
  kString = 16,
  kArray = 32,
  kObject = 64,
  kEvery = 127,
};

struct Keyword {
  const char* name;
  uint32_t about;  // the types it constrains; 0: any
  bool note;       // says nothing about values
};

constexpr Keyword kKeywords[] = {
    {"type", 0, false},
    {"nullable", 0, false},
    {"enum", 0, false},
    {"const", 0, false},
    {"anyOf", 0, false},
    {"oneOf", 0, false},
    {"allOf", 0, false},
    {"$ref", 0, false},
    {"properties", kObject, false},
    {"required", kObject, false},
    {"additionalProperties", kObject, false},
    {"patternProperties", kObject, false},
    {"minProperties", kObject, false},
    {"maxProperties", kObject, false},
    {"items", kArray, false},
    {"prefixItems", kArray, false},
    {"additionalItems", kArray, false},
    {"minItems", kArray, false},
    {"maxItems", kArray, false},
    {"uniqueItems", kArray, false},
    {"minLength", kString, false},
    {"maxLength", kString, false},
    {"pattern", kString, false},
    {"format", kString, false},
    {"minimum", kInteger | kFraction, false},
    {"maximum", kInteger | kFraction, false},
    {"exclusiveMinimum", kInteger | kFraction, false},
    {"exclusiveMaximum", kInteger | kFraction, false},
    {"$defs", 0, true},
    {"definitions", 0, true},
    {"title", 0, true},
    {"description", 0, true},
    {"default", 0, true},
    {"examples", 0, true},
    {"example", 0, true},
    {"$schema", 0, true},
    {"$id", 0, true},
    {"$comment", 0, true},
    {"readOnly", 0, true},
    {"writeOnly", 0, true},
    {"deprecated", 0, true},
};

const Keyword* find_keyword(std::string_view name) {
  for (const Keyword& k : kKeywords) {
    if (name == k.name) return &k;
  }
  return nullptr;
}

uint32_t type_bits(const JsonNode& node) {
  static const std::pair<const char*, uint32_t> kTypes[] = {
      {"null", kNull},     {"boolean", kBool}, {"integer", kInteger}, {"number", kInteger | kFraction},
      {"string", kString}, {"array", kArray},  {"object", kObject}};
  for (const auto& [name, bits] : kTypes) {
    if (node.kind == JsonKind::kString && node.text == name) return bits;
  }
  node.refuse("null, boolean, integer, number, string, array or object");
}

uint32_t type_of_value(const JsonNode& value) {
  switch (value.kind) {
    case JsonKind::kNull: return kNull;
    case JsonKind::kBool: return kBool;
    case JsonKind::kInt: return kInteger;
    case JsonKind::kNumber: return kFraction;
    case JsonKind::kString: return kString;
    case JsonKind::kArray: return kArray;
    case JsonKind::kObject: return kObject;
  }
  return 0;
}

void check_keywords(const JsonNode& schema) {
  for (const auto& [name, node] : schema.members) {
    if (!find_keyword(name)) {
      node->unsupported(fmt::format("the keyword {} is not supported", json_quoted(name)));
    }
    if (name == "uniqueItems" && !node->is_false())
      node->unsupported("the keyword uniqueItems is not supported");
  }
}

}  // namespace

SchemaCompiler::SchemaCompiler(RuleSet& rules, const JsonTree& tree, const JsonGrammarOptions& options)
    : rules_(rules), tree_(tree) {
  const uint32_t blanks = std::min(options.max_whitespace, 256u);
  const auto shared = [&](const char* name, ExprId body) {
    const RuleId rule = rules_.add_rule(name, true);
    rules_.define(rule, body);
    return rules_.call(rule);
  };
  CodeSet blank = CodeSet::range('\t', '\n');
  blank.add('\r', '\r');
  blank.add(' ', ' ');
  space_ = rules_.repeat(utf8_char(rules_, blank), 0, blanks);
  if (blanks > 2) space_ = shared("whitespace", space_);
  comma_ = rules_.seq({rules_.literal(","), space_});

  json_any_ = json_char(rules_, CodeSet::all());
  CodeSet plain = CodeSet::range(0x20, 0x10FFFF);
  CodeSet marks = CodeSet::range('"', '"');
  marks.add('\\', '\\');
  CodeSet escapes = marks;
  for (const char c : {'/', 'b', 'f', 'n', 'r', 't'})
    escapes.add(static_cast<uint8_t>(c), static_cast<uint8_t>(c));
  const ExprId direct = utf8_char(rules_, plain.minus(marks));
  const ExprId backslash = rules_.literal("\\");
  bounded_char_ = rules_.alt({direct, rules_.seq({backslash, utf8_char(rules_, escapes)})});
  // \u: any code unit that is no surrogate, or a pair of them.
  CodeSet hex = CodeSet::range('0', '9'), high = hex, below_8 = CodeSet::range('0', '7'), from_8 = hex;
  hex.add('a', 'f'), hex.add('A', 'F');
  high.add('a', 'c'), high.add('A', 'C'), high.add('e', 'f'), high.add('E', 'F');
  from_8 = CodeSet::range('8', '9'), from_8.add('a', 'b'), from_8.add('A', 'B');
  CodeSet d = CodeSet::range('d', 'd'), to_f = CodeSet::range('c', 'f');
  d.add('D', 'D'), to_f.add('C', 'F');
  const auto one = [&](const CodeSet& set) { return utf8_char(rules_, set); };
  const ExprId h = one(hex);
  const ExprId unit =
      rules_.alt({rules_.seq({one(high), h, h, h}), rules_.seq({one(d), one(below_8), h, h})});
  const ExprId pair = rules_.seq({one(d), one(from_8), h, h, rules_.literal("\\u"), one(d), one(to_f), h, h});
  const ExprId any_char =
      rules_.alt({bounded_char_, rules_.seq({backslash, rules_.literal("u"), rules_.alt({unit, pair})})});
  const ExprId quote = rules_.literal("\"");
  plain_string_ = shared("string", rules_.seq({quote, rules_.repeat(any_char, 0, kUnbounded), quote}));

  const auto digits = [&](uint32_t low, uint32_t most) {
    return rules_.repeat(rules_.bytes('0', '9'), low, most);
  };
  const ExprId integer =
      rules_.seq({rules_.optional(rules_.literal("-")),
                  rules_.alt({rules_.literal("0"), rules_.seq({rules_.bytes('1', '9'), digits(0, 17)})})});
  plain_integer_ = shared("integer", integer);
  const ExprId fraction = rules_.seq({rules_.literal("."), digits(1, 18)});
  const ExprId exponent =
      rules_.seq({rules_.alt({rules_.literal("e"), rules_.literal("E")}),
                  rules_.optional(rules_.alt({rules_.literal("+"), rules_.literal("-")})), digits(1, 2)});
  plain_number_ =
      shared("number", rules_.seq({integer, rules_.optional(fraction), rules_.optional(exponent)}));
}

ExprId SchemaCompiler::compile() {
  const ExprId root = value({{&tree_.root(), 0}});
  // Bodies ask for further rules; a queue, so that no schema makes us recurse.
  while (!todo_.empty()) {
    const auto [rule, parts] = std::move(todo_.front());
    todo_.pop_front();
    rules_.define(rule, body(parts));
  }
  return root;
}

bool SchemaCompiler::flatten(const Conjunction& in, Conjunction& out) const {
  struct Item {
    Part part;
    size_t depth;
  };
  std::vector<const JsonNode*> path;
  std::vector<Item> todo;
  std::map<const JsonNode*, uint8_t> seen;
  for (const Part& part : in) {
    if (!(part.done & kFlattened)) continue;
    seen[part.schema] = part.done;
    out.push_back(part);
  }
  for (size_t i = in.size(); i-- > 0;) {
    if (!(in[i].done & kFlattened)) todo.push_back({in[i], 0});
  }
  while (!todo.empty()) {
    const auto [part, depth] = todo.back();
    todo.pop_back();
    const JsonNode& schema = *part.schema;
    path.resize(depth);
    if (schema.is_true()) continue;
    if (schema.is_false()) return false;
    if (!schema.is_object()) schema.refuse("a schema: an object, true or false");
    const auto [known, is_new] = seen.emplace(&schema, kFlattened);
    // A branch of its own anyOf would count as chosen.
    if (std::find(path.begin(), path.end(), &schema) != path.end() ||
        (!is_new && (known->second & (kAnyOfChosen | kOneOfChosen)))) {
      schema.unsupported("refers to itself with no value between");
    }
    if (depth >= kMaxChain)
      schema.unsupported(fmt::format("more than {} $ref and allOf in a chain", kMaxChain));
    path.push_back(&schema);
    if (!is_new) continue;
    check_keywords(schema);
    out.push_back({&schema, kFlattened});
    if (const JsonNode* all = schema.find("allOf")) {
      if (all->kind != JsonKind::kArray) all->refuse("a list of schemas");
      for (size_t i = all->items.size(); i-- > 0;) todo.push_back({{all->items[i], 0}, depth + 1});
    }
    if (const JsonNode* ref = schema.find("$ref")) {
      if (ref->kind != JsonKind::kString) ref->refuse("a reference such as \"#/$defs/name\"");
      todo.push_back({{tree_.resolve(ref->text, *ref), 0}, depth + 1});
    }
    if (out.size() > 10'000) schema.unsupported("more than 10000 schemas for one value");
  }
  return true;
}

ExprId SchemaCompiler::value(Conjunction parts) {
  Conjunction flat;
  if (!flatten(parts, flat)) return rules_.never();
  const auto [found, is_new] = known_.emplace(flat, 0);
  if (is_new) {
    const std::string at = parts.empty() ? std::string() : parts.front().schema->pointer();
    found->second = rules_.add_rule("schema " + (at.empty() ? std::string("(root)") : at));
    todo_.push_back({found->second, flat});
  }
  return rules_.call(found->second);
}

uint32_t SchemaCompiler::types_of(const Conjunction& parts) const {
  uint32_t types = kEvery, about = 0;
  bool typed = false;
  for (const Part& part : parts) {
    uint32_t own = kEvery;
    if (const JsonNode* type = part.schema->find("type")) {
      typed = true;
      own = 0;
      if (type->kind == JsonKind::kArray) {
        for (const JsonNode* item : type->items) own |= type_bits(*item);
      } else {
        own = type_bits(*type);
      }
    }
    if (const JsonNode* nullable = part.schema->find("nullable")) {
      if (nullable->kind != JsonKind::kBool) nullable->refuse("true or false");
      if (nullable->is_true()) own |= kNull;
    }
    types &= own;
    for (const auto& [name, node] : part.schema->members) about |= find_keyword(name)->about;
  }
  return !typed && about != 0 ? types & about : types;
}

ExprId SchemaCompiler::listed_values(const Conjunction& parts, uint32_t types) {
  std::vector<const JsonNode*> values;
  bool first = true;
  for (const Part& part : parts) {
    for (const auto& [name, node] : part.schema->members) {
      const Keyword* k = find_keyword(name);
      if (!k->note && name != "type" && name != "nullable" && name != "enum" && name != "const" &&
          name != "allOf" && name != "$ref" && name != "uniqueItems" && name != "anyOf" && name != "oneOf") {
        node->unsupported(fmt::format("the keyword {} beside enum or const is not supported", name));
      }
      if (name != "enum" && name != "const") continue;
      if (name == "enum" && (node->kind != JsonKind::kArray || node->items.empty())) {
        node->refuse("a list of values");
      }
      std::vector<const JsonNode*> own = node->items;
      if (name == "const") own = {node};
      if (first) values = own;
      first = false;
      std::set<std::string_view> texts;
      for (const JsonNode* v : own) texts.insert(v->compact);
      std::erase_if(values, [&](const JsonNode* v) { return !texts.count(v->compact); });
    }
  }
  std::vector<ExprId> literals;
  for (const JsonNode* v : values) {
    if ((type_of_value(*v) & types) == 0) continue;
    if (v->kind == JsonKind::kNumber && v->compact.size() > 24)
      v->unsupported("a number too long to repeat exactly");
    literals.push_back(rules_.literal(v->compact));
  }
  return rules_.alt(std::move(literals));
}

ExprId SchemaCompiler::body(const Conjunction& parts) {
  // One choice at a time; what is chosen joins the conjunction.
  for (size_t i = 0; i < parts.size(); ++i) {
    for (const auto& [name, bit] : {std::pair{"anyOf", kAnyOfChosen}, std::pair{"oneOf", kOneOfChosen}}) {
      const JsonNode* branches = parts[i].schema->find(name);
      if (!branches || (parts[i].done & bit)) continue;
      if (branches->kind != JsonKind::kArray || branches->items.empty())
        branches->refuse("a list of schemas");
      std::vector<ExprId> options;
      for (const JsonNode* branch : branches->items) {
        Conjunction chosen = parts;
        chosen[i].done = static_cast<uint8_t>(chosen[i].done | bit);
        chosen.push_back({branch, 0});
        options.push_back(value(std::move(chosen)));
      }
      return rules_.alt(std::move(options));
    }
  }
  const uint32_t types = types_of(parts);
  for (const Part& part : parts) {
    if (part.schema->find("enum") || part.schema->find("const")) return listed_values(parts, types);
  }
  std::vector<ExprId> options;
  if (types & kNull) options.push_back(rules_.literal("null"));
  if (types & kBool) options.push_back(rules_.alt({rules_.literal("true"), rules_.literal("false")}));
  if (types & (kInteger | kFraction)) options.push_back(number(parts, !(types & kFraction)));
  if (types & kString) options.push_back(string(parts));
  if (types & kArray) options.push_back(array(parts));
  if (types & kObject) options.push_back(object(parts));
  return rules_.alt(std::move(options));
}

ExprId parse_schema(RuleSet& rules, std::string_view schema, const JsonGrammarOptions& options) {
  const JsonTree tree(schema);
  return SchemaCompiler(rules, tree, options).compile();
}

}  // namespace hoist::text::grammar
