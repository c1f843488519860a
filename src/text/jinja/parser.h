// Recursive descent over the tokens of a template. Expressions are in parser.cc, statements in
// parser_statements.cc. Errors: Error(kCorrupt), or kUnsupported for tags of Jinja's that are absent here.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace hoist::text::jinja {

class Parser {
 public:
  Parser(std::string_view text, Program& program);
  void parse_template();

 private:
  // Caps on what a template may be, far above any real one: nesting of tags and brackets, height of the tree
  // of one expression, nodes.
  static constexpr int kMaxNesting = 100;
  static constexpr int kMaxHeight = 200;
  static constexpr size_t kMaxNodes = 200'000;

  struct Nesting;  // counts one level for as long as it lives

  [[noreturn]] void fail(std::string_view message) const;
  [[noreturn]] void fail_at(int line, std::string_view message) const;

  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  void next() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  bool is_op(std::string_view op) const { return now().kind == TokenKind::kOperator && now().text == op; }
  bool is_name(std::string_view name) const { return now().kind == TokenKind::kName && now().text == name; }
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  std::string expect_any_name(std::string_view what);
  std::string describe() const;  // the current token, for messages

  int slot_of(const std::string& name);
  Expr* make(ExprKind kind, int line);
  Expr* finish(Expr* expr);  // computes its height, checks the cap
  Stmt* make_stmt(StmtKind kind, int line);

  // Expressions, loosest first.
  Expr* expression(bool with_condition = true);
  Expr* tuple(bool with_condition, bool parenthesized, std::string_view end_name);
  bool at_tuple_end(std::string_view end_name) const;
  Expr* condition();
  Expr* disjunction();
  Expr* conjunction();
  Expr* negation();
  Expr* comparison();
  Expr* sum();
  Expr* concat();
  Expr* product();
  Expr* power();
  Expr* unary(bool with_filter);
  Expr* primary();
  Expr* name_or_constant();
  Expr* list();
  Expr* dict();
  Expr* postfix(Expr* expr);
  Expr* filters_and_tests(Expr* expr);
  Expr* filter(Expr* input);
  Expr* filter_chain(Expr* input);
  Expr* test(Expr* input);
  Expr* subscript(Expr* object);
  Expr* call(Expr* callee);
  void arguments(Expr* into);
  Expr* binary(Op op, Expr* a, Expr* b);

  // Statements.
  Body body_until(std::initializer_list<std::string_view> ends);
  Stmt* statement();
  Stmt* for_statement(int line);
  Stmt* if_statement(int line);
  Stmt* set_statement(int line);
  Stmt* with_statement(int line);
  Stmt* macro_statement(int line);
  Stmt* call_statement(int line);
  Stmt* filter_statement(int line);
  void signature(MacroCode& macro);
  void macro_body(MacroCode& macro, std::string_view end);
  Target target(bool with_attribute, std::string_view end_name);
  Target single_target(bool with_attribute);
  void end_tag();
  void drop_end(std::string_view name);

  Program& program_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;  // `for`s around this place, up to the macro
  std::map<std::string, int, std::less<>> slots_;
  std::vector<std::string_view> open_tags_;
  // What surrounds a name decides what it marks: every macro it is in, the loops up to it.
  std::vector<MacroCode*> macros_;
  std::vector<Stmt*> open_loops_;
};

struct Parser::Nesting {
  explicit Nesting(Parser& parser) : parser(parser) {
    if (++parser.nesting_ > kMaxNesting) parser.fail("tags and brackets nest too deep");
  }
  ~Nesting() { --parser.nesting_; }
  Parser& parser;
};

}  // namespace hoist::text::jinja
