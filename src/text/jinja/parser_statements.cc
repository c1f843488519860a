// Statements of the template parser; see parser.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/jinja/parser.h"

namespace hoist::text::jinja {

void Parser::parse_template() {
  program_.body = body_until({});
  if (now().kind != TokenKind::kEnd) fail(fmt::format("found {}, expected text or a tag", describe()));
}

Stmt* Parser::make_stmt(StmtKind kind, int line) {
  if (program_.exprs.size() + program_.stmts.size() >= kMaxNodes)
    fail(fmt::format("the template has more than {} nodes", kMaxNodes));
  Stmt& stmt = program_.stmts.emplace_back();
  stmt.kind = kind;
  stmt.line = line;
  return &stmt;
}

void Parser::end_tag() {
  if (now().kind != TokenKind::kBlockEnd) fail(fmt::format("found {}, expected '%}}'", describe()));
  next();
}

void Parser::drop_end(std::string_view name) {
  expect_name(name);
  end_tag();
}

// Statements up to a tag that begins with one of `ends`, whose name is then the current token.
Body Parser::body_until(std::initializer_list<std::string_view> ends) {
  const Nesting nesting(*this);
  Body body;
  while (true) {
    switch (now().kind) {
      case TokenKind::kEnd:
        if (ends.size() != 0) {
          fail(fmt::format("found the end of the template, expected '{}'", fmt::join(ends, "' or '")));
        }
        return body;
      case TokenKind::kText: {
        Stmt* stmt = make_stmt(StmtKind::kText, now().line);
        stmt->text = now().text;
        body.push_back(stmt);
        next();
        break;
      }
      case TokenKind::kOutputBegin: {
        Stmt* stmt = make_stmt(StmtKind::kOutput, now().line);
        next();
        stmt->expr = tuple(true, false, "");
        if (now().kind != TokenKind::kOutputEnd) fail(fmt::format("found {}, expected '}}}}'", describe()));
        next();
        body.push_back(stmt);
        break;
      }
      case TokenKind::kBlockBegin:
        next();
        if (std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return is_name(end); }))
          return body;
        if (now().kind == TokenKind::kName && now().text.starts_with("end")) {
          fail(ends.size() == 0
                   ? fmt::format("found '{}', but nothing is open", now().text)
                   : fmt::format("found '{}', expected '{}'", now().text, fmt::join(ends, "' or '")));
        }
        body.push_back(statement());
        break;
      default: fail(fmt::format("found {}, expected text or a tag", describe()));
    }
  }
}

Stmt* Parser::statement() {
  const int line = now().line;
  const std::string tag = expect_any_name("a tag's name");
  if (tag == "for") return for_statement(line);
  if (tag == "if") return if_statement(line);
  if (tag == "set") return set_statement(line);
  if (tag == "with") return with_statement(line);
  if (tag == "macro") return macro_statement(line);
  if (tag == "call") return call_statement(line);
  if (tag == "filter") return filter_statement(line);
  if (tag == "generation") {
    Stmt* stmt = make_stmt(StmtKind::kGeneration, line);
    end_tag();
    const int loops = std::exchange(loops_, 0);
    stmt->body = body_until({"endgeneration"});
    loops_ = loops;
    drop_end("endgeneration");
    return stmt;
  }
  if (tag == "break" || tag == "continue") {
    if (loops_ == 0) fail_at(line, fmt::format("found '{}' outside of a loop", tag));
    end_tag();
    return make_stmt(tag == "break" ? StmtKind::kBreak : StmtKind::kContinue, line);
  }
  for (const char* known : {"block", "extends", "include", "import", "from", "autoescape", "print", "do"}) {
    if (tag == known) {
      throw_unsupported(fmt::format("{}: line {}: the tag '{}' is not supported in chat templates",
                                    program_.source, line, tag));
    }
  }
  fail_at(line, fmt::format("unknown tag '{}'", tag));
}

Stmt* Parser::for_statement(int line) {
  Stmt* stmt = make_stmt(StmtKind::kFor, line);
  stmt->slot = slot_of("loop");
  stmt->target = target(false, "in");
  expect_name("in");
  stmt->expr = tuple(false, false, "recursive");
  if (skip_name("if")) stmt->filter = expression();
  stmt->recursive = skip_name("recursive");
  stmt->uses_loop = stmt->recursive;
  end_tag();
  ++loops_;
  open_loops_.push_back(stmt);
  stmt->body = body_until({"endfor", "else"});
  open_loops_.pop_back();
  --loops_;
  if (skip_name("else")) {
    end_tag();
    stmt->otherwise = body_until({"endfor"});
  }
  drop_end("endfor");
  return stmt;
}

Stmt* Parser::if_statement(int line) {
  Stmt* stmt = make_stmt(StmtKind::kIf, line);
  while (true) {
    Expr* condition = tuple(false, false, "");
    end_tag();
    Body body = body_until({"elif", "else", "endif"});
    stmt->branches.emplace_back(condition, std::move(body));
    if (skip_name("elif")) continue;
    if (skip_name("else")) {
      end_tag();
      stmt->branches.emplace_back(nullptr, body_until({"endif"}));
    }
    drop_end("endif");
    return stmt;
  }
}

Stmt* Parser::set_statement(int line) {
  Stmt* stmt = make_stmt(StmtKind::kSet, line);
  stmt->target = target(true, "");
  if (skip_op("=")) {
    stmt->expr = tuple(true, false, "");
    end_tag();
    return stmt;
  }
  stmt->kind = StmtKind::kSetBlock;
  if (skip_op("|")) stmt->expr = filter_chain(nullptr);
  end_tag();
  const int loops = std::exchange(loops_, 0);
  stmt->body = body_until({"endset"});
  loops_ = loops;
  drop_end("endset");
  return stmt;
}

Stmt* Parser::with_statement(int line) {
  Stmt* stmt = make_stmt(StmtKind::kWith, line);
  while (now().kind != TokenKind::kBlockEnd) {
    if (!stmt->bindings.empty()) expect_op(",");
    Target to = single_target(false);
    expect_op("=");
    stmt->bindings.emplace_back(std::move(to), expression());
  }
  end_tag();
  stmt->body = body_until({"endwith"});
  drop_end("endwith");
  return stmt;
}

void Parser::signature(MacroCode& macro) {
  expect_op("(");
  while (!is_op(")")) {
    std::string name = expect_any_name("a parameter's name");
    for (const auto& [other, slot] : macro.parameters)
      if (other == name) fail(fmt::format("parameter '{}' is given twice", name));
    const int slot = slot_of(name);
    macro.parameters.emplace_back(std::move(name), slot);
    if (skip_op("="))
      macro.defaults.push_back(expression());
    else if (!macro.defaults.empty())
      fail("found a parameter without a default behind one with a default");
    if (!is_op(")")) expect_op(",");
  }
  next();
}

void Parser::macro_body(MacroCode& macro, std::string_view end) {
  macro.caller_slot = slot_of("caller");
  macro.varargs_slot = slot_of("varargs");
  macro.kwargs_slot = slot_of("kwargs");
  const int loops = std::exchange(loops_, 0);
  macros_.push_back(&macro);
  macro.body = body_until({end});
  macros_.pop_back();
  loops_ = loops;
}

Stmt* Parser::macro_statement(int line) {
  Stmt* stmt = make_stmt(StmtKind::kMacro, line);
  stmt->macro.name = expect_any_name("the macro's name");
  stmt->slot = slot_of(stmt->macro.name);
  signature(stmt->macro);
  end_tag();
  macro_body(stmt->macro, "endmacro");
  drop_end("endmacro");
  return stmt;
}

Stmt* Parser::call_statement(int line) {
  Stmt* stmt = make_stmt(StmtKind::kCallBlock, line);
  stmt->macro.name = "caller";
  if (is_op("(")) signature(stmt->macro);
  stmt->expr = expression();
  if (stmt->expr->kind != ExprKind::kCall) fail_at(line, "expected a call behind 'call'");
  end_tag();
  macro_body(stmt->macro, "endcall");
  drop_end("endcall");
  return stmt;
}

Stmt* Parser::filter_statement(int line) {
  Stmt* stmt = make_stmt(StmtKind::kFilterBlock, line);
  stmt->expr = filter_chain(nullptr);
  end_tag();
  const int loops = std::exchange(loops_, 0);
  stmt->body = body_until({"endfilter"});
  loops_ = loops;
  drop_end("endfilter");
  return stmt;
}

Target Parser::target(bool with_attribute, std::string_view end_name) {
  Target first = single_target(with_attribute);
  if (!is_op(",")) return first;
  Target all;
  all.parts.push_back(std::move(first));
  while (skip_op(",")) {
    const bool end =
        now().kind == TokenKind::kBlockEnd || is_op("=") || (!end_name.empty() && is_name(end_name));
    if (end) break;
    all.parts.push_back(single_target(with_attribute));
  }
  return all;
}

Target Parser::single_target(bool with_attribute) {
  const Nesting nesting(*this);
  if (skip_op("(")) {
    Target inner = target(with_attribute, "");
    expect_op(")");
    return inner;
  }
  for (const char* fixed : {"true", "false", "none", "True", "False", "None"})
    if (is_name(fixed)) fail(fmt::format("'{}' cannot be assigned to", fixed));
  const std::string name = expect_any_name("a variable's name");
  Target target;
  target.slot = slot_of(name);
  if (with_attribute && skip_op(".")) target.attribute = expect_any_name("an attribute's name");
  return target;
}

}  // namespace hoist::text::jinja
