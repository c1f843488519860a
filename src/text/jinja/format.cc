// Text formatting: the % operator, str.format and strftime.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/machine.h"
#include "text/jinja/strings.h"
#include "text/utf8.h"

namespace hoist::text::jinja {
namespace {

// [[fill]align][sign][#][0][width][,][.precision][type]: format() of Python.
struct Spec {
  std::string fill = " ";
  char align = 0, sign = '-', type = 0, group = 0;
  bool alternate = false;
  size_t width = 0;
  int precision = -1;
};

constexpr size_t kMaxWidth = 100'000;
constexpr int kMaxPrecision = 300;

std::string grouped(const std::string& digits, char separator) {
  if (separator == 0) return digits;
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (size_t i = 0; i < end; ++i) {
    if (i > 0 && (end - i) % 3 == 0) out += separator;
    out += digits[i];
  }
  return out + digits.substr(end);
}

std::string unsigned_digits(uint64_t x, char type, bool alternate) {
  switch (type) {
    case 'x': return fmt::format("{}{:x}", alternate ? "0x" : "", x);
    case 'X': return fmt::format("{}{:X}", alternate ? "0X" : "", x);
    case 'o': return fmt::format("{}{:o}", alternate ? "0o" : "", x);
    case 'b': return fmt::format("{}{:b}", alternate ? "0b" : "", x);
    default: return std::to_string(x);
  }
}

std::string unsigned_float(double x, char type, int precision, bool alternate) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return "inf";
  const int digits = precision < 0 ? 6 : precision;
  switch (type) {
    case 'f':
    case 'F': return alternate ? fmt::format("{:#.{}f}", x, digits) : fmt::format("{:.{}f}", x, digits);
    case 'e': return fmt::format("{:.{}e}", x, digits);
    case 'E': return fmt::format("{:.{}E}", x, digits);
    case 'G': return fmt::format("{:.{}G}", x, std::max(digits, 1));
    case '%': return fmt::format("{:.{}f}%", x * 100, digits);
    case 'g': return fmt::format("{:.{}g}", x, std::max(digits, 1));
    default: break;
  }
  if (precision < 0) return float_text(x);
  std::string out = fmt::format("{:.{}g}", x, std::max(precision, 1));
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

std::string pad(Machine& machine, const std::string& text, const Spec& spec, char align) {
  const size_t size = count_chars(text);
  if (spec.width <= size) return text;
  const size_t missing = spec.width - size;
  machine.burn_bytes(missing);
  machine.check_memory(missing * spec.fill.size());
  const size_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string out;
  for (size_t i = 0; i < left; ++i) out += spec.fill;
  out += text;
  for (size_t i = left; i < missing; ++i) out += spec.fill;
  return out;
}

// A number with its sign; zeros of the width go behind the sign.
std::string pad_number(Machine& machine, bool negative, const std::string& digits, const Spec& spec) {
  const std::string sign = negative ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
  const char align = spec.align ? spec.align : '>';
  if (align != '=') return pad(machine, sign + digits, spec, align);
  Spec inner = spec;
  inner.width -= std::min(inner.width, sign.size());
  return sign + pad(machine, digits, inner, '>');
}

std::string format_value(Machine& machine, const Value& value, const Spec& spec) {
  const char type = spec.type;
  const bool float_type = type != 0 && std::string_view("fFeEgG%").find(type) != std::string_view::npos;
  if (is_number(value) && (float_type || (value.kind() == Value::Kind::kFloat && type == 0))) {
    const double x = to_double(value);
    return pad_number(machine, std::signbit(x),
                      grouped(unsigned_float(std::fabs(x), type, spec.precision, spec.alternate), spec.group),
                      spec);
  }
  const bool integer_type = type != 0 && std::string_view("dioxXbnu").find(type) != std::string_view::npos;
  if (is_integer(value) && (integer_type || (type == 0 && value.kind() == Value::Kind::kInt))) {
    const int64_t x = value.as_int();
    const uint64_t size = x < 0 ? ~static_cast<uint64_t>(x) + 1 : static_cast<uint64_t>(x);
    return pad_number(machine, x < 0, grouped(unsigned_digits(size, type, spec.alternate), spec.group), spec);
  }
  if (type == 'c' && is_integer(value)) {
    std::string out;
    const int64_t c = value.as_int();
    if (c < 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
      machine.fail("format: found no character's number");
    append_char(out, static_cast<uint32_t>(c));
    return pad(machine, out, spec, spec.align ? spec.align : '<');
  }
  if (type != 0 && type != 's')
    machine.fail(fmt::format("format: a {} cannot be formatted by '{}'", type_name(value), type));
  std::string out = machine.text(value);
  if (spec.precision >= 0) out.resize(byte_offset(out, static_cast<size_t>(spec.precision)));
  return pad(machine, out, spec, spec.align && spec.align != '=' ? spec.align : '<');
}

class Reader {
 public:
  Reader(Machine& machine, std::string_view text) : machine_(machine), text_(text) {}
  bool done() const { return at_ >= text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  char take() {
    if (done()) machine_.fail("format: the format ends early");
    return text_[at_++];
  }
  bool skip(char c) {
    if (peek() != c || done()) return false;
    ++at_;
    return true;
  }
  std::string_view rest() const { return text_.substr(at_); }
  void advance(size_t n) { at_ += n; }
  bool at_digit() const { return peek() >= '0' && peek() <= '9'; }
  size_t number(size_t max) {
    size_t x = 0;
    while (at_digit()) {
      x = x * 10 + static_cast<size_t>(take() - '0');
      if (x > max) machine_.fail(fmt::format("format: found a number beyond {}", max));
    }
    return x;
  }

 private:
  Machine& machine_;
  std::string_view text_;
  size_t at_ = 0;
};

Spec parse_spec(Machine& machine, std::string_view text) {
  Spec spec;
  Reader in(machine, text);
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  if (!in.done()) {
    const size_t n = char_length(static_cast<unsigned char>(in.peek()));
    if (in.rest().size() > n && is_align(in.rest()[n])) {
      spec.fill = std::string(in.rest().substr(0, n));
      in.advance(n);
      spec.align = in.take();
    } else if (is_align(in.peek())) {
      spec.align = in.take();
    }
  }
  if (in.peek() == '+' || in.peek() == '-' || in.peek() == ' ') spec.sign = in.take();
  spec.alternate = in.skip('#');
  if (in.peek() == '0') {
    in.take();
    if (spec.align == 0) {
      spec.align = '=';
      spec.fill = "0";
    }
  }
  spec.width = in.number(kMaxWidth);
  if (in.peek() == ',' || in.peek() == '_') spec.group = in.take();
  if (in.skip('.')) spec.precision = static_cast<int>(in.number(kMaxPrecision));
  if (!in.done()) spec.type = in.take();
  if (!in.done()) machine.fail(fmt::format("format: found '{}' behind a format", in.rest().substr(0, 60)));
  return spec;
}

}  // namespace

std::string Machine::format_percent(const std::string& format, const Value& args) {
  std::string out;
  Reader in(*this, format);
  const bool tuple = has_flavor(args, Flavor::kTuple);
  size_t used = 0;
  bool named = false;
  const auto next = [&]() -> Value {
    if (tuple ? used >= args.items().size() : used > 0)
      fail("format: found fewer values than the format takes");
    return tuple ? args.items()[used++] : (++used, args);
  };
  burn_bytes(format.size());
  while (!in.done()) {
    const char c = in.take();
    if (c != '%') {
      out += c;
      continue;
    }
    if (in.skip('%')) {
      out += '%';
      continue;
    }
    Spec spec;
    std::optional<Value> value;
    spec.align = '>';
    if (in.skip('(')) {
      const size_t end = in.rest().find(')');
      if (end == std::string_view::npos) fail("format: found '(' without ')'");
      if (!args.is_dict()) fail("format: a named value needs a dict");
      const Value* found = args.find(in.rest().substr(0, end));
      if (!found)
        fail(fmt::format("format: no value named '{}'", in.rest().substr(0, std::min<size_t>(end, 60))));
      value = *found;
      in.advance(end + 1);
      named = true;
    }
    for (bool flags = true; flags;) {
      switch (in.peek()) {
        case '-': spec.align = '<'; break;
        case '+': spec.sign = '+'; break;
        case ' ': spec.sign = spec.sign == '+' ? '+' : ' '; break;
        case '#': spec.alternate = true; break;
        case '0':
          if (spec.align == '>') {
            spec.align = '=';
            spec.fill = "0";
          }
          break;
        default: flags = false; continue;
      }
      in.take();
    }
    spec.width = in.number(kMaxWidth);
    if (in.skip('.')) spec.precision = static_cast<int>(in.number(kMaxPrecision));
    spec.type = in.take();
    if (!value) value = next();
    if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
    if (spec.type == 'r') {
      std::string text;
      append_repr(text, *value);
      value = str(std::move(text));
      spec.type = 's';
    }
    if (std::string_view("dxXofFeEgGsc").find(spec.type) == std::string_view::npos)
      fail(fmt::format("format: unknown kind '%{}'", spec.type));
    if (spec.type == 's' && spec.align == '=') {
      spec.align = '>';
      spec.fill = " ";
    }
    if (spec.type != 's') need_defined(*value);
    if (spec.type == 'd' && value->kind() == Value::Kind::kFloat) {
      if (!(std::fabs(value->as_float()) < 9e18)) fail("format: found a float without a 64-bit integer");
      value = Value::integer(static_cast<int64_t>(value->as_float()));
    }
    if (spec.type == 'd' && spec.precision >= 0) spec.precision = -1;
    if (spec.type == 's') value = str(text(*value));
    if (spec.type == 'c' && value->is_string()) spec.type = 's';
    out += format_value(*this, *value, spec);
    check_memory(out.size());
  }
  if (tuple && !named && used < args.items().size()) fail("format: found more values than the format takes");
  if (!tuple && !named && used == 0 && !args.is_dict() && !has_flavor(args, Flavor::kList) &&
      !args.is_undefined())
    fail("format: found more values than the format takes");
  return out;
}

std::string format_braces(Machine& machine, const std::string& format, const Args& args) {
  std::string out;
  Reader in(machine, format);
  size_t automatic = 0;
  machine.burn_bytes(format.size());
  while (!in.done()) {
    const char c = in.take();
    if ((c == '{' || c == '}') && in.skip(c)) {
      out += c;
      continue;
    }
    if (c == '}') machine.fail("format: found a single '}'");
    if (c != '{') {
      out += c;
      continue;
    }
    const size_t end = in.rest().find('}');
    if (end == std::string_view::npos) machine.fail("format: found '{' without '}'");
    const std::string_view field = in.rest().substr(0, end);
    in.advance(end + 1);
    if (field.find('{') != std::string_view::npos)
      machine.fail("format: a field within a field is not supported");
    const size_t colon = field.find(':');
    std::string_view name = field.substr(0, colon);
    char conversion = 0;
    if (const size_t mark = name.find('!'); mark != std::string_view::npos) {
      conversion = mark + 1 < name.size() ? name[mark + 1] : '?';
      name = name.substr(0, mark);
    }
    // name(.attribute | [key])*
    const size_t stop = std::min(name.find_first_of(".["), name.size());
    const std::string_view root = name.substr(0, stop);
    Value value;
    const auto index = parse_int(root, 10);
    if (root.empty() || index) {
      const size_t i = root.empty() ? automatic++ : static_cast<size_t>(std::max<int64_t>(*index, 0));
      if (i >= args.positional.size()) machine.fail(fmt::format("format: no value number {}", i));
      value = args.positional[i];
    } else {
      const auto at =
          std::find_if(args.named.begin(), args.named.end(), [&](const auto& p) { return p.first == root; });
      if (at == args.named.end())
        machine.fail(fmt::format("format: no value named '{}'", root.substr(0, 60)));
      value = at->second;
    }
    for (std::string_view path = name.substr(stop); !path.empty();) {
      machine.burn(1);
      if (path[0] == '[') {
        const size_t close = path.find(']');
        if (close == std::string_view::npos) machine.fail("format: found '[' without ']'");
        const std::string_view key = path.substr(1, close - 1);
        const auto number = parse_int(key, 10);
        value = machine.subscript(value, number ? Value::integer(*number) : machine.str_of(key));
        path.remove_prefix(close + 1);
      } else {
        if (path[0] == '.') path.remove_prefix(1);
        const size_t length = std::min(path.find_first_of(".["), path.size());
        value = machine.attribute(value, machine.str_of(path.substr(0, length)));
        path.remove_prefix(length);
      }
      machine.need_defined(value);
    }
    if (conversion == 'r') {
      std::string text;
      machine.append_repr(text, value);
      value = machine.str(std::move(text));
    } else if (conversion == 's') {
      value = machine.str(machine.text(value));
    } else if (conversion != 0) {
      machine.fail(fmt::format("format: unknown conversion '!{}'", conversion));
    }
    const std::string_view spec = colon == std::string_view::npos ? "" : field.substr(colon + 1);
    out += spec.empty() ? machine.text(value) : format_value(machine, value, parse_spec(machine, spec));
    machine.check_memory(out.size());
  }
  return out;
}

std::string strftime_text(std::string_view format, int64_t unix_seconds, int utc_offset_seconds) {
  static constexpr const char* kMonths[] = {"January",   "February", "March",    "April",
                                            "May",       "June",     "July",     "August",
                                            "September", "October",  "November", "December"};
  static constexpr const char* kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                          "Thursday", "Friday", "Saturday"};
  // 400 years are 146097 days; years here begin in March, so that the leap day is the last.
  constexpr int64_t kLimit = int64_t{250'000'000'000};  // some eight thousand years either way
  const int64_t t = std::clamp(unix_seconds, -kLimit / 5, kLimit) + utc_offset_seconds;
  const int64_t days = t >= 0 ? t / 86400 : -((86399 - t) / 86400);
  const int64_t second = t - days * 86400;
  const int64_t shifted = days + 719468;
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const int64_t in_era = shifted - era * 146097;
  const int64_t year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
  const int64_t day_from_march = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * day_from_march + 2) / 153;
  const int64_t day = day_from_march - (153 * month_from_march + 2) / 5 + 1;
  const int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2);
  const int64_t weekday = ((days + 4) % 7 + 7) % 7;
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  static constexpr int kBefore[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  const int64_t day_of_year = kBefore[month - 1] + day + (leap && month > 2);
  const int64_t hour = second / 3600, minute = second / 60 % 60, hour12 = (hour + 11) % 12 + 1;

  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 >= format.size()) {
      out += format[i];
      continue;
    }
    char c = format[++i];
    const bool bare = c == '-' && i + 1 < format.size();  // %-d: without padding
    if (bare) c = format[++i];
    const auto two = [&](int64_t x) { return bare ? std::to_string(x) : fmt::format("{:02}", x); };
    const auto again = [&](std::string_view f) { return strftime_text(f, unix_seconds, utc_offset_seconds); };
    switch (c) {
      case 'Y': out += std::to_string(year); break;
      case 'y': out += two((year % 100 + 100) % 100); break;
      case 'm': out += two(month); break;
      case 'd': out += two(day); break;
      case 'e': out += bare ? std::to_string(day) : fmt::format("{:2}", day); break;
      case 'H': out += two(hour); break;
      case 'I': out += two(hour12); break;
      case 'M': out += two(minute); break;
      case 'S': out += two(second % 60); break;
      case 'f': out += "000000"; break;
      case 'p': out += hour < 12 ? "AM" : "PM"; break;
      case 'B': out += kMonths[month - 1]; break;
      case 'b':
      case 'h': out += std::string_view(kMonths[month - 1]).substr(0, 3); break;
      case 'A': out += kDays[weekday]; break;
      case 'a': out += std::string_view(kDays[weekday]).substr(0, 3); break;
      case 'j': out += bare ? std::to_string(day_of_year) : fmt::format("{:03}", day_of_year); break;
      case 'u': out += std::to_string(weekday == 0 ? 7 : weekday); break;
      case 'w': out += std::to_string(weekday); break;
      case 's': out += std::to_string(unix_seconds); break;
      case 'F': out += again("%Y-%m-%d"); break;
      case 'T':
      case 'X': out += again("%H:%M:%S"); break;
      case 'R': out += again("%H:%M"); break;
      case 'D':
      case 'x': out += again("%m/%d/%y"); break;
      case 'c': out += again("%a %b %e %H:%M:%S %Y"); break;
      case 'z':
      case 'Z': break;  // a time without a zone, as datetime.now() gives it
      case 'n': out += '\n'; break;
      case 't': out += '\t'; break;
      case '%': out += '%'; break;
      default:
        out += '%';
        if (bare) out += '-';
        out += c;
    }
  }
  return out;
}

}  // namespace hoist::text::jinja
