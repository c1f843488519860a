// The parts of parse_schema. Private to text/grammar.
//
// A value is described by a conjunction: schemas that must all hold. allOf and $ref only add to it, anyOf and
// oneOf split it, and properties that several of its objects describe give conjunctions again. Equal
// conjunctions are one rule, which is what makes recursive schemas end.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/grammar/expr.h"
#include "text/grammar/grammar.h"
#include "text/grammar/schema_json.h"

namespace hoist::text::grammar {

struct Part {
  const JsonNode* schema;
  uint8_t done;  // bits: kAnyOfChosen, kOneOfChosen, kFlattened (its $ref and allOf have joined)
  auto operator<=>(const Part&) const = default;
};
inline constexpr uint8_t kAnyOfChosen = 1, kOneOfChosen = 2, kFlattened = 4;
using Conjunction = std::vector<Part>;  // sorted by first appearance

// A decimal number, exactly: digits before the point without leading zeros ("" for 0) and after it without
// trailing ones.
struct Decimal {
  bool negative = false;
  std::string whole, fraction;
};

struct Bound {
  Decimal value;
  bool exclusive = false;
};

class SchemaCompiler {
 public:
  SchemaCompiler(RuleSet& rules, const JsonTree& tree, const JsonGrammarOptions& options);
  ExprId compile();

 private:
  // schema.cc
  ExprId value(Conjunction parts);  // a call of its rule, which is defined later
  ExprId body(const Conjunction& parts);
  bool flatten(const Conjunction& in, Conjunction& out) const;  // false: nothing satisfies it
  ExprId listed_values(const Conjunction& parts, uint32_t types);
  uint32_t types_of(const Conjunction& parts) const;

  // schema_containers.cc
  ExprId object(const Conjunction& parts);
  ExprId array(const Conjunction& parts);
  ExprId free_key(const std::vector<std::string>& listed, const JsonNode* matching,
                  const JsonNode* not_matching);
  bool name_matches(const JsonNode& pattern, const std::string& name);

  // schema_scalars.cc
  ExprId string(const Conjunction& parts);
  ExprId number(const Conjunction& parts, bool integer);
  ExprId range(const std::optional<Bound>& low, const std::optional<Bound>& high, bool integer);

  ExprId key(std::string_view name);  // "name":

  RuleSet& rules_;
  const JsonTree& tree_;
  std::map<Conjunction, RuleId> known_;
  std::deque<std::pair<RuleId, Conjunction>> todo_;
  std::map<std::string, ExprId> keys_;  // free_key by what it leaves out
  ExprId space_, comma_, plain_string_, plain_integer_, plain_number_, json_any_, bounded_char_;
};

// Reading a keyword that must be a whole number from 0.
uint32_t read_count(const JsonNode& node);
std::string json_quoted(std::string_view text);  // with the fewest escapes
ExprId nonnegative_range(RuleSet& rules, const Bound& low, const Bound& high, bool integer);
// The regular expression of a format, or nullptr.
const char* format_pattern(std::string_view name);

}  // namespace hoist::text::grammar
