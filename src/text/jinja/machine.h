// One render: the evaluator's state, its caps, and what filters, tests and methods call back.
//
// evaluate.cc has expressions, execute.cc statements and calls, operators.cc arithmetic and comparison,
// print.cc str, repr and JSON, attributes.cc what `.` and `[]` find.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/value.h"

namespace hoist::text::jinja {

struct Args {
  Items positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Machine;
using GlobalFn = Value (*)(Machine&, const Args&);
using MethodFn = Value (*)(Machine&, const Value& self, const Args&);

struct MethodEntry {
  std::string_view name;
  MethodFn fn;  // null: it would change the value, which a template may not
};

// Variables of a loop, macro or `with`; the template's own top level is not one of these.
struct Scope {
  Scope* parent = nullptr;
  bool captured = false;  // a macro made here may still look into it
  std::vector<std::pair<int, Value>> variables;
};

struct FunctionObject : NativeObject {
  FunctionObject() : NativeObject(NativeKind::kFunction) {}
  std::string_view name;
  GlobalFn fn = nullptr;
};

struct MethodObject : NativeObject {
  MethodObject() : NativeObject(NativeKind::kMethod) {}
  Value self;
  const MethodEntry* entry = nullptr;  // null: the loop's method `name`
  std::string name;
};

struct MacroObject : NativeObject {
  MacroObject() : NativeObject(NativeKind::kMacro) {}
  const MacroCode* code = nullptr;
  Scope* scope = nullptr;  // where it was made
};

struct NamespaceObject : NativeObject {
  NamespaceObject() : NativeObject(NativeKind::kNamespace) {}
  std::vector<std::pair<std::string, Value>> attributes;
};

struct LoopObject : NativeObject {
  LoopObject() : NativeObject(NativeKind::kLoop) {}
  const Stmt* stmt = nullptr;
  Value items;
  size_t index = 0;
  int depth = 1;
  Scope* scope = nullptr;  // around the loop, for recursion
  std::optional<Items> last_changed;
};

class Machine {
 public:
  Machine(const Program& program, const Value& variables, const RenderOptions& options);
  RenderResult run();
  const RenderOptions& options() const { return options_; }

  // Errors: a type error or an undefined value; a cap.
  [[noreturn]] void fail(std::string_view message) const;
  [[noreturn]] void exhausted(std::string_view message) const;
  // Spends fuel: steps, or the bytes and items a builtin goes over.
  void burn(uint64_t steps) {
    if (steps > fuel_) exhausted("the render took too many steps");
    fuel_ -= steps;
  }
  void burn_bytes(size_t bytes) { burn(1 + bytes / 32); }
  // A search for `part` bytes in `text` bytes, whose worst case is their product.
  void burn_search(size_t text, size_t part) { burn((1 + text / 32) * (1 + part / 32)); }
  // Whether `bytes` more may be held: asked before something of that size is built.
  void check_memory(size_t bytes) const {
    if (bytes > options_.limits.max_memory_bytes - meter_.live) exhausted("the values grew too large");
  }

  // Values of this render.
  Value str(std::string text);
  Value str_of(std::string_view text) { return str(std::string(text)); }
  Value sequence(Items items, Flavor flavor = Flavor::kList);
  Value dict(Entries entries);
  Value undefined(std::string message);
  Value new_namespace(std::vector<std::pair<std::string, Value>> attributes);

  // Conversions as Python's str(), repr() and json.dumps() do them.
  std::string text(const Value& v);
  void append_text(std::string& out, const Value& v);
  void append_repr(std::string& out, const Value& v, int depth = 0);
  struct JsonStyle {
    bool ascii = false, sort_keys = false, multiline = false;
    std::string indent, item_separator = ", ", key_separator = ": ";
  };
  void append_json(std::string& out, const Value& v, const JsonStyle& style, int depth = 0);

  // Refuses undefined values, naming what is undefined.
  void need_defined(const Value& v) const;
  int64_t need_int(const Value& v, std::string_view what) const;
  const std::string& need_string(const Value& v, std::string_view what) const;

  // What iterating over `v` gives, as a sequence; a generator is used up by it.
  Value iterate(const Value& v);
  std::optional<size_t> length(const Value& v) const;

  // Operators.
  Value binary(Op op, const Value& a, const Value& b);
  Value unary(Op op, const Value& v);
  bool equal(const Value& a, const Value& b);
  bool less(const Value& a, const Value& b);  // refuses values without an order
  bool compare(Op op, const Value& a, const Value& b);
  bool contains(const Value& container, const Value& item);
  // printf-style formatting: the % operator.
  std::string format_percent(const std::string& format, const Value& args);

  // What `object.name` and `object[key]` give; undefined when nothing.
  Value attribute(const Value& object, const Value& name);
  Value subscript(const Value& object, const Value& key);
  Value slice(const Value& object, const Value& start, const Value& stop, const Value& step);
  // A path "a.b.0" as filters take it, or a number.
  Value attribute_path(const Value& object, const Value& path, const Value* otherwise);

  Value call(const Value& callee, Args args);
  Value apply_filter(const std::string& name, const FilterEntry* filter, const Value& input,
                     const Args& args);
  bool apply_test(const std::string& name, const TestEntry* test, const Value& input, const Args& args);

 private:
  enum class Flow : uint8_t { kNext, kBreak, kContinue };
  struct Level;    // one level of depth, one step
  struct Inner;    // a scope for as long as it lives
  struct Capture;  // output goes to a text of its own

  Value eval(const Expr& e);
  Value eval_deeper(const Expr& e);
  Value eval_concat(const Expr& e);
  Value eval_compare(const Expr& e);
  Value eval_sequence(const Expr& e);
  Value eval_dict(const Expr& e);
  Value eval_slice(const Expr& e);
  Value eval_call(const Expr& e, const Value* caller);
  Value eval_filter(const Expr& e);
  bool eval_test(const Expr& e);
  Args eval_args(const Expr& e);

  Flow exec(const Body& body);
  Flow exec_one(const Stmt& s);
  Flow exec_if(const Stmt& s);
  Flow exec_with(const Stmt& s);
  void exec_for(const Stmt& s);
  void run_loop(const Stmt& s, const Value& over, int depth, Scope* around);
  void exec_set_block(const Stmt& s);
  void exec_call_block(const Stmt& s);
  void exec_filter_block(const Stmt& s);
  void exec_generation(const Stmt& s);
  Value call_macro(const MacroObject& macro, Args args);
  Value call_loop(const LoopObject& loop, std::string_view name, Args args);
  Value loop_attribute(const Value& loop, std::string_view name);
  void assign(const Target& target, const Value& value);
  void write(std::string_view text);
  void write_value(const Value& v);

  const Value* find_variable(int slot);
  void set_variable(int slot, Value value);
  void charge(Object& object, size_t bytes);
  Value macro_value(const MacroCode& code);

  const Program& program_;
  const RenderOptions& options_;
  // Destroyed after everything that holds values.
  mutable Meter meter_;
  uint64_t fuel_;
  int depth_ = 0;
  int line_ = 1;
  std::vector<std::optional<Value>> top_;  // variables of the top level, by slot
  std::deque<Scope> scopes_;
  std::vector<Scope*> free_scopes_;
  Scope* scope_ = nullptr;  // null: the top level
  std::deque<NamespaceObject> namespaces_;
  std::deque<MacroObject> macros_;
  std::deque<LoopObject> loops_;
  Value block_text_;
  std::string* out_ = nullptr;
  size_t written_ = 0;  // bytes in all outputs that are open
  RenderResult result_;
};

// Arguments of a builtin, bound to the names of its parameters.
class Bound {
 public:
  // Refuses unknown names, a parameter given twice, too many, or fewer than `required`.
  Bound(Machine& machine, std::string_view function, const Args& args,
        std::initializer_list<std::string_view> names, size_t required = 0);
  const Value* operator[](size_t i) const { return values_[i]; }  // null: not given
  bool flag(size_t i, bool otherwise) const { return values_[i] ? truthy(*values_[i]) : otherwise; }
  int64_t number(size_t i, int64_t otherwise) const;
  const std::string& string(size_t i) const;  // must be given

 private:
  static constexpr size_t kMax = 6;
  Machine& machine_;
  std::string_view function_;
  const Value* values_[kMax] = {};
};

const MethodEntry* find_method(const Value& self, std::string_view name);
GlobalFn find_global(std::string_view name);
// str.replace; `limit` < 0: all. And str.center and its kin: align is '<', '>' or '^'.
std::string replaced(Machine& machine, const std::string& text, const std::string& from,
                     const std::string& to, int64_t limit);
std::string justified(Machine& machine, const std::string& text, int64_t width, const std::string& fill,
                      char align);
// str.format, and time.strftime in English.
std::string format_braces(Machine& machine, const std::string& format, const Args& args);
std::string strftime_text(std::string_view format, int64_t unix_seconds, int utc_offset_seconds);

}  // namespace hoist::text::jinja
