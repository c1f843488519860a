#include "text/jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/strings.h"
#include "text/jinja/value.h"
#include "text/utf8.h"

namespace hoist::text::jinja {

Parser::Parser(std::string_view text, Program& program) : program_(program) {
  if (text.size() > Template::kMaxSourceBytes) {
    throw_corrupt(fmt::format("{}: found a template of {} bytes, expected at most {}", program.source,
                              text.size(), Template::kMaxSourceBytes));
  }
  tokens_ = tokenize(text, program.source);
}

void Parser::fail(std::string_view message) const { fail_at(now().line, message); }

void Parser::fail_at(int line, std::string_view message) const {
  throw_corrupt(fmt::format("{}: line {}: {}", program_.source, line, repair_utf8(message)));
}

bool Parser::skip_op(std::string_view op) {
  if (!is_op(op)) return false;
  next();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!is_name(name)) return false;
  next();
  return true;
}

void Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) fail(fmt::format("found {}, expected '{}'", describe(), op));
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail(fmt::format("found {}, expected '{}'", describe(), name));
}

std::string Parser::expect_any_name(std::string_view what) {
  if (now().kind != TokenKind::kName) fail(fmt::format("found {}, expected {}", describe(), what));
  std::string name = now().text;
  next();
  return name;
}

std::string Parser::describe() const {
  switch (now().kind) {
    case TokenKind::kText: return "text";
    case TokenKind::kString: return "a string";
    case TokenKind::kEnd: return "the end of the template";
    default: return fmt::format("'{}'", now().text.substr(0, 60));
  }
}

int Parser::slot_of(const std::string& name) {
  const auto [at, added] = slots_.try_emplace(name, static_cast<int>(program_.names.size()));
  if (added) program_.names.push_back(name);
  return at->second;
}

Expr* Parser::make(ExprKind kind, int line) {
  if (program_.exprs.size() + program_.stmts.size() >= kMaxNodes)
    fail(fmt::format("the template has more than {} nodes", kMaxNodes));
  Expr& expr = program_.exprs.emplace_back();
  expr.kind = kind;
  expr.line = line;
  return &expr;
}

Expr* Parser::finish(Expr* expr) {
  int below = 0;
  for (const Expr* child : {expr->a, expr->b, expr->c, expr->star, expr->star_star})
    if (child) below = std::max(below, child->depth);
  for (const Expr* child : expr->items)
    if (child) below = std::max(below, child->depth);
  for (const auto& [name, child] : expr->named) below = std::max(below, child->depth);
  expr->depth = below + 1;
  if (expr->depth > kMaxHeight) fail_at(expr->line, "this expression is too long or nests too deep");
  return expr;
}

Expr* Parser::binary(Op op, Expr* a, Expr* b) {
  Expr* expr = make(ExprKind::kBinary, a->line);
  expr->op = op;
  expr->a = a;
  expr->b = b;
  return finish(expr);
}

Expr* Parser::expression(bool with_condition) {
  const Nesting nesting(*this);
  return with_condition ? condition() : disjunction();
}

bool Parser::at_tuple_end(std::string_view end_name) const {
  return now().kind == TokenKind::kOutputEnd || now().kind == TokenKind::kBlockEnd || is_op(")") ||
         (!end_name.empty() && is_name(end_name));
}

// One expression, or several with commas between them: a tuple.
Expr* Parser::tuple(bool with_condition, bool parenthesized, std::string_view end_name) {
  const int line = now().line;
  std::vector<Expr*> items;
  bool is_tuple = false;
  while (true) {
    if (at_tuple_end(end_name)) break;
    items.push_back(expression(with_condition));
    if (!skip_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!items.empty()) return items[0];
    if (!parenthesized) fail(fmt::format("found {}, expected an expression", describe()));
  }
  Expr* expr = make(ExprKind::kTuple, line);
  expr->items = std::move(items);
  return finish(expr);
}

Expr* Parser::condition() {
  Expr* value = disjunction();
  while (is_name("if")) {
    Expr* expr = make(ExprKind::kCondition, now().line);
    next();
    expr->a = value;
    expr->b = disjunction();
    if (skip_name("else")) {
      const Nesting nesting(*this);
      expr->c = condition();
    }
    value = finish(expr);
  }
  return value;
}

Expr* Parser::disjunction() {
  Expr* left = conjunction();
  while (is_name("or")) {
    Expr* expr = make(ExprKind::kOr, now().line);
    next();
    expr->a = left;
    expr->b = conjunction();
    left = finish(expr);
  }
  return left;
}

Expr* Parser::conjunction() {
  Expr* left = negation();
  while (is_name("and")) {
    Expr* expr = make(ExprKind::kAnd, now().line);
    next();
    expr->a = left;
    expr->b = negation();
    left = finish(expr);
  }
  return left;
}

Expr* Parser::negation() {
  if (!is_name("not")) return comparison();
  const Nesting nesting(*this);
  Expr* expr = make(ExprKind::kNot, now().line);
  next();
  expr->a = negation();
  return finish(expr);
}

Expr* Parser::comparison() {
  static constexpr std::pair<std::string_view, Op> kOps[] = {
      {"==", Op::kEq}, {"!=", Op::kNe}, {"<", Op::kLt}, {"<=", Op::kLe}, {">", Op::kGt}, {">=", Op::kGe}};
  const int line = now().line;
  Expr* first = sum();
  Expr* chain = nullptr;
  while (true) {
    Op op;
    const auto at =
        std::find_if(std::begin(kOps), std::end(kOps), [&](const auto& o) { return is_op(o.first); });
    if (at != std::end(kOps)) {
      op = at->second;
      next();
    } else if (is_name("in")) {
      op = Op::kIn;
      next();
    } else if (is_name("not") && ahead().kind == TokenKind::kName && ahead().text == "in") {
      op = Op::kNotIn;
      next();
      next();
    } else {
      break;
    }
    if (!chain) {
      chain = make(ExprKind::kCompare, line);
      chain->items.push_back(first);
    }
    chain->ops.push_back(op);
    chain->items.push_back(sum());
  }
  return chain ? finish(chain) : first;
}

Expr* Parser::sum() {
  Expr* left = concat();
  while (is_op("+") || is_op("-")) {
    const Op op = is_op("+") ? Op::kAdd : Op::kSub;
    next();
    left = binary(op, left, concat());
  }
  return left;
}

Expr* Parser::concat() {
  Expr* first = product();
  if (!is_op("~")) return first;
  Expr* expr = make(ExprKind::kConcat, first->line);
  expr->items.push_back(first);
  while (skip_op("~")) expr->items.push_back(product());
  return finish(expr);
}

Expr* Parser::product() {
  static constexpr std::pair<std::string_view, Op> kOps[] = {
      {"*", Op::kMul}, {"/", Op::kDiv}, {"//", Op::kFloorDiv}, {"%", Op::kMod}};
  Expr* left = power();
  while (true) {
    const auto at =
        std::find_if(std::begin(kOps), std::end(kOps), [&](const auto& o) { return is_op(o.first); });
    if (at == std::end(kOps)) return left;
    next();
    left = binary(at->second, left, power());
  }
}

Expr* Parser::power() {
  Expr* left = unary(true);
  while (skip_op("**")) left = binary(Op::kPow, left, unary(true));
  return left;
}

Expr* Parser::unary(bool with_filter) {
  const Nesting nesting(*this);
  Expr* expr = nullptr;
  if (is_op("-") || is_op("+")) {
    expr = make(ExprKind::kUnary, now().line);
    expr->op = is_op("-") ? Op::kNeg : Op::kPos;
    next();
    expr->a = unary(false);
    finish(expr);
  } else {
    expr = primary();
  }
  expr = postfix(expr);
  return with_filter ? filters_and_tests(expr) : expr;
}

Expr* Parser::primary() {
  const Token& token = now();
  switch (token.kind) {
    case TokenKind::kName: return name_or_constant();
    case TokenKind::kString: {
      Expr* expr = make(ExprKind::kConstant, token.line);
      std::string text;
      for (; now().kind == TokenKind::kString; next()) text += now().text;
      expr->constant = Value::string(text);
      return expr;
    }
    case TokenKind::kInteger: {
      Expr* expr = make(ExprKind::kConstant, token.line);
      int64_t value = 0;
      std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
      expr->constant = Value::integer(value);
      next();
      return expr;
    }
    case TokenKind::kFloat: {
      Expr* expr = make(ExprKind::kConstant, token.line);
      expr->constant = Value::number(parse_float(token.text).value_or(0));
      next();
      return expr;
    }
    default: break;
  }
  if (skip_op("(")) {
    Expr* expr = tuple(true, true, "");
    expect_op(")");
    return expr;
  }
  if (is_op("[")) return list();
  if (is_op("{")) return dict();
  fail(fmt::format("found {}, expected an expression", describe()));
}

Expr* Parser::name_or_constant() {
  const std::string name = now().text;
  Expr* expr = make(ExprKind::kConstant, now().line);
  next();
  if (name == "true" || name == "True") {
    expr->constant = Value::boolean(true);
  } else if (name == "false" || name == "False") {
    expr->constant = Value::boolean(false);
  } else if (name == "none" || name == "None") {
    expr->constant = Value::none();
  } else {
    expr->kind = ExprKind::kName;
    expr->name = name;
    expr->slot = slot_of(name);
    for (MacroCode* macro : macros_) {
      macro->uses_caller |= name == "caller";
      macro->uses_varargs |= name == "varargs";
      macro->uses_kwargs |= name == "kwargs";
    }
    if (name == "loop")
      for (Stmt* loop : open_loops_) loop->uses_loop = true;
  }
  return expr;
}

Expr* Parser::list() {
  Expr* expr = make(ExprKind::kList, now().line);
  expect_op("[");
  while (!is_op("]")) {
    expr->items.push_back(expression());
    if (!is_op("]")) expect_op(",");
  }
  next();
  return finish(expr);
}

Expr* Parser::dict() {
  Expr* expr = make(ExprKind::kDict, now().line);
  expect_op("{");
  while (!is_op("}")) {
    expr->items.push_back(expression());
    expect_op(":");
    expr->items.push_back(expression());
    if (!is_op("}")) expect_op(",");
  }
  next();
  return finish(expr);
}

Expr* Parser::postfix(Expr* expr) {
  while (true) {
    if (is_op(".") || is_op("["))
      expr = subscript(expr);
    else if (is_op("("))
      expr = call(expr);
    else
      return expr;
  }
}

Expr* Parser::filters_and_tests(Expr* expr) {
  while (true) {
    if (skip_op("|"))
      expr = filter(expr);
    else if (is_name("is"))
      expr = test(expr);
    else if (is_op("("))
      expr = call(expr);
    else
      return expr;
  }
}

// name(arguments), behind the `|`.
Expr* Parser::filter(Expr* input) {
  Expr* expr = make(ExprKind::kFilter, now().line);
  expr->a = input;
  expr->name = expect_any_name("a filter's name");
  while (skip_op(".")) expr->name += "." + expect_any_name("a filter's name");
  expr->filter = find_filter(expr->name);
  if (is_op("(")) arguments(expr);
  return finish(expr);
}

// filter | filter | ..., from the first name on.
Expr* Parser::filter_chain(Expr* input) {
  Expr* expr = filter(input);
  while (skip_op("|")) expr = filter(expr);
  return expr;
}

Expr* Parser::test(Expr* input) {
  Expr* expr = make(ExprKind::kTest, now().line);
  next();
  const bool negated = skip_name("not");
  expr->a = input;
  expr->name = expect_any_name("a test's name");
  while (skip_op(".")) expr->name += "." + expect_any_name("a test's name");
  expr->test = find_test(expr->name);
  if (is_op("(")) {
    arguments(expr);
  } else {
    // An argument may follow without brackets: `x is divisibleby 3`.
    const TokenKind kind = now().kind;
    const bool starts = kind == TokenKind::kName || kind == TokenKind::kString ||
                        kind == TokenKind::kInteger || kind == TokenKind::kFloat || is_op("[") || is_op("{");
    if (starts && !is_name("else") && !is_name("or") && !is_name("and")) {
      if (is_name("is")) fail("found 'is', expected one test only");
      const Nesting nesting(*this);
      expr->items.push_back(postfix(primary()));
    }
  }
  finish(expr);
  if (!negated) return expr;
  Expr* inverse = make(ExprKind::kNot, expr->line);
  inverse->a = expr;
  return finish(inverse);
}

Expr* Parser::subscript(Expr* object) {
  const int line = now().line;
  if (skip_op(".")) {
    if (now().kind == TokenKind::kInteger) {
      Expr* expr = make(ExprKind::kSubscript, line);
      expr->a = object;
      expr->b = primary();
      return finish(expr);
    }
    Expr* expr = make(ExprKind::kAttribute, line);
    expr->a = object;
    expr->name = expect_any_name("an attribute's name");
    expr->constant = Value::string(expr->name);
    return finish(expr);
  }
  expect_op("[");
  std::vector<Expr*> keys;
  Expr* slice = nullptr;
  while (!is_op("]")) {
    if (!keys.empty() || slice) expect_op(",");
    Expr* parts[3] = {nullptr, nullptr, nullptr};
    int colons = 0;
    while (!is_op("]") && !is_op(",")) {
      if (is_op(":")) {
        if (++colons > 2) fail("found ':', expected ']'");
        next();
      } else if (parts[colons]) {
        fail(fmt::format("found {}, expected ':' or ']'", describe()));
      } else {
        parts[colons] = expression();
      }
    }
    if (colons > 0) {
      if (slice || !keys.empty()) fail("found a slice, expected a single key");
      slice = make(ExprKind::kSlice, line);
      slice->a = object;
      slice->items.assign(parts, parts + 3);
    } else if (parts[0]) {
      if (slice) fail("found a second key, expected ']' behind a slice");
      keys.push_back(parts[0]);
    } else {
      fail(fmt::format("found {}, expected a key", describe()));
    }
  }
  next();
  if (slice) return finish(slice);
  Expr* expr = make(ExprKind::kSubscript, line);
  expr->a = object;
  expr->b = keys.empty() ? nullptr : keys[0];
  if (keys.size() != 1) {
    expr->b = make(ExprKind::kTuple, line);
    expr->b->items = std::move(keys);
    finish(expr->b);
  }
  return finish(expr);
}

Expr* Parser::call(Expr* callee) {
  Expr* expr = make(ExprKind::kCall, now().line);
  expr->a = callee;
  arguments(expr);
  return finish(expr);
}

void Parser::arguments(Expr* into) {
  expect_op("(");
  while (!is_op(")")) {
    if (skip_op("*")) {
      if (into->star || into->star_star) fail("found a second '*', expected one at most");
      into->star = expression();
    } else if (skip_op("**")) {
      if (into->star_star) fail("found a second '**', expected one at most");
      into->star_star = expression();
    } else if (now().kind == TokenKind::kName && ahead().kind == TokenKind::kOperator &&
               ahead().text == "=") {
      if (into->star_star) fail("found an argument behind '**', expected ')'");
      std::string name = now().text;
      next();
      next();
      for (const auto& [other, value] : into->named)
        if (other == name) fail(fmt::format("argument '{}' is given twice", name));
      into->named.emplace_back(std::move(name), expression());
    } else {
      if (!into->named.empty() || into->star || into->star_star)
        fail("found an argument without a name behind a named one");
      into->items.push_back(expression());
    }
    if (!is_op(")")) expect_op(",");
  }
  next();
}

}  // namespace hoist::text::jinja
