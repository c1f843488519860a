// The parsed template: nodes owned by their Program, linked by plain pointers.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja.h"

namespace hoist::text::jinja {

enum class ExprKind : uint8_t {
  kConstant,
  kName,
  kList,
  kTuple,
  kDict,    // items: key, value, key, value, ...
  kUnary,   // op a
  kBinary,  // a op b
  kAnd,
  kOr,
  kNot,
  kConcat,     // items, joined as text
  kCompare,    // items[0] ops[0] items[1] ops[1] ...
  kCondition,  // a if b else c; c may be null
  kAttribute,  // a.name
  kSubscript,  // a[b]
  kSlice,      // a[items[0]:items[1]:items[2]]; an item may be null
  kCall,       // a(items, named)
  kFilter,     // a | name(items, named); a is null at the head of a filter block
  kTest,       // a is name(items, named)
};

enum class Op : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kFloorDiv,
  kMod,
  kPow,
  kPos,
  kNeg,
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kIn,
  kNotIn,
};

struct FilterEntry;
struct TestEntry;

struct Expr {
  ExprKind kind = ExprKind::kConstant;
  Op op = Op::kAdd;
  int line = 1;
  int depth = 1;
  int slot = -1;  // kName: which variable
  Expr *a = nullptr, *b = nullptr, *c = nullptr;
  std::vector<Expr*> items;
  std::vector<std::pair<std::string, Expr*>> named;
  Expr *star = nullptr, *star_star = nullptr;  // f(*star, **star_star)
  std::vector<Op> ops;
  std::string name;
  Value constant;
  const FilterEntry* filter = nullptr;  // null: no such filter, an error when reached
  const TestEntry* test = nullptr;
};

// What may be assigned to: a name, an attribute of a namespace, or a tuple of these.
struct Target {
  int slot = -1;  // -1: a tuple
  std::string attribute;
  std::vector<Target> parts;
};

enum class StmtKind : uint8_t {
  kText,
  kOutput,
  kIf,
  kFor,
  kSet,
  kSetBlock,
  kWith,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kGeneration,
  kBreak,
  kContinue,
};

struct Stmt;
using Body = std::vector<Stmt*>;

// The signature and body of a macro, or of the caller that a call block makes.
struct MacroCode {
  std::string name;
  std::vector<std::pair<std::string, int>> parameters;  // name, slot
  std::vector<Expr*> defaults;                          // of the last parameters
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
  int caller_slot = -1, varargs_slot = -1, kwargs_slot = -1;
  Body body;
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 1;
  std::string text;
  // kIf: one pair per branch, the condition of `else` null.
  std::vector<std::pair<Expr*, Body>> branches;
  Expr* expr =
      nullptr;  // kOutput, kSet: value; kFor: what to go over; kCallBlock: the call; filters of blocks
  Expr* filter = nullptr;  // kFor: the condition on items
  Target target;
  std::vector<std::pair<Target, Expr*>> bindings;  // kWith
  Body body, otherwise;                            // kFor: otherwise runs when there was no item
  bool recursive = false, uses_loop = false;       // kFor
  int slot = -1;                                   // kFor: of `loop`; kMacro: of the name
  MacroCode macro;
};

struct Program {
  std::string source;
  std::vector<std::string> names;  // of the variables, by slot
  std::deque<Expr> exprs;
  std::deque<Stmt> stmts;
  Body body;
};

}  // namespace hoist::text::jinja
