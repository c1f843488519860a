// Statements, macros and loops; the Machine's caps and charges.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/jinja/machine.h"
#include "text/jinja/machine_scope.h"
#include "text/utf8.h"

namespace hoist::text::jinja {

using Kind = Value::Kind;

namespace {

// A Value that points to an object of the Machine without owning it.
template <class T>
Value unowned(const T& object) {
  return Value(Kind::kObject, std::shared_ptr<const Object>(std::shared_ptr<const Object>(), &object));
}

}  // namespace

Machine::Machine(const Program& program, const Value& variables, const RenderOptions& options)
    : program_(program), options_(options), fuel_(options.limits.max_steps), top_(program.names.size()) {
  for (size_t slot = 0; slot < top_.size(); ++slot) {
    const std::string& name = program.names[slot];
    const Value* given = variables.is_dict() ? variables.find(std::string_view(name)) : nullptr;
    if (given) {
      top_[slot] = *given;
    } else if (const GlobalFn fn = find_global(name)) {
      auto object = std::make_shared<FunctionObject>();
      object->name = name;
      object->fn = fn;
      top_[slot] = Value(Kind::kObject, std::move(object));
    }
  }
}

RenderResult Machine::run() {
  out_ = &result_.text;
  exec(program_.body);
  return std::move(result_);
}

void Machine::fail(std::string_view message) const {
  // What is quoted from a template may be cut within a character.
  throw_invalid(fmt::format("{}: line {}: {}", program_.source, line_, repair_utf8(message)));
}

void Machine::exhausted(std::string_view message) const {
  throw Error(ErrorCode::kResourceExhausted, fmt::format("{}: line {}: {}", program_.source, line_, message));
}

void Machine::charge(Object& object, size_t bytes) {
  check_memory(bytes);
  object.meter = &meter_;
  object.charged = bytes;
  meter_.live += bytes;
}

Value Machine::str(std::string text) {
  burn_bytes(text.size());
  auto object = std::make_shared<StringObject>();
  charge(*object, sizeof(StringObject) + 32 + text.size());
  object->text = std::move(text);
  return Value(Kind::kString, std::move(object));
}

Value Machine::sequence(Items items, Flavor flavor) {
  burn(1 + items.size() / 4);
  check_memory(items.size() * sizeof(Value));
  auto object = make_sequence(std::move(items), flavor);
  charge(*object, sizeof(SequenceObject) + 32 + object->items.size() * sizeof(Value));
  if (object->depth > Value::kMaxDepth)
    exhausted(fmt::format("values nest deeper than {}", Value::kMaxDepth));
  return Value(Kind::kSequence, std::move(object));
}

Value Machine::dict(Entries entries) {
  burn(1 + entries.size());
  check_memory(entries.size() * 2 * sizeof(Value));
  for (const auto& [key, value] : entries) {
    need_defined(key);
    if (!is_hashable(key)) fail(fmt::format("a {} cannot be a key", type_name(key)));
  }
  auto object = make_dict(std::move(entries));
  charge(*object, sizeof(DictObject) + 32 + object->entries.size() * (2 * sizeof(Value) + 4));
  if (object->depth > Value::kMaxDepth)
    exhausted(fmt::format("values nest deeper than {}", Value::kMaxDepth));
  return Value(Kind::kDict, std::move(object));
}

Value Machine::undefined(std::string message) {
  auto object = std::make_shared<StringObject>();
  charge(*object, sizeof(StringObject) + 32 + message.size());
  object->text = std::move(message);
  return Value(Kind::kUndefined, std::move(object));
}

Value Machine::new_namespace(std::vector<std::pair<std::string, Value>> attributes) {
  check_memory(sizeof(NamespaceObject) + 64 * attributes.size());
  meter_.live += sizeof(NamespaceObject) + 64 * attributes.size();
  NamespaceObject& space = namespaces_.emplace_back();
  space.attributes = std::move(attributes);
  return unowned(space);
}

const Value* Machine::find_variable(int slot) {
  for (const Scope* scope = scope_; scope; scope = scope->parent) {
    burn(scope->variables.size() / 8);
    for (const auto& [other, value] : scope->variables)
      if (other == slot) return &value;
  }
  const auto& top = top_[static_cast<size_t>(slot)];
  return top ? &*top : nullptr;
}

void Machine::set_variable(int slot, Value value) {
  if (!scope_) {
    top_[static_cast<size_t>(slot)] = std::move(value);
    return;
  }
  for (auto& [other, old] : scope_->variables) {
    if (other == slot) {
      old = std::move(value);
      return;
    }
  }
  scope_->variables.emplace_back(slot, std::move(value));
}

void Machine::assign(const Target& target, const Value& value) {
  if (target.slot < 0) {
    need_defined(value);
    const Value items = iterate(value);
    if (items.items().size() != target.parts.size()) {
      fail(fmt::format("found {} values to unpack, expected {}", items.items().size(), target.parts.size()));
    }
    for (size_t i = 0; i < target.parts.size(); ++i) assign(target.parts[i], items.items()[i]);
    return;
  }
  if (target.attribute.empty()) {
    set_variable(target.slot, value);
    return;
  }
  const Value* found = find_variable(target.slot);
  if (!found || !is_native(*found, NativeKind::kNamespace))
    fail(fmt::format("cannot set attribute '{}' of something that is not a namespace", target.attribute));
  // The one value that changes; it belongs to this render.
  auto& attributes =
      const_cast<NamespaceObject&>(static_cast<const NamespaceObject&>(native_of(*found))).attributes;
  for (auto& [name, old] : attributes) {
    if (name == target.attribute) {
      old = value;
      return;
    }
  }
  check_memory(64);
  meter_.live += 64;
  attributes.emplace_back(target.attribute, value);
}

void Machine::write(std::string_view text) {
  burn_bytes(text.size());
  if (text.size() > options_.limits.max_output_bytes - written_)
    exhausted(fmt::format("the output is longer than {} bytes", options_.limits.max_output_bytes));
  written_ += text.size();
  *out_ += text;
}

void Machine::write_value(const Value& v) {
  if (v.is_string())
    write(v.as_string());
  else
    write(text(v));
}

Machine::Flow Machine::exec(const Body& body) {
  for (const Stmt* stmt : body) {
    const Flow flow = exec_one(*stmt);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Machine::Flow Machine::exec_one(const Stmt& s) {
  const Level level(*this);
  line_ = s.line;
  switch (s.kind) {
    case StmtKind::kText: write(s.text); break;
    case StmtKind::kOutput: write_value(eval(*s.expr)); break;
    case StmtKind::kIf: return exec_if(s);
    case StmtKind::kFor: exec_for(s); break;
    case StmtKind::kSet: assign(s.target, eval(*s.expr)); break;
    case StmtKind::kSetBlock: exec_set_block(s); break;
    case StmtKind::kWith: return exec_with(s);
    case StmtKind::kMacro: set_variable(s.slot, macro_value(s.macro)); break;
    case StmtKind::kCallBlock: exec_call_block(s); break;
    case StmtKind::kFilterBlock: exec_filter_block(s); break;
    case StmtKind::kGeneration: exec_generation(s); break;
    case StmtKind::kBreak: return Flow::kBreak;
    case StmtKind::kContinue: return Flow::kContinue;
  }
  return Flow::kNext;
}

Machine::Flow Machine::exec_if(const Stmt& s) {
  for (const auto& [condition, body] : s.branches)
    if (!condition || truthy(eval(*condition))) return exec(body);
  return Flow::kNext;
}

// The values are those of the surroundings: bindings do not see each other.
Machine::Flow Machine::exec_with(const Stmt& s) {
  Items values;
  for (const auto& [target, expr] : s.bindings) values.push_back(eval(*expr));
  const Inner inner(*this, scope_);
  for (size_t i = 0; i < values.size(); ++i) assign(s.bindings[i].first, values[i]);
  return exec(s.body);
}

void Machine::exec_for(const Stmt& s) { run_loop(s, eval(*s.expr), 1, scope_); }

void Machine::run_loop(const Stmt& s, const Value& over, int depth, Scope* around) {
  Value items = iterate(over);
  if (s.filter) {
    Items kept;
    for (const Value& item : items.items()) {
      const Inner inner(*this, around);
      assign(s.target, item);
      if (truthy(eval(*s.filter))) kept.push_back(item);
    }
    items = sequence(std::move(kept));
  }
  LoopObject* loop = nullptr;
  if (s.uses_loop) {
    check_memory(sizeof(LoopObject));
    meter_.live += sizeof(LoopObject);
    loop = &loops_.emplace_back();
    loop->stmt = &s;
    loop->items = items;
    loop->depth = depth;
    loop->scope = around;
  }
  const size_t count = items.items().size();
  for (size_t i = 0; i < count; ++i) {
    burn(1);
    const Inner inner(*this, around);
    if (loop) {
      loop->index = i;
      set_variable(s.slot, unowned(*loop));
    }
    assign(s.target, items.items()[i]);
    if (exec(s.body) == Flow::kBreak) break;
  }
  if (count == 0) {
    const Inner inner(*this, around);
    exec(s.otherwise);
  }
}

void Machine::exec_set_block(const Stmt& s) {
  Value value;
  {
    Capture capture(*this);
    const Inner inner(*this, scope_);
    exec(s.body);
    value = capture.value();
  }
  if (s.expr) {
    block_text_ = value;
    value = eval(*s.expr);
  }
  assign(s.target, value);
}

void Machine::exec_filter_block(const Stmt& s) {
  Value value;
  {
    Capture capture(*this);
    const Inner inner(*this, scope_);
    exec(s.body);
    value = capture.value();
  }
  block_text_ = value;
  value = eval(*s.expr);
  if (!value.is_string()) fail(fmt::format("filter: found a {}, expected a str", type_name(value)));
  write(value.as_string());
}

void Machine::exec_call_block(const Stmt& s) {
  const Value caller = macro_value(s.macro);
  write_value(eval_call(*s.expr, &caller));
}

void Machine::exec_generation(const Stmt& s) {
  const bool listed = out_ == &result_.text;
  const size_t begin = out_->size();
  const Inner inner(*this, scope_);
  exec(s.body);
  if (!listed) return;
  check_memory(16);
  meter_.live += 16;
  result_.generated.emplace_back(begin, out_->size());
}

Value Machine::macro_value(const MacroCode& code) {
  check_memory(sizeof(MacroObject));
  meter_.live += sizeof(MacroObject);
  MacroObject& macro = macros_.emplace_back();
  macro.code = &code;
  macro.scope = scope_;
  for (Scope* scope = scope_; scope && !scope->captured; scope = scope->parent) scope->captured = true;
  return unowned(macro);
}

Value Machine::call(const Value& callee, Args args) {
  const Level level(*this);
  if (callee.kind() == Kind::kObject) {
    switch (native_of(callee).native) {
      case NativeKind::kFunction:
        return static_cast<const FunctionObject&>(native_of(callee)).fn(*this, args);
      case NativeKind::kMethod: {
        const auto& method = static_cast<const MethodObject&>(native_of(callee));
        if (method.entry) return method.entry->fn(*this, method.self, args);
        return call_loop(static_cast<const LoopObject&>(native_of(method.self)), method.name,
                         std::move(args));
      }
      case NativeKind::kMacro:
        return call_macro(static_cast<const MacroObject&>(native_of(callee)), std::move(args));
      case NativeKind::kLoop:
        return call_loop(static_cast<const LoopObject&>(native_of(callee)), "", std::move(args));
      case NativeKind::kNamespace: break;
    }
  }
  need_defined(callee);
  fail(fmt::format("a {} cannot be called", type_name(callee)));
}

Value Machine::call_macro(const MacroObject& macro, Args args) {
  const MacroCode& code = *macro.code;
  const size_t known = code.parameters.size();
  const auto take = [&](const std::string& name) -> std::optional<Value> {
    for (auto it = args.named.begin(); it != args.named.end(); ++it) {
      if (it->first != name) continue;
      Value value = std::move(it->second);
      args.named.erase(it);
      return value;
    }
    return std::nullopt;
  };
  const int line = line_;
  Capture capture(*this);
  const Inner inner(*this, macro.scope);
  for (size_t i = 0; i < known; ++i) {
    const auto& [name, slot] = code.parameters[i];
    if (i < args.positional.size()) {
      set_variable(slot, args.positional[i]);
      continue;
    }
    const size_t without_default = known - code.defaults.size();
    if (auto value = take(name))
      set_variable(slot, std::move(*value));
    else if (i >= without_default)
      set_variable(slot, eval(*code.defaults[i - without_default]));
    else
      set_variable(slot, undefined(fmt::format("parameter '{}' was not provided", name)));
  }
  const bool explicit_caller = std::any_of(code.parameters.begin(), code.parameters.end(),
                                           [](const auto& p) { return p.first == "caller"; });
  if (code.uses_caller && !explicit_caller) {
    auto value = take("caller");
    set_variable(code.caller_slot, value ? std::move(*value) : undefined("No caller defined"));
  }
  if (code.uses_kwargs) {
    Entries rest;
    for (auto& [name, value] : args.named) rest.emplace_back(str(name), std::move(value));
    set_variable(code.kwargs_slot, dict(std::move(rest)));
  } else if (!args.named.empty()) {
    fail(fmt::format("macro '{}' takes no argument named '{}'", code.name, args.named[0].first));
  }
  if (code.uses_varargs) {
    Items rest;
    for (size_t i = known; i < args.positional.size(); ++i) rest.push_back(args.positional[i]);
    set_variable(code.varargs_slot, sequence(std::move(rest), Flavor::kTuple));
  } else if (args.positional.size() > known) {
    fail(fmt::format("macro '{}' takes at most {} arguments, found {}", code.name, known,
                     args.positional.size()));
  }
  exec(code.body);
  line_ = line;
  return capture.value();
}

Value Machine::call_loop(const LoopObject& loop, std::string_view name, Args args) {
  if (name == "cycle") {
    if (args.positional.empty()) fail("loop.cycle: found no arguments, expected at least one");
    return args.positional[loop.index % args.positional.size()];
  }
  if (name == "changed") {
    auto& last = const_cast<LoopObject&>(loop).last_changed;
    bool same = last && last->size() == args.positional.size();
    for (size_t i = 0; same && i < last->size(); ++i) same = equal((*last)[i], args.positional[i]);
    if (!same) last = args.positional;
    return Value::boolean(!same);
  }
  if (!loop.stmt->recursive) fail("loop: found a call, expected the loop to be marked 'recursive'");
  if (args.positional.size() != 1 || !args.named.empty()) fail("loop: expected one argument");
  Capture capture(*this);
  run_loop(*loop.stmt, args.positional[0], loop.depth + 1, loop.scope);
  return capture.value();
}

}  // namespace hoist::text::jinja
