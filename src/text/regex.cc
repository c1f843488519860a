#include "text/regex.h"

#include <fmt/format.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

// Character lists, without brackets, of the shorthands whose meaning PCRE2 does not share.
const std::string& word_list() {
  static const std::string list =
      R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be}\x{24b6}-\x{24e9})"
      R"(\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})" +
      newer_ranges("L") + newer_ranges("M") + newer_ranges("Nd");
  return list;
}

constexpr const char* kSpaceList =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr size_t kMaxExpression = 16384;
constexpr uint32_t kMatchLimit = 10'000'000, kDepthLimit = 1'000'000, kHeapLimitKib = 64 * 1024;

struct Counter {
  StepBudget& budget;
  size_t last;
};

int count_step(pcre2_callout_block* block, void* data) {
  // Called at every item of the pattern that is tried; what an item walked over shows in the next position.
  auto* counter = static_cast<Counter*>(data);
  const size_t at = block->current_position;
  const uint64_t cost = 1 + (at > counter->last ? at - counter->last : counter->last - at);
  counter->last = at;
  if (cost > counter->budget.left) return PCRE2_ERROR_CALLOUT;
  counter->budget.left -= cost;
  return 0;
}

}  // namespace

std::string translate_regex(std::string_view expression, std::string_view where) {
  const auto refuse = [&](std::string_view what) {
    throw_unsupported(
        fmt::format("{}: regular expression has {}, which is not supported: {}", where, what, expression));
  };
  if (expression.size() > kMaxExpression) {
    throw_unsupported(fmt::format("{}: regular expression of {} bytes, expected at most {}", where,
                                  expression.size(), kMaxExpression));
  }
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < expression.size(); ++i) {
    const char c = expression[i];
    const char next = i + 1 < expression.size() ? expression[i + 1] : '\0';
    if (c == '\\') {
      ++i;
      switch (next) {
        case 'w': out += in_class ? word_list() : fmt::format("[{}]", word_list()); break;
        case 's': out += in_class ? kSpaceList : fmt::format("[{}]", kSpaceList); break;
        case 'W':
          if (in_class) refuse("\\W inside [ ]");
          out += fmt::format("[^{}]", word_list());
          break;
        case 'S': out += in_class ? std::string("\\S") : fmt::format("[^{}]", kSpaceList); break;
        case 'd':
          out += in_class ? "\\p{Nd}" + newer_ranges("Nd") : fmt::format("[\\p{{Nd}}{}]", newer_ranges("Nd"));
          break;
        case 'b':
        case 'B':
          if (in_class) refuse(fmt::format("\\{} inside [ ]", next));
          out += next == 'b' ? fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", word_list())
                             : fmt::format("(?:(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}]))", word_list());
          break;
        case 'p':
        case 'P': {
          const size_t close = expression.find('}', i);
          if (i + 1 >= expression.size() || expression[i + 1] != '{' || close == std::string_view::npos) {
            refuse(fmt::format("\\{} without {{ }}", next));
          }
          std::string_view name = expression.substr(i + 2, close - i - 2);
          i = close;
          bool negated = next == 'P';
          if (name.starts_with('^')) {
            negated = !negated;
            name.remove_prefix(1);
          }
          if (in_class) {
            out += fmt::format("\\{}{{{}}}{}", negated ? 'P' : 'p', name, negated ? "" : newer_ranges(name));
          } else {
            out += fmt::format("[{}\\p{{{}}}{}]", negated ? "^" : "", name, newer_ranges(name));
          }
          break;
        }
        case 'h': out += in_class ? "0-9A-Fa-f" : "[0-9A-Fa-f]"; break;
        case 'H':
          if (in_class) refuse("\\H inside [ ]");
          out += "[^0-9A-Fa-f]";
          break;
        case 'G':
        case 'K':
        case 'k':
        case 'g':
        case 'C':
        case 'Q':
        case 'E':
        case 'c':
        case 'M':
        case 'y':
        case 'Y':
        case 'O':
        case 'N':
        case 'v':
        case 'R':
        case 'X': refuse(fmt::format("\\{}", next)); break;
        case 'x': {  // taken whole, so that its braces are not read as a repeat count
          const size_t close = expression.substr(i + 1, 1) == "{" ? expression.find('}', i) : i;
          if (close == std::string_view::npos) refuse("an unclosed \\x{");
          out += c;
          out += expression.substr(i, close + 1 - i);
          i = close;
          break;
        }
        case '\0': refuse("a lone \\ at its end"); break;
        default: out += c; out += next;
      }
      continue;
    }
    if (in_class) {
      if (c == '&' && next == '&') refuse("&& inside [ ]");
      if (c == '[' && next != ':') refuse("[ inside [ ]");
      if (c == '[' && next == ':') {
        const size_t close = expression.find(":]", i + 2);
        if (close == std::string_view::npos) refuse("an unclosed [:");
        out += expression.substr(i, close + 2 - i);
        i = close + 1;
        continue;
      }
      if (c == ']') in_class = false;
      out += c;
      continue;
    }
    if (c == '[') {
      in_class = true;
      out += c;
      if (next == '^') out += expression[++i];
      if (i + 1 < expression.size() && expression[i + 1] == ']') {  // a ] that comes first is a member
        out += "\\]";
        ++i;
      }
      continue;
    }
    if (c == '(' && next == '*') refuse("(*");
    if (c == '{' && next == ',') refuse("{,");
    if (c == '}' && next == '+') refuse("}+");
    if (c == '(' && next == '?') {
      const std::string_view rest = expression.substr(i + 2, 8);
      const size_t end = rest.find_first_of(":)");
      const bool plain = rest.substr(0, 1) == ":" || rest.substr(0, 1) == "=" || rest.substr(0, 1) == "!" ||
                         rest.substr(0, 1) == ">" || rest.substr(0, 2) == "<=" || rest.substr(0, 2) == "<!" ||
                         rest.substr(0, 1) == "#";
      if (!plain) {
        // Only the option i means the same in both.
        const std::string_view options = rest.substr(0, end == std::string_view::npos ? rest.size() : end);
        if (end == std::string_view::npos || options.find_first_not_of("i-") != std::string_view::npos) {
          refuse(fmt::format("(?{}", rest));
        }
      }
    }
    out += c;
  }
  return out;
}

struct Regex::Compiled {
  pcre2_code* code = nullptr;
  ~Compiled() { pcre2_code_free(code); }
};

Regex::Regex(std::string_view expression, std::string_view where)
    : where_(where), compiled_(std::make_unique<Compiled>()) {
  const std::string translated = translate_regex(expression, where);
  struct Context {
    pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
    ~Context() { pcre2_compile_context_free(context); }
  } context;
  if (context.context == nullptr) throw std::bad_alloc();
  pcre2_set_newline(context.context, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.context, 100);
  int code = 0;
  PCRE2_SIZE offset = 0;
  compiled_->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_AUTO_CALLOUT | PCRE2_NEVER_BACKSLASH_C,
                    &code, &offset, context.context);
  if (compiled_->code == nullptr) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(code, message, sizeof(message));
    throw_unsupported(fmt::format("{}: regular expression not understood ({}): {}", where,
                                  reinterpret_cast<const char*>(message), expression));
  }
}

Regex::~Regex() = default;

void Regex::for_each_match(std::string_view text, StepBudget& budget,
                           const std::function<void(size_t, size_t)>& visit) const {
  struct Memory {
    pcre2_match_context* context = pcre2_match_context_create(nullptr);
    pcre2_match_data* data;
    explicit Memory(const pcre2_code* code) : data(pcre2_match_data_create_from_pattern(code, nullptr)) {}
    ~Memory() {
      pcre2_match_data_free(data);
      pcre2_match_context_free(context);
    }
  } memory(compiled_->code);
  if (memory.context == nullptr || memory.data == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(memory.context, kMatchLimit);
  pcre2_set_depth_limit(memory.context, kDepthLimit);
  pcre2_set_heap_limit(memory.context, kHeapLimitKib);
  Counter counter{budget, 0};
  pcre2_set_callout(memory.context, &count_step, &counter);

  size_t from = 0, last_end = std::string_view::npos;
  while (from <= text.size()) {
    counter.last = from;
    const int found = pcre2_match(compiled_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                  from, PCRE2_NO_UTF_CHECK, memory.data, memory.context);
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0) {
      PCRE2_UCHAR message[256];
      pcre2_get_error_message(found, message, sizeof(message));
      throw Error(
          ErrorCode::kResourceExhausted,
          fmt::format("{}: regular expression gave up on a text of {} bytes ({})", where_, text.size(),
                      found == PCRE2_ERROR_CALLOUT ? "too many steps for its length"
                                                   : reinterpret_cast<const char*>(message)));
    }
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(memory.data);
    const size_t begin = span[0], end = span[1];
    if (begin == end && end == last_end) {
      // An empty match right behind another: take the next one from one character on.
      if (from >= text.size()) return;
      from += char_length(static_cast<unsigned char>(text[from]));
      last_end = std::string_view::npos;
      continue;
    }
    visit(begin, end);
    from = last_end = end;
  }
}

}  // namespace hoist::text
