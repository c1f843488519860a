// JSON schema to a grammar. Private to text/grammar but for its documentation.
//
// Keywords (draft 2020-12 and what draft 7 calls the same):
//   true, false, {}; type (a name or a list), nullable, enum, const; anyOf, oneOf (as anyOf: that only one
//   branch holds is not enforced), allOf (merged); $ref to "#" or "#/..." (recursive ones too), $defs,
//   definitions; properties, required, additionalProperties, patternProperties (one pattern per object),
//   minProperties, maxProperties; items, prefixItems, additionalItems, minItems, maxItems; minLength,
//   maxLength, pattern, format; minimum, maximum, exclusiveMinimum, exclusiveMaximum (numbers, or draft 4's
//   booleans are refused). Notes only: title, description, default, examples, example, $schema, $id,
//   $comment, readOnly, writeOnly, deprecated.
// Everything else is refused by name and place; so is enum or const beside anything but type.
//
// What is written is always valid; not everything valid is written:
//   - Properties come in the schema's order, those only `required` after them, others last; optional ones may
//     be left out. Without additionalProperties an object that lists properties gets no others.
//   - Without type, the type is what the other keywords are about (properties: an object); with none,
//   anything.
//   - Integers have at most 18 digits, numbers 18 before and after the point and two in the exponent; numbers
//   with
//     bounds have no exponent and 15 digits in all. Bounds have at most 15 significant digits.
//   - Strings under minLength, maxLength, pattern or format, and keys, use an escape only where JSON demands
//   one.
//     maxLength above 1024 counts as 1024, maxItems above 1024 as 1024.
//   - format: date, time, date-time, duration, uuid, email, hostname, ipv4, ipv6, uri; common forms of each.
//   - What enum and const list is written as compact JSON.
#pragma once

#include <string_view>

#include "text/grammar/expr.h"
#include "text/grammar/grammar.h"

namespace hoist::text::grammar {

ExprId parse_schema(RuleSet& rules, std::string_view schema, const JsonGrammarOptions& options);

}  // namespace hoist::text::grammar
