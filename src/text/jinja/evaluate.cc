// Expressions: from a tree to a value.
#include <fmt/format.h>

#include "text/jinja/filters.h"
#include "text/jinja/machine.h"
#include "text/jinja/machine_scope.h"
#include "text/jinja/strings.h"

namespace hoist::text::jinja {

using Kind = Value::Kind;

Value Machine::eval(const Expr& e) {
  if (e.kind == ExprKind::kConstant) return e.constant;
  return eval_deeper(e);
}

Value Machine::eval_deeper(const Expr& e) {
  const Level level(*this);
  line_ = e.line;
  switch (e.kind) {
    case ExprKind::kConstant: return e.constant;
    case ExprKind::kName: {
      const Value* found = find_variable(e.slot);
      return found ? *found : undefined(fmt::format("'{}' is undefined", e.name));
    }
    case ExprKind::kList:
    case ExprKind::kTuple: return eval_sequence(e);
    case ExprKind::kDict: return eval_dict(e);
    case ExprKind::kUnary: return unary(e.op, eval(*e.a));
    case ExprKind::kBinary: {
      const Value a = eval(*e.a), b = eval(*e.b);
      return binary(e.op, a, b);
    }
    case ExprKind::kAnd: {
      Value a = eval(*e.a);
      return truthy(a) ? eval(*e.b) : a;
    }
    case ExprKind::kOr: {
      Value a = eval(*e.a);
      return truthy(a) ? a : eval(*e.b);
    }
    case ExprKind::kNot: return Value::boolean(!truthy(eval(*e.a)));
    case ExprKind::kConcat: return eval_concat(e);
    case ExprKind::kCompare: return eval_compare(e);
    case ExprKind::kCondition:
      if (truthy(eval(*e.b))) return eval(*e.a);
      if (e.c) return eval(*e.c);
      return undefined("the inline if-expression evaluated to false and no else section was defined");
    case ExprKind::kAttribute: {
      const Value object = eval(*e.a);
      return attribute(object, e.constant);
    }
    case ExprKind::kSubscript: {
      const Value object = eval(*e.a), key = eval(*e.b);
      return subscript(object, key);
    }
    case ExprKind::kSlice: return eval_slice(e);
    case ExprKind::kCall: return eval_call(e, nullptr);
    case ExprKind::kFilter: return eval_filter(e);
    case ExprKind::kTest: return Value::boolean(eval_test(e));
  }
  return Value();
}

Value Machine::eval_concat(const Expr& e) {
  std::string out;
  for (const Expr* item : e.items) {
    append_text(out, eval(*item));
    check_memory(out.size());
  }
  return str(std::move(out));
}

// a < b < c evaluates each once, and stops at the first that fails.
Value Machine::eval_compare(const Expr& e) {
  Value left = eval(*e.items[0]);
  for (size_t i = 0; i < e.ops.size(); ++i) {
    Value right = eval(*e.items[i + 1]);
    if (!compare(e.ops[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Machine::eval_sequence(const Expr& e) {
  Items items;
  items.reserve(e.items.size());
  for (const Expr* item : e.items) items.push_back(eval(*item));
  return sequence(std::move(items), e.kind == ExprKind::kTuple ? Flavor::kTuple : Flavor::kList);
}

Value Machine::eval_dict(const Expr& e) {
  Entries entries;
  for (size_t i = 0; i < e.items.size(); i += 2) {
    Value key = eval(*e.items[i]);
    entries.emplace_back(std::move(key), eval(*e.items[i + 1]));
  }
  return dict(std::move(entries));
}

Value Machine::eval_slice(const Expr& e) {
  const Value object = eval(*e.a);
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) bounds[i] = e.items[i] ? eval(*e.items[i]) : Value::none();
  return slice(object, bounds[0], bounds[1], bounds[2]);
}

Args Machine::eval_args(const Expr& e) {
  Args args;
  args.positional.reserve(e.items.size());
  for (const Expr* item : e.items) args.positional.push_back(eval(*item));
  for (const auto& [name, value] : e.named) args.named.emplace_back(name, eval(*value));
  if (e.star) {
    const Value more = iterate(eval(*e.star));
    check_memory(more.items().size() * sizeof(Value));
    args.positional.insert(args.positional.end(), more.items().begin(), more.items().end());
  }
  if (e.star_star) {
    const Value more = eval(*e.star_star);
    need_defined(more);
    if (!more.is_dict()) fail(fmt::format("found a {} behind '**', expected a dict", type_name(more)));
    for (const auto& [key, value] : more.entries()) {
      burn(1 + args.named.size());
      const std::string& name = need_string(key, "keys behind '**'");
      for (const auto& [other, ignored] : args.named)
        if (other == name) fail(fmt::format("argument '{}' is given twice", name));
      args.named.emplace_back(name, value);
    }
  }
  return args;
}

// `caller`, when given, is passed on as the argument of that name: call blocks.
Value Machine::eval_call(const Expr& e, const Value* caller) {
  const MethodEntry* method = nullptr;
  Value callee;  // or what the method is called on
  if (e.a->kind == ExprKind::kAttribute) {
    callee = eval(*e.a->a);
    method = find_method(callee, e.a->name);
    if (method && !method->fn) method = nullptr;
    if (!method) callee = attribute(callee, e.a->constant);
  } else {
    callee = eval(*e.a);
  }
  if (!method) need_defined(callee);
  Args args = eval_args(e);
  if (caller) {
    for (const auto& [name, value] : args.named)
      if (name == "caller") fail("argument 'caller' is given twice");
    args.named.emplace_back("caller", *caller);
  }
  line_ = e.line;
  return method ? method->fn(*this, callee, args) : call(callee, std::move(args));
}

// The first filter of a block has nothing in front of it: its input is what the block wrote.
Value Machine::eval_filter(const Expr& e) {
  const Value value = e.a ? eval(*e.a) : block_text_;
  const Args args = eval_args(e);
  line_ = e.line;
  return apply_filter(e.name, e.filter, value, args);
}

bool Machine::eval_test(const Expr& e) {
  const Value value = eval(*e.a);
  const Args args = eval_args(e);
  line_ = e.line;
  return apply_test(e.name, e.test, value, args);
}

Value Machine::apply_filter(const std::string& name, const FilterEntry* filter, const Value& input,
                            const Args& args) {
  if (!filter) fail(fmt::format("no filter named '{}'", name));
  burn(1);
  return filter->fn(*this, input, args);
}

bool Machine::apply_test(const std::string& name, const TestEntry* test, const Value& input,
                         const Args& args) {
  if (!test) fail(fmt::format("no test named '{}'", name));
  burn(1);
  return test->fn(*this, input, args);
}

}  // namespace hoist::text::jinja
