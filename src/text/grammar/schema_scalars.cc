// Strings and numbers of a schema.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/grammar/automaton.h"
#include "text/grammar/regex_parser.h"
#include "text/grammar/schema_compiler.h"

namespace hoist::text::grammar {
namespace {

constexpr uint32_t kMaxLength = 1024;
constexpr size_t kNumberDigits = 15;  // so that a double keeps the order of what is written
constexpr size_t kIntegerDigits = 18;

Decimal read_decimal(const JsonNode& node) {
  if (node.kind != JsonKind::kInt && node.kind != JsonKind::kNumber) node.refuse("a number");
  std::string_view text = node.compact;
  Decimal d;
  d.negative = text.starts_with('-');
  if (d.negative) text.remove_prefix(1);
  const size_t e = text.find_first_of("eE");
  int exponent = 0;
  if (e != std::string_view::npos) exponent = std::stoi(std::string(text.substr(e + 1)));
  const std::string_view mantissa = text.substr(0, e);
  const size_t point = std::min(mantissa.find('.'), mantissa.size());
  std::string digits(mantissa.substr(0, point));
  if (point < mantissa.size()) digits += mantissa.substr(point + 1);
  int whole = static_cast<int>(point) + exponent;
  if (std::abs(exponent) > 400) node.unsupported("a bound this large or small is not supported");
  if (whole < 0) digits.insert(0, static_cast<size_t>(-whole), '0'), whole = 0;
  if (static_cast<size_t>(whole) > digits.size()) digits.resize(static_cast<size_t>(whole), '0');
  d.whole = digits.substr(0, static_cast<size_t>(whole));
  d.fraction = digits.substr(static_cast<size_t>(whole));
  d.whole.erase(0, d.whole.find_first_not_of('0'));
  d.fraction.erase(d.fraction.find_last_not_of('0') + 1);
  if (d.whole.empty() && d.fraction.empty()) d.negative = false;
  return d;
}

int compare_size(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
  const int whole = a.whole.compare(b.whole);
  return whole != 0 ? whole : a.fraction.compare(b.fraction);
}

int compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  return a.negative ? compare_size(b, a) : compare_size(a, b);
}

}  // namespace

uint32_t read_count(const JsonNode& node) {
  if (node.kind == JsonKind::kNumber && node.compact.ends_with(".0") && node.compact.size() < 12 &&
      node.compact[0] != '-') {
    return static_cast<uint32_t>(std::min<uint64_t>(std::stoull(node.compact), 1'000'000'000));
  }
  if (node.kind != JsonKind::kInt || node.compact[0] == '-') node.refuse("a whole number from 0");
  return node.compact.size() > 9 ? 1'000'000'000u : static_cast<uint32_t>(std::stoul(node.compact));
}

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    constexpr std::string_view kFrom = "\b\f\n\r\t\"\\", kTo = "bfnrt\"\\";
    const size_t at = kFrom.find(c);
    if (at != std::string_view::npos) {
      out += '\\';
      out += kTo[at];
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

const char* format_pattern(std::string_view name) {
#define HOIST_DATE                                           \
  "[12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|" \
  "(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
#define HOIST_TIME \
  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define HOIST_LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
#define HOIST_OCTET "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
  static const std::pair<const char*, const char*> kFormats[] = {
      {"date", "^(" HOIST_DATE ")$"},
      {"time", "^" HOIST_TIME "$"},
      {"date-time", "^(" HOIST_DATE ")T" HOIST_TIME "$"},
      {"duration",
       "^P([0-9]{1,4}W|([0-9]{1,4}Y([0-9]{1,4}M([0-9]{1,4}D)?)?|[0-9]{1,4}M([0-9]{1,4}D)?|[0-9]{1,4}D)"
       "(T([0-9]{1,4}H([0-9]{1,4}M([0-9]{1,4}S)?)?|[0-9]{1,4}M([0-9]{1,4}S)?|[0-9]{1,4}S))?|"
       "T([0-9]{1,4}H([0-9]{1,4}M([0-9]{1,4}S)?)?|[0-9]{1,4}M([0-9]{1,4}S)?|[0-9]{1,4}S))$"},
      {"uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
      {"email", "^[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,16}){0,2}@" HOIST_LABEL "(\\." HOIST_LABEL
                "){0,2}\\.[A-Za-z]{2,12}$"},
      {"hostname", "^" HOIST_LABEL "(\\." HOIST_LABEL "){0,4}$"},
      {"ipv4", "^" HOIST_OCTET "(\\." HOIST_OCTET "){3}$"},
      {"ipv6",
       "^(([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|::|::[0-9a-f]{1,4}(:[0-9a-f]{1,4}){0,5}|"
       "[0-9a-f]{1,4}::([0-9a-f]{1,4}(:[0-9a-f]{1,4}){0,4})?|"
       "[0-9a-f]{1,4}:[0-9a-f]{1,4}::([0-9a-f]{1,4}(:[0-9a-f]{1,4}){0,3})?)$"},
      {"uri", "^[a-z][a-z0-9+.-]{1,15}://" HOIST_LABEL "(\\." HOIST_LABEL "){0,4}(:[1-9][0-9]{0,3})?"
              "(/[A-Za-z0-9._~-]{0,64}){0,8}(\\?[A-Za-z0-9._~=&-]{0,128})?(#[A-Za-z0-9._~-]{0,64})?$"},
  };
#undef HOIST_DATE
#undef HOIST_TIME
#undef HOIST_LABEL
#undef HOIST_OCTET
  for (const auto& [known, pattern] : kFormats) {
    if (name == known) return pattern;
  }
  return nullptr;
}

ExprId SchemaCompiler::string(const Conjunction& parts) {
  uint32_t low = 0, high = kUnbounded;
  std::vector<ExprId> contents;
  std::vector<const JsonNode*> places;
  const RegexOptions search{json_char, true, CodeSet::all()};
  for (const Part& part : parts) {
    for (const auto& [name, node] : part.schema->members) {
      if (name == "minLength") {
        low = std::max(low, read_count(*node));
        if (low > kMaxLength) node->unsupported(fmt::format("found {}, supported up to {}", low, kMaxLength));
      } else if (name == "maxLength") {
        high = std::min({high, read_count(*node), kMaxLength});
      } else if (name == "pattern" || name == "format") {
        if (node->kind != JsonKind::kString) node->refuse("a string");
        const char* pattern = name == "format" ? format_pattern(node->text) : node->text.c_str();
        if (!pattern) {
          node->unsupported(
              fmt::format("the format {} is not supported, only date, time, date-time, duration, uuid, "
                          "email, hostname, ipv4, ipv6 and uri",
                          node->excerpt()));
        }
        const std::string_view text =
            name == "format" ? std::string_view(pattern) : std::string_view(node->text);
        contents.push_back(parse_regex(rules_, text, "schema: " + node->pointer(), search));
        places.push_back(node);
      }
    }
  }
  if (low > high) return rules_.never();
  const bool limited = low > 0 || high != kUnbounded;
  const ExprId quote = rules_.literal("\"");
  if (contents.empty()) {
    if (!limited) return plain_string_;
    return rules_.seq({quote, rules_.repeat(bounded_char_, low, high), quote});
  }
  ExprId content = contents[0];
  for (size_t i = 1; i < contents.size(); ++i) {
    content = combine(rules_, content, contents[i], RegularOp::kBoth, "schema: " + places[i]->pointer());
  }
  if (limited) {
    content = combine(rules_, content, rules_.repeat(json_any_, low, high), RegularOp::kBoth,
                      "schema: " + places[0]->pointer());
  }
  return rules_.seq({quote, content, quote});
}

ExprId SchemaCompiler::number(const Conjunction& parts, bool integer) {
  std::optional<Bound> low, high;
  for (const Part& part : parts) {
    for (const auto& [name, node] : part.schema->members) {
      const bool lower = name == "minimum" || name == "exclusiveMinimum";
      if (!lower && name != "maximum" && name != "exclusiveMaximum") continue;
      const Bound bound{read_decimal(*node), name[0] == 'e'};
      const size_t digits = bound.value.whole.size() + bound.value.fraction.size();
      const size_t most = node->kind == JsonKind::kInt ? kIntegerDigits : kNumberDigits;
      if (digits > (integer ? most : kNumberDigits)) {
        node->unsupported(fmt::format("found {}, supported are bounds of at most {} digits", node->excerpt(),
                                      integer ? most : kNumberDigits));
      }
      std::optional<Bound>& at = lower ? low : high;
      const int order = at ? compare(bound.value, at->value) * (lower ? 1 : -1) : 1;
      if (order > 0 || (order == 0 && bound.exclusive)) at = bound;
    }
  }
  if (!low && !high) return integer ? plain_integer_ : plain_number_;
  return range(low, high, integer);
}

ExprId SchemaCompiler::range(const std::optional<Bound>& low, const std::optional<Bound>& high,
                             bool integer) {
  const Bound zero, above_zero{{}, true};
  const Bound most{{false, std::string(integer ? kIntegerDigits : kNumberDigits, '9'), ""}, false};
  const auto size_of = [](const Bound& b) {
    return Bound{{false, b.value.whole, b.value.fraction}, b.exclusive};
  };
  std::vector<ExprId> options;
  if (!high || !high->value.negative) {
    const Bound from = low && !low->value.negative ? *low : zero;
    options.push_back(nonnegative_range(rules_, from, high ? *high : most, integer));
  }
  const bool zero_or_more = low && !low->value.negative;
  if (!zero_or_more) {
    const Bound from = high && high->value.negative ? size_of(*high) : above_zero;
    const Bound to = low ? size_of(*low) : most;
    options.push_back(rules_.seq({rules_.literal("-"), nonnegative_range(rules_, from, to, integer)}));
  }
  return rules_.alt(std::move(options));
}

// Digit by digit, as long as what is written equals the start of a bound; after that any digit will do.
ExprId nonnegative_range(RuleSet& rules, const Bound& low, const Bound& high, bool integer) {
  struct Key {
    bool fraction;
    uint32_t length, at;  // digits of the whole part or left for the fraction; digits written of the part
    bool at_low, at_high;
    auto operator<=>(const Key&) const = default;
  };
  const auto whole_of = [](const Bound& b) {
    return b.value.whole.empty() ? std::string("0") : b.value.whole;
  };
  const std::string low_whole = whole_of(low), high_whole = whole_of(high);
  const std::string &low_fraction = low.value.fraction, &high_fraction = high.value.fraction;
  std::map<Key, uint32_t> number;
  std::vector<Key> todo;
  std::vector<GraphEdge> edges;
  const auto id_of = [&](Key key) {
    const auto [found, is_new] = number.emplace(key, static_cast<uint32_t>(number.size() + 2));
    if (is_new) todo.push_back(key);
    return found->second;
  };
  for (auto n = static_cast<uint32_t>(low_whole.size()); n <= high_whole.size(); ++n) {
    edges.push_back({0, id_of({false, n, 0, n == low_whole.size(), n == high_whole.size()}), rules.empty()});
  }
  while (!todo.empty()) {
    const Key k = todo.back();
    todo.pop_back();
    const uint32_t from = number.at(k);
    const auto digits = [&](char least, char low_digit, char high_digit, auto next) {
      for (char d = least; d <= '9'; ++d) {
        if ((k.at_low && d < low_digit) || (k.at_high && d > high_digit)) continue;
        edges.push_back({from, next(k.at_low && d == low_digit, k.at_high && d == high_digit),
                         rules.bytes(static_cast<uint8_t>(d), static_cast<uint8_t>(d))});
      }
    };
    if (!k.fraction && k.at < k.length) {
      digits(k.at == 0 && k.length > 1 ? '1' : '0', k.at_low ? low_whole[k.at] : '0',
             k.at_high ? high_whole[k.at] : '9', [&](bool l, bool h) {
               return id_of({false, k.length, k.at + 1, l, h});
             });
      continue;
    }
    const uint32_t written = k.fraction ? k.at : 0;
    const bool low_ok = !k.at_low || (low_fraction.size() <= written && !low.exclusive);
    const bool high_ok = !k.at_high || high_fraction.size() > written || !high.exclusive;
    if (low_ok && high_ok && (!k.fraction || k.at > 0)) edges.push_back({from, 1, rules.empty()});
    if (integer) continue;
    if (!k.fraction) {
      if (k.length < kNumberDigits) {
        edges.push_back(
            {from, id_of({true, static_cast<uint32_t>(kNumberDigits) - k.length, 0, k.at_low, k.at_high}),
             rules.literal(".")});
      }
    } else if (k.length > 0) {
      digits('0', k.at < low_fraction.size() ? low_fraction[k.at] : '0',
             k.at < high_fraction.size() ? high_fraction[k.at] : '0', [&](bool l, bool h) {
               return id_of({true, k.length - 1, l || h ? k.at + 1 : 1, l, h});
             });
    }
  }
  return rules.graph(static_cast<uint32_t>(number.size() + 2), std::move(edges));
}

}  // namespace hoist::text::grammar
