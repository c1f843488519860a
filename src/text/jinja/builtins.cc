// Tests (`x is name`), global functions, and how builtins get their arguments.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "text/jinja/filters.h"
#include "text/jinja/strings.h"

namespace hoist::text::jinja {

using Kind = Value::Kind;

Bound::Bound(Machine& machine, std::string_view function, const Args& args,
             std::initializer_list<std::string_view> names, size_t required)
    : machine_(machine), function_(function) {
  HOIST_CHECK(names.size() <= kMax, "a builtin with too many parameters");
  if (args.positional.size() > names.size()) {
    machine.fail(fmt::format("{}: found {} arguments, expected at most {}", function, args.positional.size(),
                             names.size()));
  }
  for (size_t i = 0; i < args.positional.size(); ++i) values_[i] = &args.positional[i];
  for (const auto& [name, value] : args.named) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end())
      machine.fail(fmt::format("{}: unknown argument '{}'", function, name.substr(0, 100)));
    const Value*& slot = values_[at - names.begin()];
    if (slot) machine.fail(fmt::format("{}: argument '{}' is given twice", function, name));
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i)
    if (!values_[i]) machine.fail(fmt::format("{}: argument '{}' is missing", function, names.begin()[i]));
}

int64_t Bound::number(size_t i, int64_t otherwise) const {
  return values_[i] ? machine_.need_int(*values_[i], function_) : otherwise;
}

const std::string& Bound::string(size_t i) const { return machine_.need_string(*values_[i], function_); }

namespace {

template <Op O>
bool compared(Machine& m, const Value& v, const Args& args) {
  const Bound b(m, "test", args, {"other"}, 1);
  return m.compare(O, v, *b[0]);
}

template <bool (*Holds)(const Value&)>
bool plain(Machine& m, const Value& v, const Args& args) {
  const Bound b(m, "test", args, {});
  return Holds(v);
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.kind() == Kind::kBool; }
bool is_true(const Value& v) { return is_boolean(v) && v.as_bool(); }
bool is_false(const Value& v) { return is_boolean(v) && !v.as_bool(); }
bool is_whole(const Value& v) { return v.kind() == Kind::kInt; }
bool is_float(const Value& v) { return v.kind() == Kind::kFloat; }
bool is_any_number(const Value& v) { return is_number(v); }
bool is_string(const Value& v) { return v.is_string(); }
bool is_mapping(const Value& v) { return v.is_dict(); }
bool is_iterable(const Value& v) {
  return v.is_undefined() || v.is_string() || v.is_sequence() || v.is_dict();
}
bool is_escaped(const Value&) { return false; }

bool is_sequence(const Value& v) {
  if (!v.is_sequence()) return is_iterable(v);
  const Flavor flavor = sequence_of(v).flavor;
  return flavor == Flavor::kList || flavor == Flavor::kTuple || flavor == Flavor::kRange ||
         flavor == Flavor::kGroup;
}

bool is_callable(const Value& v) {
  return v.kind() == Kind::kObject && native_of(v).native != NativeKind::kNamespace;
}

template <bool Upper>
bool cased(Machine& m, const Value& v, const Args& args) {
  const Bound b(m, "test", args, {});
  return all_chars(m.text(v), Upper ? CharTest::kUpper : CharTest::kLower);
}

template <int Remainder>
bool parity(Machine& m, const Value& v, const Args& args) {
  const Bound b(m, "odd and even", args, {});
  return m.equal(m.binary(Op::kMod, v, Value::integer(2)), Value::integer(Remainder));
}

bool divisible(Machine& m, const Value& v, const Args& args) {
  const Bound b(m, "divisibleby", args, {"num"}, 1);
  return m.equal(m.binary(Op::kMod, v, *b[0]), Value::integer(0));
}

bool same(Machine& m, const Value& v, const Args& args) {
  const Bound b(m, "sameas", args, {"other"}, 1);
  if (v.kind() != b[0]->kind()) return false;
  if (v.kind() == Kind::kSequence || v.kind() == Kind::kDict || v.kind() == Kind::kObject)
    return v.object() == b[0]->object();
  return m.equal(v, *b[0]);
}

bool known_filter(Machine& m, const Value& v, const Args&) {
  return find_filter(m.need_string(v, "filter")) != nullptr;
}
bool known_test(Machine& m, const Value& v, const Args&) {
  return find_test(m.need_string(v, "test")) != nullptr;
}

// Sorted by name.
constexpr TestEntry kTests[] = {
    {"!=", compared<Op::kNe>},
    {"<", compared<Op::kLt>},
    {"<=", compared<Op::kLe>},
    {"==", compared<Op::kEq>},
    {">", compared<Op::kGt>},
    {">=", compared<Op::kGe>},
    {"boolean", plain<is_boolean>},
    {"callable", plain<is_callable>},
    {"defined", plain<is_defined>},
    {"divisibleby", divisible},
    {"eq", compared<Op::kEq>},
    {"equalto", compared<Op::kEq>},
    {"escaped", plain<is_escaped>},
    {"even", parity<0>},
    {"false", plain<is_false>},
    {"filter", known_filter},
    {"float", plain<is_float>},
    {"ge", compared<Op::kGe>},
    {"greaterthan", compared<Op::kGt>},
    {"gt", compared<Op::kGt>},
    {"in", compared<Op::kIn>},
    {"integer", plain<is_whole>},
    {"iterable", plain<is_iterable>},
    {"le", compared<Op::kLe>},
    {"lessthan", compared<Op::kLt>},
    {"lower", cased<false>},
    {"lt", compared<Op::kLt>},
    {"mapping", plain<is_mapping>},
    {"ne", compared<Op::kNe>},
    {"none", plain<is_none>},
    {"number", plain<is_any_number>},
    {"odd", parity<1>},
    {"sameas", same},
    {"sequence", plain<is_sequence>},
    {"string", plain<is_string>},
    {"test", known_test},
    {"true", plain<is_true>},
    {"undefined", plain<is_undefined>},
    {"upper", cased<true>},
};

Value range(Machine& m, const Args& args) {
  constexpr int64_t kMaxRange = 100'000;  // the sandbox's own limit
  if (args.positional.empty() || args.positional.size() > 3 || !args.named.empty())
    m.fail("range: expected one to three numbers");
  int64_t bounds[3] = {0, 0, 1};
  for (size_t i = 0; i < args.positional.size(); ++i) bounds[i] = m.need_int(args.positional[i], "range");
  if (args.positional.size() == 1) std::swap(bounds[0], bounds[1]);
  const auto [start, stop, step] = bounds;
  if (step == 0) m.fail("range: found step 0");
  const bool empty = step > 0 ? start >= stop : start <= stop;
  // Unsigned: the distance of two 64-bit numbers may not fit in a signed one.
  const uint64_t distance = empty      ? 0
                            : step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                       : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : ~static_cast<uint64_t>(step) + 1;
  const uint64_t count = distance == 0 ? 0 : (distance - 1) / stride + 1;
  if (count > kMaxRange)
    m.fail(fmt::format("range: found {} numbers, expected at most {}", count, kMaxRange));
  m.check_memory(count * sizeof(Value));
  m.burn(count / 4);
  Items items;
  for (uint64_t i = 0; i < count; ++i)
    items.push_back(
        Value::integer(static_cast<int64_t>(static_cast<uint64_t>(start) + i * static_cast<uint64_t>(step))));
  return m.sequence(std::move(items), Flavor::kRange);
}

// dict(mapping or pairs, name=value, ...)
Entries entries_of(Machine& m, std::string_view function, const Args& args) {
  Entries entries;
  if (args.positional.size() > 1) m.fail(fmt::format("{}: expected one argument without a name", function));
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    m.need_defined(from);
    if (from.is_dict()) {
      entries = from.entries();
    } else {
      const Value pairs = m.iterate(from);
      for (const Value& pair : pairs.items()) {
        const Value both = m.iterate(pair);
        if (both.items().size() != 2) m.fail(fmt::format("{}: expected pairs", function));
        entries.emplace_back(both.items()[0], both.items()[1]);
      }
    }
  }
  for (const auto& [name, value] : args.named) entries.emplace_back(m.str(name), value);
  return entries;
}

Value make_dict_value(Machine& m, const Args& args) { return m.dict(entries_of(m, "dict", args)); }

Value make_namespace(Machine& m, const Args& args) {
  const Value values = m.dict(entries_of(m, "namespace", args));
  std::vector<std::pair<std::string, Value>> attributes;
  for (const auto& [key, value] : values.entries())
    attributes.emplace_back(m.need_string(key, "namespace: names"), value);
  return m.new_namespace(std::move(attributes));
}

Value raise_exception(Machine& m, const Args& args) {
  const Bound b(m, "raise_exception", args, {"message"}, 1);
  m.fail(m.text(*b[0]));
}

Value strftime_now(Machine& m, const Args& args) {
  const Bound b(m, "strftime_now", args, {"format"}, 1);
  const std::string& format = b.string(0);
  if (format.size() > 4096) m.fail("strftime_now: found a format of more than 4096 bytes");
  return m.str(strftime_text(format, m.options().now_unix_seconds, m.options().utc_offset_seconds));
}

constexpr std::pair<std::string_view, GlobalFn> kGlobals[] = {
    {"dict", make_dict_value},
    {"namespace", make_namespace},
    {"range", range},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

}  // namespace

const TestEntry* find_test(std::string_view name) {
  const auto at = std::lower_bound(std::begin(kTests), std::end(kTests), name,
                                   [](const TestEntry& entry, std::string_view n) { return entry.name < n; });
  return at != std::end(kTests) && at->name == name ? &*at : nullptr;
}

GlobalFn find_global(std::string_view name) {
  for (const auto& [known, fn] : kGlobals)
    if (known == name) return fn;
  return nullptr;
}

}  // namespace hoist::text::jinja
