// EBNF text to rules. Private to text/grammar; the notation stands in grammar.h.
#pragma once

#include <string_view>

#include "text/grammar/expr.h"

namespace hoist::text::grammar {

// The body of the rule `root`. Throws Error.
ExprId parse_ebnf(RuleSet& rules, std::string_view text);

}  // namespace hoist::text::grammar
