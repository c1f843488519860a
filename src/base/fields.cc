#include "base/fields.h"

#include <charconv>
#include <cmath>

#include "base/error.h"

namespace hoist {

bool is_identifier(std::string_view s) {
  if (s.empty() || s.size() > 128) return false;
  for (size_t i = 0; i < s.size(); ++i) {
    char c = s[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(i && ((c >= '0' && c <= '9') || c == '.'))) return false;
  }
  return true;
}

namespace fields_internal {

namespace {

[[noreturn]] void bad(std::string_view field, std::string_view text, const char* expected) {
  throw_invalid(std::string(field) + ": found '" + std::string(text.substr(0, 64)) + "', expected " +
                expected);
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

template <class T, class Print>
void print_list(std::string& out, const T& list, Print print) {
  out += '[';
  for (int i = 0; i < list.size(); ++i) {
    if (i) out += ' ';
    print(list[i]);
  }
  out += ']';
}

template <class Add>
void parse_list(std::string_view field, std::string_view text, int capacity, Add add) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') bad(field, text, "[item item ...]");
  text = text.substr(1, text.size() - 2);
  int n = 0;
  while (true) {
    text = trim(text);
    if (text.empty()) return;
    size_t end = text.find(' ');
    if (++n > capacity) bad(field, text, "a shorter list");
    add(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end);
  }
}

}  // namespace

void print_value(std::string& out, bool x) { out += x ? "true" : "false"; }
void print_value(std::string& out, int64_t x) { out += std::to_string(x); }
void print_value(std::string& out, double x) {
  char buffer[32];
  auto r = std::to_chars(buffer, buffer + sizeof buffer, x);
  out.append(buffer, r.ptr);
}
void print_value(std::string& out, Symbol x) { out += x.empty() ? std::string_view("none") : x.name(); }
void print_value(std::string& out, DType x) { out += dtype_name(x); }
void print_value(std::string& out, const AxisList& x) {
  print_list(out, x, [&](Symbol s) { out += s.name(); });
}
void print_value(std::string& out, const IntList& x) {
  print_list(out, x, [&](int64_t n) { out += std::to_string(n); });
}
void print_value(std::string& out, const NumberList& x) {
  print_list(out, x, [&](double n) { print_value(out, n); });
}

void parse_value(std::string_view field, std::string_view text, bool& x) {
  if (text != "true" && text != "false") bad(field, text, "true or false");
  x = text == "true";
}
void parse_value(std::string_view field, std::string_view text, int64_t& x) {
  auto r = std::from_chars(text.data(), text.data() + text.size(), x);
  if (r.ec != std::errc() || r.ptr != text.data() + text.size()) bad(field, text, "an integer");
}
void parse_value(std::string_view field, std::string_view text, double& x) {
  auto r = std::from_chars(text.data(), text.data() + text.size(), x);
  if (r.ec != std::errc() || r.ptr != text.data() + text.size()) bad(field, text, "a number");
}
void parse_value(std::string_view field, std::string_view text, Symbol& x) {
  if (!is_identifier(text)) bad(field, text, "a name of letters, digits, '_' and '.'");
  x = Symbol(text);
}
void parse_value(std::string_view field, std::string_view text, DType& x) {
  auto d = dtype_from_name(text);
  if (!d) bad(field, text, "an element type such as f32");
  x = *d;
}
void parse_value(std::string_view field, std::string_view text, AxisList& x) {
  x = {};
  parse_list(field, text, AxisList::capacity(), [&](std::string_view item) {
    Symbol s;
    parse_value(field, item, s);
    if (s.empty()) bad(field, item, "a name other than 'none'");
    x.push_back(s);
  });
}
void parse_value(std::string_view field, std::string_view text, IntList& x) {
  x = {};
  parse_list(field, text, IntList::capacity(), [&](std::string_view item) {
    int64_t n = 0;
    parse_value(field, item, n);
    x.push_back(n);
  });
}

void parse_value(std::string_view field, std::string_view text, NumberList& x) {
  x = {};
  parse_list(field, text, NumberList::capacity(), [&](std::string_view item) {
    double n = 0;
    parse_value(field, item, n);
    x.push_back(n);
  });
}

std::vector<KeyValue> split(std::string_view text) {
  std::vector<KeyValue> pairs;
  while (true) {
    text = trim(text);
    if (text.empty()) return pairs;
    size_t depth = 0, end = 0;
    for (; end < text.size(); ++end) {
      if (text[end] == '[') ++depth;
      if (text[end] == ']' && depth) --depth;
      if (text[end] == ',' && depth == 0) break;
    }
    std::string_view item = text.substr(0, end);
    size_t equals = item.find('=');
    if (equals == std::string_view::npos) bad("attributes", item, "name=value");
    pairs.push_back({trim(item.substr(0, equals)), trim(item.substr(equals + 1))});
    for (size_t i = 0; i + 1 < pairs.size(); ++i)
      if (pairs[i].key == pairs.back().key) bad(pairs.back().key, item, "each attribute once");
    text.remove_prefix(end < text.size() ? end + 1 : end);
  }
}

void reject_unused(const std::vector<KeyValue>& pairs) {
  for (const auto& pair : pairs)
    if (!pair.used) throw_invalid("unknown attribute '" + std::string(pair.key.substr(0, 64)) + "'");
}

}  // namespace fields_internal
}  // namespace hoist
