// Methods of strings, lists and dicts.
//
// Those that would change a value are known, so that asking for them says why they are absent.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/machine.h"
#include "text/jinja/strings.h"
#include "text/utf8.h"

namespace hoist::text::jinja {
namespace {

using Kind = Value::Kind;
using Method = Value(Machine&, const Value&, const Args&);

const std::string& of(const Value& self) { return self.as_string(); }

// No arguments; the text is gone over once.
template <std::string (*Convert)(std::string_view)>
Value converted(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "str method", args, {});
  m.burn_bytes(of(self).size());
  m.check_memory(of(self).size() * 2);
  return m.str(Convert(of(self)));
}

template <CharTest Test>
Value tested(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "str method", args, {});
  m.burn_bytes(of(self).size());
  return Value::boolean(all_chars(of(self), Test));
}

template <bool Left, bool Right>
Value strip(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "strip", args, {"chars"});
  std::string_view text = of(self);
  if (!b[0] || b[0]->is_none()) {
    if (Left) text = strip_left(text);
    if (Right) text = strip_right(text);
  } else {
    const std::string& characters = b.string(0);
    m.burn_search(text.size(), characters.size() * 32);
    if (Left) text = strip_left(text, characters);
    if (Right) text = strip_right(text, characters);
  }
  return m.str_of(text);
}

Value strings(Machine& m, const std::vector<std::string_view>& parts, Flavor flavor = Flavor::kList) {
  Items items;
  for (const std::string_view part : parts) items.push_back(m.str_of(part));
  return m.sequence(std::move(items), flavor);
}

template <bool FromRight>
Value split_method(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "split", args, {"sep", "maxsplit"});
  std::optional<std::string_view> separator;
  if (b[0] && !b[0]->is_none()) {
    separator = b.string(0);
    if (separator->empty()) m.fail("split: found an empty separator");
    m.burn_search(of(self).size(), separator->size());
  }
  m.burn_bytes(of(self).size());
  m.check_memory(of(self).size() * (sizeof(std::string_view) + 1));
  return strings(m, (FromRight ? split_right : split)(of(self), separator, b.number(1, -1)));
}

Value splitlines(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "splitlines", args, {"keepends"});
  m.check_memory(of(self).size() * (sizeof(std::string_view) + 1));
  return strings(m, split_lines(of(self), b.flag(0, false)));
}

template <bool FromRight>
Value partition(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "partition", args, {"sep"}, 1);
  const std::string& separator = b.string(0);
  if (separator.empty()) m.fail("partition: found an empty separator");
  const std::string_view text = of(self);
  m.burn_search(text.size(), separator.size());
  const size_t at = FromRight ? text.rfind(separator) : text.find(separator);
  if (at == std::string_view::npos)
    return FromRight ? strings(m, {"", "", text}, Flavor::kTuple)
                     : strings(m, {text, "", ""}, Flavor::kTuple);
  return strings(m, {text.substr(0, at), separator, text.substr(at + separator.size())}, Flavor::kTuple);
}

// The part of the text that optional start and end (arguments `first` and the next) leave, and where it
// begins.
std::optional<std::pair<std::string_view, size_t>> window(Machine& m, const Value& self, const Bound& b,
                                                          size_t first) {
  const std::string_view text = of(self);
  m.burn_bytes(text.size());
  if (!b[first] && !b[first + 1]) return std::pair{text, size_t{0}};
  const auto size = static_cast<int64_t>(count_chars(text));
  const auto place = [&](size_t i, int64_t otherwise) {
    if (!b[i] || b[i]->is_none()) return otherwise;
    const int64_t x = m.need_int(*b[i], "start and end");
    return x < 0 ? (x < -size ? 0 : x + size) : x;
  };
  const int64_t start = place(first, 0), end = std::min(place(first + 1, size), size);
  if (start > size || start > end) return std::nullopt;
  const size_t begin = byte_offset(text, static_cast<size_t>(start));
  const size_t length = byte_offset(text.substr(begin), static_cast<size_t>(end - start));
  return std::pair{text.substr(begin, length), static_cast<size_t>(start)};
}

template <bool FromRight, bool MustExist>
Value find(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "find", args, {"sub", "start", "end"}, 1);
  const std::string& part = b.string(0);
  const auto within = window(m, self, b, 1);
  m.burn_search(of(self).size(), part.size());
  const size_t at = !within     ? std::string_view::npos
                    : FromRight ? within->first.rfind(part)
                                : within->first.find(part);
  if (at == std::string_view::npos) {
    if (MustExist) m.fail("index: the text does not contain what is looked for");
    return Value::integer(-1);
  }
  return Value::integer(static_cast<int64_t>(within->second + count_chars(within->first.substr(0, at))));
}

Value count(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "count", args, {"sub", "start", "end"}, 1);
  const auto within = window(m, self, b, 1);
  m.burn_search(of(self).size(), b.string(0).size());
  return Value::integer(within ? static_cast<int64_t>(count_parts(within->first, b.string(0))) : 0);
}

template <bool Ends>
Value affix(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, Ends ? "endswith" : "startswith", args, {"affix", "start", "end"}, 1);
  const auto within = window(m, self, b, 1);
  const auto matches = [&](const Value& v) {
    const std::string& part = m.need_string(v, "startswith and endswith");
    m.burn_bytes(part.size());
    return within && (Ends ? within->first.ends_with(part) : within->first.starts_with(part));
  };
  if (!has_flavor(*b[0], Flavor::kTuple)) return Value::boolean(matches(*b[0]));
  const Items& choices = b[0]->items();
  return Value::boolean(std::any_of(choices.begin(), choices.end(), matches));
}

template <bool Ends>
Value remove_affix(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "removeprefix", args, {"affix"}, 1);
  std::string_view text = of(self);
  const std::string& part = b.string(0);
  if (Ends ? text.ends_with(part) : text.starts_with(part))
    text = Ends ? text.substr(0, text.size() - part.size()) : text.substr(part.size());
  return m.str_of(text);
}

Value join(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "join", args, {"iterable"}, 1);
  const Value items = m.iterate(*b[0]);
  std::string out;
  for (size_t i = 0; i < items.items().size(); ++i) {
    if (i > 0) out += of(self);
    out += m.need_string(items.items()[i], "join");
    m.burn(1);
    m.check_memory(out.size());
  }
  return m.str(std::move(out));
}

Value format(Machine& m, const Value& self, const Args& args) {
  return m.str(format_braces(m, of(self), args));
}

Value format_map(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "format_map", args, {"mapping"}, 1);
  if (!b[0]->is_dict()) m.fail("format_map: expected a dict");
  Args named;
  for (const auto& [key, value] : b[0]->entries())
    if (key.is_string()) named.named.emplace_back(key.as_string(), value);
  m.burn(named.named.size());
  return m.str(format_braces(m, of(self), named));
}

template <char Align>
Value justify(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "center", args, {"width", "fillchar"}, 1);
  const std::string fill = b[1] ? b.string(1) : " ";
  if (count_chars(fill) != 1) m.fail("center: the character to fill with must be one");
  return m.str(justified(m, of(self), b.number(0, 0), fill, Align));
}

Value zfill(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "zfill", args, {"width"}, 1);
  const std::string& text = of(self);
  const bool sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  const std::string digits = justified(m, text.substr(sign), b.number(0, 0) - sign, "0", '>');
  return m.str(text.substr(0, sign) + digits);
}

Value replace(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "replace", args, {"old", "new", "count"}, 2);
  return m.str(replaced(m, of(self), b.string(0), b.string(1), b.number(2, -1)));
}

Value expandtabs(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "expandtabs", args, {"tabsize"});
  const int64_t size = std::clamp<int64_t>(b.number(0, 8), 0, 1000);
  std::string out;
  int64_t column = 0;
  for (const char c : of(self)) {
    if (c == '\t') {
      const int64_t n = size == 0 ? 0 : size - column % size;
      out.append(static_cast<size_t>(n), ' ');
      column += n;
      m.burn_bytes(static_cast<size_t>(n));
      m.check_memory(out.size());
    } else {
      out += c;
      if (c == '\n' || c == '\r')
        column = 0;
      else
        column += !is_continuation(c);
    }
  }
  return m.str(std::move(out));
}

Value items(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "items", args, {});
  Items out;
  for (const auto& [key, value] : self.entries()) out.push_back(m.sequence({key, value}, Flavor::kTuple));
  return m.sequence(std::move(out), Flavor::kItems);
}

Value keys(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "keys", args, {});
  Items out;
  for (const auto& [key, value] : self.entries()) out.push_back(key);
  return m.sequence(std::move(out), Flavor::kKeys);
}

Value values(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "values", args, {});
  Items out;
  for (const auto& [key, value] : self.entries()) out.push_back(value);
  return m.sequence(std::move(out), Flavor::kValues);
}

Value get(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "get", args, {"key", "default"}, 1);
  if (!b[0]->is_undefined() && !is_hashable(*b[0]))
    m.fail(fmt::format("a {} cannot be a key", type_name(*b[0])));
  const Value* found = b[0]->is_undefined() ? nullptr : self.find(*b[0]);
  return found ? *found : b[1] ? *b[1] : Value::none();
}

Value copy(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "copy", args, {});
  return self;
}

Value list_index(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "index", args, {"value", "start", "end"}, 1);
  const auto size = static_cast<int64_t>(self.items().size());
  const auto place = [&](size_t i, int64_t otherwise) {
    const int64_t x = b.number(i, otherwise);
    return std::clamp<int64_t>(x < 0 ? std::max<int64_t>(x, -size) + size : x, 0, size);
  };
  const int64_t end = place(2, size);
  for (int64_t i = place(1, 0); i < end; ++i)
    if (m.equal(self.items()[static_cast<size_t>(i)], *b[0])) return Value::integer(i);
  m.fail("index: the list does not contain what is looked for");
}

Value list_count(Machine& m, const Value& self, const Args& args) {
  const Bound b(m, "count", args, {"value"}, 1);
  int64_t n = 0;
  for (const Value& item : self.items()) n += m.equal(item, *b[0]);
  return Value::integer(n);
}

std::string lower_text(std::string_view text) { return lower(text); }

// Sorted by name.
constexpr MethodEntry kStringMethods[] = {
    {"capitalize", converted<capitalize>},
    {"casefold", converted<lower_text>},
    {"center", justify<'^'>},
    {"count", count},
    {"endswith", affix<true>},
    {"expandtabs", expandtabs},
    {"find", find<false, false>},
    {"format", format},
    {"format_map", format_map},
    {"index", find<false, true>},
    {"isalnum", tested<CharTest::kAlnum>},
    {"isalpha", tested<CharTest::kAlpha>},
    {"isascii", tested<CharTest::kAscii>},
    {"isdecimal", tested<CharTest::kDecimal>},
    {"isdigit", tested<CharTest::kDigit>},
    {"isidentifier", tested<CharTest::kIdentifier>},
    {"islower", tested<CharTest::kLower>},
    {"isnumeric", tested<CharTest::kDigit>},
    {"isspace", tested<CharTest::kSpace>},
    {"istitle", tested<CharTest::kTitle>},
    {"isupper", tested<CharTest::kUpper>},
    {"join", join},
    {"ljust", justify<'<'>},
    {"lower", converted<lower_text>},
    {"lstrip", strip<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace},
    {"rfind", find<true, false>},
    {"rindex", find<true, true>},
    {"rjust", justify<'>'>},
    {"rpartition", partition<true>},
    {"rsplit", split_method<true>},
    {"rstrip", strip<false, true>},
    {"split", split_method<false>},
    {"splitlines", splitlines},
    {"startswith", affix<false>},
    {"strip", strip<true, true>},
    {"swapcase", converted<swapcase>},
    {"title", converted<title>},
    {"upper", converted<upper>},
    {"zfill", zfill},
};

constexpr MethodEntry kDictMethods[] = {
    {"clear", nullptr},  {"copy", copy},     {"get", get},         {"items", items},
    {"keys", keys},      {"pop", nullptr},   {"popitem", nullptr}, {"setdefault", nullptr},
    {"update", nullptr}, {"values", values},
};

constexpr MethodEntry kListMethods[] = {
    {"append", nullptr}, {"clear", nullptr},    {"copy", copy},      {"count", list_count},
    {"extend", nullptr}, {"index", list_index}, {"insert", nullptr}, {"pop", nullptr},
    {"remove", nullptr}, {"reverse", nullptr},  {"sort", nullptr},
};

constexpr MethodEntry kTupleMethods[] = {{"count", list_count}, {"index", list_index}};

template <size_t N>
const MethodEntry* look_up(const MethodEntry (&table)[N], std::string_view name) {
  const auto at =
      std::lower_bound(std::begin(table), std::end(table), name,
                       [](const MethodEntry& entry, std::string_view n) { return entry.name < n; });
  return at != std::end(table) && at->name == name ? &*at : nullptr;
}

}  // namespace

std::string replaced(Machine& m, const std::string& text, const std::string& from, const std::string& to,
                     int64_t limit) {
  m.burn_search(text.size(), from.size());
  size_t times = count_parts(text, from);
  if (limit >= 0) times = std::min(times, static_cast<size_t>(limit));
  if (to.size() > 0 && times > m.options().limits.max_memory_bytes / to.size())
    m.exhausted("the values grew too large");
  m.check_memory(text.size() + times * to.size());
  std::string out;
  size_t at = 0;
  for (size_t i = 0; i < times; ++i) {
    size_t end = from.empty() ? at : text.find(from, at);
    if (from.empty() && i > 0) end += char_length(static_cast<unsigned char>(text[at]));
    out.append(text, at, end - at);
    out += to;
    at = end + from.size();
  }
  out.append(text, at);
  return out;
}

std::string justified(Machine& m, const std::string& text, int64_t width, const std::string& fill,
                      char align) {
  const auto size = static_cast<int64_t>(count_chars(text));
  if (width <= size) return text;
  if (width > static_cast<int64_t>(m.options().limits.max_memory_bytes))
    m.exhausted("the values grew too large");
  const int64_t missing = width - size;
  m.check_memory(text.size() + static_cast<size_t>(missing) * fill.size());
  m.burn_bytes(static_cast<size_t>(missing) * fill.size());
  // Where the spaces cannot be halved, str.center leans as CPython does.
  const int64_t left = align == '<' ? 0 : align == '>' ? missing : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

const MethodEntry* find_method(const Value& self, std::string_view name) {
  if (self.is_string()) return look_up(kStringMethods, name);
  if (self.is_dict()) return look_up(kDictMethods, name);
  if (!self.is_sequence()) return nullptr;
  switch (sequence_of(self).flavor) {
    case Flavor::kList: return look_up(kListMethods, name);
    case Flavor::kTuple:
    case Flavor::kRange:
    case Flavor::kGroup: return look_up(kTupleMethods, name);
    default: return nullptr;
  }
}

}  // namespace hoist::text::jinja
