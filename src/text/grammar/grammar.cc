#include "text/grammar/grammar.h"

#include "text/grammar/automaton.h"
#include "text/grammar/ebnf_parser.h"
#include "text/grammar/expr.h"
#include "text/grammar/regex_parser.h"
#include "text/grammar/schema.h"

namespace hoist::text {

using namespace grammar;

namespace {

std::shared_ptr<const Automaton> shared(Automaton a) {
  return std::make_shared<const Automaton>(std::move(a));
}

}  // namespace

Grammar::Grammar(std::shared_ptr<const Automaton> automaton) : automaton_(std::move(automaton)) {}

size_t Grammar::states() const { return automaton_->states(); }

Grammar Grammar::from_ebnf(std::string_view text) {
  RuleSet rules;
  const ExprId root = parse_ebnf(rules, text);
  return Grammar(shared(compile(rules, root)));
}

Grammar Grammar::from_regex(std::string_view expression) {
  RuleSet rules;
  const ExprId root = parse_regex(rules, expression, "regex");
  return Grammar(shared(compile(rules, root)));
}

Grammar Grammar::from_json_schema(std::string_view schema, const JsonGrammarOptions& options) {
  RuleSet rules;
  const ExprId root = parse_schema(rules, schema, options);
  return Grammar(shared(compile(rules, root)));
}

Grammar Grammar::json_object(const JsonGrammarOptions& options) {
  return from_json_schema(R"({"type":"object"})", options);
}

}  // namespace hoist::text
