// Regular expressions to expressions over bytes. Private to text/grammar; what is supported stands in
// grammar.h.
#pragma once

#include <string>
#include <string_view>

#include "text/grammar/expr.h"

namespace hoist::text::grammar {

struct RegexOptions {
  ExprId (*encode)(RuleSet&, const CodeSet&) = utf8_char;  // how one character is written
  bool search = false;           // may match anywhere in the text (as JSON schema asks), else the whole text
  CodeSet any = CodeSet::all();  // what surrounds a match when searching
};

// `where` leads every message: "pattern" or "/properties/a/pattern". Throws Error.
ExprId parse_regex(RuleSet& rules, std::string_view text, const std::string& where,
                   const RegexOptions& options = {});

}  // namespace hoist::text::grammar
