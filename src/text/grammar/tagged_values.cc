// Grammar::from_tagged_values: JSON values, and fields of a form, between given texts.
#include "base/error.h"
#include "text/grammar/automaton.h"
#include "text/grammar/expr.h"
#include "text/grammar/grammar.h"
#include "text/grammar/regex_parser.h"
#include "text/grammar/schema.h"
#include "text/grammar/schema_json.h"

namespace hoist::text {

using namespace grammar;

namespace {

constexpr uint32_t kMaxLength = 1024;

CodeSet one(char c) { return CodeSet::range(static_cast<unsigned char>(c), static_cast<unsigned char>(c)); }

// Any characters, but never `stop`, whose first byte comes only once in it. State 1 is the end; of the
// others, the number of bytes of `stop` that were just written says which.
ExprId text_without(RuleSet& rules, std::string_view stop) {
  const auto state = [](size_t matched) { return static_cast<uint32_t>(matched == 0 ? 0 : matched + 1); };
  std::vector<GraphEdge> edges;
  for (size_t n = 0; n < stop.size(); ++n) {
    CodeSet others = CodeSet::all().minus(one(stop[0]));
    if (n > 0) {
      others = others.minus(one(stop[n]));
      edges.push_back({state(n), state(1), rules.literal(stop.substr(0, 1))});
    }
    edges.push_back({state(n), 0, utf8_char(rules, others)});
    if (n + 1 < stop.size()) edges.push_back({state(n), state(n + 1), rules.literal(stop.substr(n, 1))});
    edges.push_back({state(n), 1, rules.empty()});
  }
  return rules.graph(static_cast<uint32_t>(stop.size() + 1), std::move(edges));
}

// A length's bound; absent: `otherwise`. Numbers that are none of 0, 1, ... are refused.
uint32_t bound(const JsonNode& schema, std::string_view key, uint32_t otherwise) {
  const JsonNode* node = schema.find(key);
  if (!node) return otherwise;
  if (node->kind != JsonKind::kInt || node->compact[0] == '-') node->refuse("an integer from 0 on");
  return node->compact.size() > 4 ? kMaxLength : std::min<uint32_t>(kMaxLength, std::stoul(node->compact));
}

// A string as it is, without quotes. Of the keywords enum, const, pattern and the lengths are kept.
ExprId plain_text(RuleSet& rules, const TaggedValues::Field& field, const std::string& stop) {
  const JsonTree tree(field.schema);
  const JsonNode& schema = tree.root();
  if (!schema.is_object()) return text_without(rules, stop);
  std::vector<ExprId> choices;
  const auto add = [&](const JsonNode& value) {
    if (value.text.find(stop) != std::string::npos) value.unsupported("a text that holds '" + stop + "'");
    choices.push_back(rules.literal(value.kind == JsonKind::kString ? value.text : value.compact));
  };
  if (const JsonNode* value = schema.find("const")) add(*value);
  if (const JsonNode* list = schema.find("enum"); list && choices.empty())
    for (const JsonNode* value : list->items) add(*value);
  if (!choices.empty()) return rules.alt(std::move(choices));
  if (const JsonNode* pattern = schema.find("pattern"); pattern && pattern->kind == JsonKind::kString) {
    RegexOptions options;
    options.search = true;
    options.any = CodeSet::all().minus(one(stop[0]));
    return parse_regex(rules, pattern->text, "schema: " + pattern->pointer(), options);
  }
  const uint32_t low = bound(schema, "minLength", 0), high = bound(schema, "maxLength", kUnbounded);
  if (low == 0 && high == kUnbounded) return text_without(rules, stop);
  if (low > high) schema.refuse("minLength at most maxLength");
  return rules.repeat(utf8_char(rules, CodeSet::all().minus(one(stop[0]))), low, high);
}

}  // namespace

Grammar Grammar::from_tagged_values(const TaggedValues& values, const JsonGrammarOptions& options) {
  RuleSet rules;
  std::vector<ExprId> choices;
  for (const TaggedValues::Choice& c : values.choices) {
    std::vector<ExprId> parts = {rules.literal(c.before)};
    if (!c.schema.empty()) parts.push_back(parse_schema(rules, c.schema, options));
    for (const TaggedValues::Field& f : c.fields) {
      const ExprId value =
          f.text ? plain_text(rules, f, values.stop) : parse_schema(rules, f.schema, options);
      const ExprId field = rules.seq({rules.literal(f.before), value, rules.literal(f.after)});
      parts.push_back(f.required ? field : rules.optional(field));
    }
    parts.push_back(rules.literal(c.after));
    choices.push_back(rules.seq(std::move(parts)));
  }
  const RuleId value = rules.add_rule("value", true);
  rules.define(value, rules.alt(std::move(choices)));
  std::vector<ExprId> parts = {rules.literal(values.begin), rules.call(value)};
  if (values.several)
    parts.push_back(
        rules.repeat(rules.seq({rules.literal(values.separator), rules.call(value)}), 0, kUnbounded));
  parts.push_back(rules.literal(values.end));
  return Grammar(std::make_shared<const Automaton>(compile(rules, rules.seq(std::move(parts)))));
}

}  // namespace hoist::text
