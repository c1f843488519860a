// Filters on single values, and the table of all filters.
#include "text/jinja/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/strings.h"
#include "text/utf8.h"

namespace hoist::text::jinja {
namespace {

using Kind = Value::Kind;

template <std::string (*Convert)(std::string_view)>
Value converted(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "filter", args, {});
  const std::string text = m.text(input);
  m.check_memory(text.size() * 5);
  return m.str(Convert(text));
}

Value abs(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "abs", args, {});
  m.need_defined(input);
  if (!is_number(input)) m.fail(fmt::format("abs: found a {}, expected a number", type_name(input)));
  if (input.kind() == Kind::kFloat) return Value::number(std::fabs(input.as_float()));
  return input.as_int() < 0 ? m.unary(Op::kNeg, input) : Value::integer(input.as_int());
}

Value attr(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "attr", args, {"name"}, 1);
  if (input.is_dict() && !find_method(input, b.string(0)))
    return m.undefined("the dict has no such attribute");
  return m.attribute(input, *b[0]);
}

Value center(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "center", args, {"width"});
  return m.str(justified(m, m.text(input), b.number(0, 80), " ", '^'));
}

Value default_value(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "default", args, {"default_value", "boolean"});
  if (!input.is_undefined() && !(b.flag(1, false) && !truthy(input))) return input;
  return b[0] ? *b[0] : m.str("");
}

Value filesizeformat(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "filesizeformat", args, {"binary"});
  m.need_defined(input);
  const auto parsed = input.is_string()  ? parse_float(input.as_string())
                      : is_number(input) ? std::optional(to_double(input))
                                         : std::nullopt;
  if (!parsed) m.fail(fmt::format("filesizeformat: found a {}, expected a number", type_name(input)));
  const bool binary = b.flag(0, false);
  const double base = binary ? 1024 : 1000;
  if (*parsed == 1) return m.str("1 Byte");
  if (*parsed < base) {
    if (!(std::fabs(*parsed) < 9e18)) m.fail("filesizeformat: found a number out of range");
    return m.str(fmt::format("{} Bytes", static_cast<int64_t>(*parsed)));
  }
  double unit = base;
  for (const char prefix : std::string_view("KMGTPEZY")) {
    unit *= base;
    if (*parsed < unit || prefix == 'Y') {
      const char shown = prefix == 'K' && !binary ? 'k' : prefix;
      return m.str(fmt::format("{:.1f} {}{}", base * *parsed / unit, shown, binary ? "iB" : "B"));
    }
  }
  return m.str("");
}

Value to_float(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "float", args, {"default"});
  m.need_defined(input);
  if (is_number(input)) return Value::number(to_double(input));
  const auto x = input.is_string() ? parse_float(input.as_string()) : std::nullopt;
  return x ? Value::number(*x) : b[0] ? *b[0] : Value::number(0);
}

Value to_int(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "int", args, {"default", "base"});
  m.need_defined(input);
  const Value otherwise = b[0] ? *b[0] : Value::integer(0);
  if (is_integer(input)) return Value::integer(input.as_int());
  const int64_t base = b.number(1, 10);
  std::optional<double> x;
  if (input.is_string()) {
    if (base == 0 || (base >= 2 && base <= 36))
      if (const auto whole = parse_int(input.as_string(), static_cast<int>(base)))
        return Value::integer(*whole);
    x = parse_float(input.as_string());
  } else if (input.kind() == Kind::kFloat) {
    x = input.as_float();
    if (std::isinf(*x)) m.fail("int: found an infinite number");
  }
  if (!x || !std::isfinite(*x)) return otherwise;
  if (!(std::fabs(*x) < 9.2e18)) m.fail("int: found a number beyond 64 bits");
  return Value::integer(static_cast<int64_t>(*x));
}

Value format(Machine& m, const Value& input, const Args& args) {
  if (!args.positional.empty() && !args.named.empty())
    m.fail("format: expected values or named values, not both");
  if (args.named.empty())
    return m.str(m.format_percent(m.text(input), m.sequence(args.positional, Flavor::kTuple)));
  Entries entries;
  for (const auto& [name, value] : args.named) entries.emplace_back(m.str(name), value);
  return m.str(m.format_percent(m.text(input), m.dict(std::move(entries))));
}

Value indent(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "indent", args, {"width", "first", "blank"});
  const std::string& text = m.need_string(input, "indent");
  std::string margin(4, ' ');
  if (b[0] && b[0]->is_string()) {
    margin = b[0]->as_string();
  } else if (b[0]) {
    const int64_t width = std::max<int64_t>(m.need_int(*b[0], "indent"), 0);
    m.check_memory(static_cast<size_t>(width));
    margin.assign(static_cast<size_t>(width), ' ');
  }
  m.burn_bytes(text.size());
  const std::string ended = text + "\n";
  const std::vector<std::string_view> lines = split_lines(ended, false);
  std::string out = b.flag(1, false) ? margin : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out += '\n';
      if (!lines[i].empty() || b.flag(2, false)) out += margin;
    }
    out += lines[i];
    m.burn_bytes(margin.size());
    m.check_memory(out.size());
  }
  return m.str(std::move(out));
}

Value replace(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "replace", args, {"old", "new", "count"}, 2);
  const int64_t limit = b[2] && !b[2]->is_none() ? b.number(2, -1) : -1;
  return m.str(replaced(m, m.text(input), m.text(*b[0]), m.text(*b[1]), limit));
}

Value round(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "round", args, {"precision", "method"});
  m.need_defined(input);
  if (!is_number(input)) m.fail(fmt::format("round: found a {}, expected a number", type_name(input)));
  const int64_t precision = std::clamp<int64_t>(b.number(0, 0), -400, 400);
  const std::string method = b[1] ? b.string(1) : "common";
  const double x = to_double(input);
  if (method == "common") {
    if (is_integer(input) && precision >= 0) return Value::integer(input.as_int());
    if (!std::isfinite(x)) return Value::number(x);
    double rounded = x;
    if (precision >= 0) {
      rounded = parse_float(fmt::format("{:.{}f}", x, static_cast<int>(precision))).value_or(x);
    } else if (precision < -18) {
      rounded = 0;
    } else {
      const double unit = std::pow(10.0, static_cast<double>(-precision));
      rounded = std::nearbyint(x / unit) * unit;
    }
    if (!is_integer(input)) return Value::number(rounded);
    if (!(std::fabs(rounded) < 9.2e18)) m.fail("round: the result needs more than 64 bits");
    return Value::integer(static_cast<int64_t>(rounded));
  }
  if (method != "ceil" && method != "floor") m.fail("round: expected method 'common', 'ceil' or 'floor'");
  const double unit = std::pow(10.0, static_cast<double>(precision));
  const double scaled = x * unit;
  if (!std::isfinite(scaled)) m.fail("round: found a number out of range");
  return Value::number((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Value safe(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "safe", args, {});
  return input.is_string() ? input : m.str(m.text(input));
}

// Tags and comments away, runs of whitespace to one space, entities read.
Value striptags(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "striptags", args, {});
  const std::string text = m.text(input);
  std::string kept;
  for (size_t i = 0; i < text.size();) {
    const bool comment = text.compare(i, 4, "<!--") == 0;
    const size_t end = text[i] != '<' ? std::string::npos : text.find(comment ? "-->" : ">", i);
    if (text[i] == '<' && end == std::string::npos) {
      kept.append(text, i);  // the rest has no tag that ends
      break;
    }
    if (text[i] == '<')
      i = end + (comment ? 3 : 1);
    else
      kept += text[i++];
  }
  std::string out;
  for (const std::string_view word : split(kept, std::nullopt, -1)) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  static constexpr std::pair<const char*, const char*> kEntities[] = {
      {"&lt;", "<"}, {"&gt;", ">"}, {"&#34;", "\""}, {"&#39;", "'"}, {"&quot;", "\""}, {"&amp;", "&"}};
  for (const auto& [entity, character] : kEntities) out = replaced(m, out, entity, character, -1);
  return m.str(std::move(out));
}

Value tojson(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
  Machine::JsonStyle style;
  style.ascii = b.flag(0, false);
  style.sort_keys = b.flag(3, false);
  if (b[1] && !b[1]->is_none()) {
    style.multiline = true;
    style.item_separator = ",";
    if (b[1]->is_string()) {
      style.indent = b[1]->as_string();
    } else {
      const int64_t width = std::max<int64_t>(m.need_int(*b[1], "tojson: indent"), 0);
      m.check_memory(static_cast<size_t>(width));
      style.indent.assign(static_cast<size_t>(width), ' ');
    }
  }
  if (b[2] && !b[2]->is_none()) {
    const Value pair = m.iterate(*b[2]);
    if (pair.items().size() != 2) m.fail("tojson: separators: expected two");
    style.item_separator = m.need_string(pair.items()[0], "tojson: separators");
    style.key_separator = m.need_string(pair.items()[1], "tojson: separators");
  }
  std::string out;
  m.append_json(out, input, style);
  return m.str(std::move(out));
}

Value trim(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "trim", args, {"chars"});
  const std::string text = m.text(input);
  if (!b[0] || b[0]->is_none()) return m.str_of(strip_right(strip_left(text)));
  m.burn_search(text.size(), b.string(0).size() * 32);
  return m.str_of(strip_right(strip_left(text, b.string(0)), b.string(0)));
}

Value truncate(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "truncate", args, {"length", "killwords", "end", "leeway"});
  const int64_t length = b.number(0, 255);
  if (const auto items = m.length(input);
      !input.is_string() && items && static_cast<int64_t>(*items) <= length)
    return input;
  const std::string& text = m.need_string(input, "truncate");
  const std::string end = b[2] ? b.string(2) : "...";
  const int64_t leeway = b[3] && !b[3]->is_none() ? b.number(3, 5) : 5;
  const auto end_size = static_cast<int64_t>(count_chars(end)),
             size = static_cast<int64_t>(count_chars(text));
  if (length < end_size || leeway < 0) m.fail("truncate: found a length below that of its end");
  m.burn_bytes(text.size());
  if (size - leeway <= length) return input;
  std::string_view kept =
      std::string_view(text).substr(0, byte_offset(text, static_cast<size_t>(length - end_size)));
  if (!b.flag(1, false)) kept = kept.substr(0, kept.rfind(' '));
  return m.str(std::string(kept) + end);
}

Value urlencode(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "urlencode", args, {});
  const auto quote = [&](const Value& v, bool query) {
    const std::string text = m.text(v);
    m.check_memory(text.size() * 3);
    std::string out;
    for (const char c : text) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                         c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !query);
      if (plain)
        out += c;
      else if (c == ' ' && query)
        out += '+';
      else
        out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
  };
  if (!input.is_dict() && !input.is_sequence()) return m.str(quote(input, false));
  std::string out;
  const auto add = [&](const Value& key, const Value& value) {
    if (!out.empty()) out += '&';
    out += quote(key, true) + "=" + quote(value, true);
    m.check_memory(out.size());
  };
  if (input.is_dict()) {
    for (const auto& [key, value] : input.entries()) add(key, value);
  } else {
    const Value pairs = m.iterate(input);
    for (const Value& pair : pairs.items()) {
      if (!pair.is_sequence() || pair.items().size() != 2) m.fail("urlencode: expected pairs");
      add(pair.items()[0], pair.items()[1]);
    }
  }
  return m.str(std::move(out));
}

Value wordcount(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "wordcount", args, {});
  const std::string text = m.text(input);
  int64_t count = 0;
  bool inside = false;
  for (size_t i = 0; i < text.size(); i += char_length(static_cast<unsigned char>(text[i]))) {
    const std::string_view one =
        std::string_view(text).substr(i, char_length(static_cast<unsigned char>(text[i])));
    const bool word = one == "_" || all_chars(one, CharTest::kAlnum);
    count += word && !inside;
    inside = word;
  }
  return Value::integer(count);
}

Value as_string(Machine& m, const Value& input, const Args& args) { return safe(m, input, args); }

std::string lower_text(std::string_view text) { return lower(text); }

// Sorted by name.
constexpr FilterEntry kFilters[] = {
    {"abs", abs},
    {"attr", attr},
    {"batch", filters::batch},
    {"capitalize", converted<capitalize>},
    {"center", center},
    {"count", filters::length},
    {"d", default_value},
    {"default", default_value},
    {"dictsort", filters::dictsort},
    {"e", converted<escape_html>},
    {"escape", converted<escape_html>},
    {"filesizeformat", filesizeformat},
    {"first", filters::first},
    {"float", to_float},
    {"forceescape", converted<escape_html>},
    {"format", format},
    {"groupby", filters::groupby},
    {"indent", indent},
    {"int", to_int},
    {"items", filters::items},
    {"join", filters::join},
    {"last", filters::last},
    {"length", filters::length},
    {"list", filters::list},
    {"lower", converted<lower_text>},
    {"map", filters::map},
    {"max", filters::max},
    {"min", filters::min},
    {"reject", filters::reject},
    {"rejectattr", filters::rejectattr},
    {"replace", replace},
    {"reverse", filters::reverse},
    {"round", round},
    {"safe", safe},
    {"select", filters::select},
    {"selectattr", filters::selectattr},
    {"slice", filters::slice},
    {"sort", filters::sort},
    {"string", as_string},
    {"striptags", striptags},
    {"sum", filters::sum},
    {"title", converted<title_filter>},
    {"tojson", tojson},
    {"trim", trim},
    {"truncate", truncate},
    {"unique", filters::unique},
    {"upper", converted<upper>},
    {"urlencode", urlencode},
    {"wordcount", wordcount},
};

}  // namespace

const FilterEntry* find_filter(std::string_view name) {
  const auto at =
      std::lower_bound(std::begin(kFilters), std::end(kFilters), name,
                       [](const FilterEntry& entry, std::string_view n) { return entry.name < n; });
  return at != std::end(kFilters) && at->name == name ? &*at : nullptr;
}

}  // namespace hoist::text::jinja
