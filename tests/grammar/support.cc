#include "grammar/support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace hoist::text {

using nlohmann::json;

std::shared_ptr<const TokenTable> table_of(std::vector<std::string> tokens) {
  tokens.push_back("<end>");
  const auto end = static_cast<int32_t>(tokens.size() - 1);
  return std::make_shared<TokenTable>(std::move(tokens), std::vector<int32_t>{end});
}

std::shared_ptr<const TokenTable> make_table(Rng& rng, size_t pieces) {
  static const std::vector<std::string> words = {
      "{\"",   "\": ", "\",",   "\"}", "[",   "]",     "},",     "}}",   ": ",    ", ",    "\n  ", "true",
      "false", "null", "name",  "id",  "a",   "value", "items",  "key_", "date",  "2024-", "12",   "0",
      "1",     "-1.5", "e10",   "\\n", "\\u", "00",    "é",      "日本", "😀",     "\\\"",  " the", " quick",
      "fox",   "xyz",  "hello", " ",   "\t",  "{}",    "[]",     "\"\"", "\":\"", "@",     ".com", "::",
      "T",     "Z",    "abc",   "b",   "c",   "ab",    "\"a\":", "\"b"};
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.push_back(std::string(1, static_cast<char>(b)));
  while (tokens.size() < 256 + pieces) {
    std::string text;
    const size_t parts = 1 + below(rng, 3);
    for (size_t i = 0; i < parts; ++i) {
      if (chance(rng, 0.3)) {
        text += static_cast<char>('a' + below(rng, 26));
      } else {
        text += words[below(rng, words.size())];
      }
    }
    if (chance(rng, 0.2)) text = text.substr(below(rng, text.size()));  // may cut a character in two
    tokens.push_back(text);
  }
  return table_of(std::move(tokens));
}

std::shared_ptr<const Constraint> constrain(Grammar grammar, std::shared_ptr<const TokenTable> table,
                                            const ConstraintOptions& options) {
  return std::make_shared<const Constraint>(std::move(grammar), std::move(table), options);
}

std::vector<int32_t> allowed(Matcher& matcher, uint64_t tokens_left) {
  static thread_local std::vector<uint64_t> words;
  words.assign(1 << 12, 0);
  std::vector<int32_t> out;
  // The matcher's table says how many words there are; the caller's tables have at most 2^18 tokens.
  const size_t n = matcher.mask_words();
  matcher.mask({words.data(), n}, tokens_left);
  for (size_t w = 0; w < n; ++w) {
    for (uint64_t bits = words[w]; bits; bits &= bits - 1) {
      out.push_back(static_cast<int32_t>(w * 64 + static_cast<size_t>(__builtin_ctzll(bits))));
    }
  }
  return out;
}

std::string generate(const std::shared_ptr<const Constraint>& constraint, Rng& rng, uint64_t cap) {
  Matcher matcher(constraint);
  const TokenTable& table = constraint->tokens();
  std::string text;
  for (uint64_t left = cap; left > 0 && !matcher.finished(); --left) {
    const std::vector<int32_t> tokens = allowed(matcher, left);
    if (tokens.empty()) {
      ADD_FAILURE() << "no token allowed after " << text;
      return text;
    }
    int32_t token = tokens[below(rng, tokens.size())];
    if (matcher.may_stop() && chance(rng, 0.2)) token = table.end_tokens()[0];
    if (!matcher.accept(token)) {
      ADD_FAILURE() << "allowed but refused: " << table.bytes(token) << " after " << text;
      return text;
    }
    text += table.bytes(token);
    if (matcher.min_tokens() > left - 1) {
      ADD_FAILURE() << "left with " << left - 1 << " tokens, needs " << matcher.min_tokens() << " after "
                    << text;
      return text;
    }
  }
  EXPECT_TRUE(matcher.may_stop()) << "not whole: " << text;
  return text;
}

bool matches(const std::shared_ptr<const Constraint>& constraint, std::string_view text) {
  Matcher matcher(constraint);
  return matcher.accept_bytes(text) && matcher.may_stop();
}

namespace {

json random_schema(Rng& rng, int depth);

json random_string(Rng& rng) {
  json s = {{"type", "string"}};
  static const std::vector<const char*> patterns = {
      "^[a-z]{2,5}$", "b+", "^(foo|bar)[0-9]?$", "^\\d{3}-\\w*$", "[\"\\\\]x", "^.+$", "^é[^a]{1,3}$"};
  static const std::vector<const char*> formats = {"date",  "time", "date-time", "uuid",
                                                   "email", "ipv4", "ipv6"};
  if (chance(rng, 0.2)) {
    s["pattern"] = patterns[below(rng, patterns.size())];
  } else if (chance(rng, 0.2)) {
    s["format"] = formats[below(rng, formats.size())];
    return s;
  }
  if (!s.contains("pattern") && chance(rng, 0.3)) s["minLength"] = below(rng, 4);
  if (chance(rng, 0.4)) s["maxLength"] = 5 + below(rng, 12);
  return s;
}

json random_number(Rng& rng) {
  const bool integer = chance(rng, 0.6);
  json s = {{"type", integer ? "integer" : "number"}};
  const double scale = std::vector<double>{1, 10, 1000, 123456}[below(rng, 4)];
  const auto bound = [&]() -> json {
    const double x = std::round((std::uniform_real_distribution<>(-1, 1)(rng)) * scale * 8) / 8;
    return integer && chance(rng, 0.8) ? json(static_cast<int64_t>(x)) : json(x);
  };
  if (chance(rng, 0.4)) s[chance(rng, 0.5) ? "minimum" : "exclusiveMinimum"] = bound();
  if (chance(rng, 0.4)) {
    json high = bound();
    const char* low_key = s.contains("minimum") ? "minimum" : "exclusiveMinimum";
    if (s.contains(low_key) && s[low_key].get<double>() + 2 > high.get<double>()) {
      high = s[low_key].get<double>() + 2 + static_cast<double>(below(rng, 100));
    }
    s[chance(rng, 0.5) ? "maximum" : "exclusiveMaximum"] = high;
  }
  return s;
}

json random_object(Rng& rng, int depth) {
  json s = {{"type", "object"}};
  static const std::vector<std::string> names = {"name", "id", "a", "b", "value", "é\"\\", "x y", "items"};
  const size_t n = below(rng, 5);
  json required = json::array();
  for (size_t i = 0; i < n; ++i) {
    const std::string& name = names[below(rng, names.size())];
    if (s["properties"].contains(name)) continue;
    s["properties"][name] = random_schema(rng, depth - 1);
    if (chance(rng, 0.5)) required.push_back(name);
  }
  if (chance(rng, 0.1)) required.push_back("extra");
  if (!required.empty()) s["required"] = required;
  if (chance(rng, 0.3)) {
    s["additionalProperties"] = required.size() && required.back() == "extra" ? json(true)
                                : chance(rng, 0.5)                            ? json(false)
                                                                              : random_schema(rng, depth - 1);
  }
  if (chance(rng, 0.1) && !s.contains("additionalProperties")) {
    s["patternProperties"] = {{"^[a-c]{2}", random_schema(rng, depth - 1)}};
  }
  const size_t listed = s.contains("properties") ? s["properties"].size() : 0;
  if (chance(rng, 0.15) && listed) s["minProperties"] = below(rng, listed + 1);
  if (chance(rng, 0.15)) s["maxProperties"] = std::max(required.size(), listed) + below(rng, 3);
  return s;
}

json random_array(Rng& rng, int depth) {
  json s = {{"type", "array"}};
  if (chance(rng, 0.8)) s["items"] = random_schema(rng, depth - 1);
  if (chance(rng, 0.2)) s["prefixItems"] = {random_schema(rng, depth - 1), random_schema(rng, depth - 1)};
  if (chance(rng, 0.3)) s["minItems"] = below(rng, 4);
  if (chance(rng, 0.4)) s["maxItems"] = 3 + below(rng, 3);
  return s;
}

json random_schema(Rng& rng, int depth) {
  switch (below(rng, depth > 0 ? 12 : 6)) {
    case 0: return random_string(rng);
    case 1: return random_number(rng);
    case 2: return {{"type", chance(rng, 0.5) ? "boolean" : "null"}};
    case 3: return {{"enum", {"a", 1, nullptr, "é\n", {{"k", {1, 2}}}, true, 2.5}}};
    case 4: return {{"const", chance(rng, 0.5) ? json("fixed \"x\"") : json(42)}};
    case 5: return {{"type", {"string", "null", "integer"}}, {"title", "mixed"}};
    case 6: return {{"anyOf", {random_schema(rng, depth - 1), random_schema(rng, depth - 1)}}};
    case 7: {
      json s = random_object(rng, depth), t = random_object(rng, depth);
      for (json* o : {&s, &t})
        o->erase("additionalProperties"), o->erase("maxProperties"), o->erase("patternProperties");
      if (s.contains("properties") && t.contains("properties")) {
        for (auto& [name, sub] : s["properties"].items()) t["properties"].erase(name);
      }
      return {{"allOf", {s, t}}};
    }
    case 8: return random_array(rng, depth);
    case 9: return chance(rng, 0.5) ? json(true) : json{{"$ref", "#/$defs/node"}};
    default: return random_object(rng, depth);
  }
}

size_t characters(const std::string& s) {
  return static_cast<size_t>(std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

bool has_type(const std::string& type, const json& v) {
  if (type == "null") return v.is_null();
  if (type == "boolean") return v.is_boolean();
  if (type == "integer") return v.is_number_integer();
  if (type == "number") return v.is_number();
  if (type == "string") return v.is_string();
  return type == "array" ? v.is_array() : v.is_object();
}

}  // namespace

json random_schema(Rng& rng) {
  json s = chance(rng, 0.7) ? random_object(rng, 3) : random_schema(rng, 3);
  if (s.is_object()) {
    s["$defs"]["node"] = {{"type", "object"},
                          {"properties",
                           {{"v", {{"type", "integer"}}},
                            {"kids", {{"type", "array"}, {"items", {{"$ref", "#/$defs/node"}}}}}}},
                          {"required", {"v"}},
                          {"additionalProperties", false}};
  }
  return s;
}

// Patterns and formats are left to the reference validator.
bool valid(const json& s, const json& v, const json& root) {
  if (s.is_boolean()) return s.get<bool>();
  const auto has = [&](const char* k) { return s.contains(k); };
  if (has("$ref")) {
    if (!valid(root.at(json::json_pointer(s["$ref"].get<std::string>().substr(1))), v, root)) return false;
  }
  if (has("type")) {
    bool any = false;
    for (const json& t : s["type"].is_array() ? s["type"] : json::array({s["type"]})) any |= has_type(t, v);
    if (!any) return false;
  }
  if (has("const") && s["const"] != v) return false;
  if (has("enum") && std::find(s["enum"].begin(), s["enum"].end(), v) == s["enum"].end()) return false;
  if (has("anyOf") &&
      std::none_of(s["anyOf"].begin(), s["anyOf"].end(), [&](const json& b) { return valid(b, v, root); })) {
    return false;
  }
  if (has("allOf") &&
      !std::all_of(s["allOf"].begin(), s["allOf"].end(), [&](const json& b) { return valid(b, v, root); })) {
    return false;
  }
  if (v.is_number()) {
    const double x = v;
    if (has("minimum") && x < s["minimum"].get<double>()) return false;
    if (has("maximum") && x > s["maximum"].get<double>()) return false;
    if (has("exclusiveMinimum") && x <= s["exclusiveMinimum"].get<double>()) return false;
    if (has("exclusiveMaximum") && x >= s["exclusiveMaximum"].get<double>()) return false;
  }
  if (v.is_string()) {
    if (has("minLength") && characters(v) < s["minLength"]) return false;
    if (has("maxLength") && characters(v) > s["maxLength"]) return false;
  }
  if (v.is_array()) {
    if (has("minItems") && v.size() < s["minItems"]) return false;
    if (has("maxItems") && v.size() > s["maxItems"]) return false;
    const size_t fixed = has("prefixItems") ? s["prefixItems"].size() : 0;
    for (size_t i = 0; i < v.size(); ++i) {
      if (i < fixed ? !valid(s["prefixItems"][i], v[i], root)
                    : has("items") && !valid(s["items"], v[i], root)) {
        return false;
      }
    }
  }
  if (v.is_object()) {
    if (has("minProperties") && v.size() < s["minProperties"]) return false;
    if (has("maxProperties") && v.size() > s["maxProperties"]) return false;
    if (has("required")) {
      for (const json& name : s["required"]) {
        if (!v.contains(name)) return false;
      }
    }
    for (const auto& [name, value] : v.items()) {
      if (has("properties") && s["properties"].contains(name)) {
        if (!valid(s["properties"][name], value, root)) return false;
      } else if (has("additionalProperties") && !valid(s["additionalProperties"], value, root)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace hoist::text
