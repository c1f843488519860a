// Jinja templates, as far as chat templates go: parse once, render many times, with everything capped.
//
// A chat template comes with a model somebody else made, so it is untrusted input. It is a program: this is
// an interpreter of Jinja 3.1's language as the `transformers` library sets it up (sandboxed and immutable,
// trim_blocks and lstrip_blocks on, autoescape off, loop controls, `generation` blocks, its own tojson,
// raise_exception, strftime_now). Each render has fuel, an output cap, a memory cap and a depth cap; each
// parse a size and a depth cap.
//
// Entry points: Template::parse, Template::render, Value::from_json.
//
// What differs from Python: integers have 64 bits (overflow is an error); text marked by `safe` or `escape`
// is plain text; `random`, `urlize`, `xmlattr`, `pprint`, `lipsum`, `cycler`, `joiner`, inheritance,
// `include` and `import` are absent.
//
// Errors: Error with "<source>: line <n>: <what>". kCorrupt: the template breaks the syntax. kUnsupported: a
// tag, filter or test that is absent here. kInvalidArgument: rendering failed, be it a type error, an
// undefined value, or the template's own raise_exception. kResourceExhausted: a cap. Threads: a Template and
// every Value are immutable; any number of threads may render one Template at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hoist::text::jinja {

struct Object;  // what lies behind a string, a list, ...; private to the interpreter

// A value as templates see it: Python's, without a way to change it. Cheap to copy; copies share.
class Value {
 public:
  enum class Kind : uint8_t {
    kUndefined,  // what a missing name or key evaluates to
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,    // UTF-8; indexed and measured in code points
    kSequence,  // list, tuple, range, dict view or generator
    kDict,      // keeps the order of insertion
    kObject,    // function, method, macro, namespace, loop
  };

  Value() = default;  // undefined
  static Value none();
  static Value boolean(bool x);
  static Value integer(int64_t x);
  static Value number(double x);
  static Value string(std::string_view text);  // what is not UTF-8 becomes U+FFFD
  // Error(kInvalidArgument) when values nest deeper than kMaxDepth.
  static Value list(std::vector<Value> items);
  // Of a key given twice the last value counts, at the place of the first.
  static Value dict(std::vector<std::pair<std::string, Value>> entries);
  // Reads JSON. `source` leads the message of an Error(kInvalidArgument): broken syntax, an integer beyond 64
  // bits, or values nested deeper than kMaxDepth.
  static Value from_json(std::string_view json, const std::string& source);

  Kind kind() const { return kind_; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_sequence() const { return kind_ == Kind::kSequence; }
  bool is_dict() const { return kind_ == Kind::kDict; }
  // The member of that kind; asking for another kind's is a bug of the caller.
  bool as_bool() const { return integer_ != 0; }
  int64_t as_int() const { return integer_; }  // also of a bool: 0 or 1
  double as_float() const { return float_; }
  const std::string& as_string() const;
  const std::vector<Value>& items() const;                      // of a sequence
  const std::vector<std::pair<Value, Value>>& entries() const;  // of a dict
  const Value* find(std::string_view key) const;                // of a dict; null: absent
  const Value* find(const Value& key) const;                    // the same for keys of any kind
  Value with(std::string_view key, Value value) const;          // a copy of a dict with one more entry

  static constexpr int kMaxDepth = 100;

  // For the interpreter.
  Value(Kind kind, std::shared_ptr<const Object> object) : kind_(kind), object_(std::move(object)) {}
  const Object* object() const { return object_.get(); }

 private:
  Kind kind_ = Kind::kUndefined;
  union {
    int64_t integer_ = 0;
    double float_;
  };
  std::shared_ptr<const Object> object_;
};

// Caps of one render. A template of the usual size uses a few hundred steps a message.
struct Limits {
  uint64_t max_steps = 20'000'000;  // one step: one node evaluated, one item or 32 bytes handled
  size_t max_output_bytes = size_t{16} << 20;
  size_t max_memory_bytes = size_t{64} << 20;  // values alive at once, besides those passed in
  int max_depth = 500;                         // nested statements, expressions and macro calls together
};

struct RenderOptions {
  Limits limits;
  // What strftime_now shows: seconds since 1970-01-01 00:00 UTC, and the zone's distance from UTC.
  int64_t now_unix_seconds = 0;
  int utc_offset_seconds = 0;
};

struct RenderResult {
  std::string text;
  // What {% generation %} blocks wrote: [begin, end) in bytes of `text`, in order. Blocks inside a macro or
  // another capture are not listed.
  std::vector<std::pair<size_t, size_t>> generated;
};

struct Program;  // the parsed template; private to the interpreter

class Template {
 public:
  static constexpr size_t kMaxSourceBytes = size_t{1} << 20;

  // `source` leads every message: "tokenizer_config.json: chat_template".
  static Template parse(std::string_view text, std::string source);
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  // `variables` is a dict whose keys are the names that the template sees.
  RenderResult render(const Value& variables, const RenderOptions& options = {}) const;
  // Whether the template mentions this name anywhere: a variable nobody set is undefined, not an error.
  bool mentions(std::string_view name) const;

 private:
  explicit Template(std::unique_ptr<const Program> program);
  std::unique_ptr<const Program> program_;
};

}  // namespace hoist::text::jinja
