// Prints compile times and mask times of constrained generation: bench_grammar [generations per schema].
//
// The vocabularies are made up: all bytes, JSON's usual marks together, and random words, with and without a
// leading blank, as byte-level tokenizers have them.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>

#include "text/grammar/matcher.h"

namespace {

using namespace hoist::text;
using Clock = std::chrono::steady_clock;

double ms(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

std::shared_ptr<const TokenTable> make_table(size_t size) {
  std::mt19937_64 rng(7);
  std::vector<std::string> tokens;
  std::set<std::string> seen;
  const auto add = [&](const std::string& t) {
    if (seen.insert(t).second) tokens.push_back(t);
  };
  for (int b = 0; b < 256; ++b) add(std::string(1, static_cast<char>(b)));
  const std::vector<std::string> marks = {"{\"", "\":", "\": ", "\",",   "\", \"", "\"}", "\"},", "}}",
                                          "]}",  "],",  "[{\"", "\":\"", "\": \"", ": ",  ", ",   "{\n",
                                          "\n}", ",\n", "[]",   "{}",    "\"\"",   "\\n", "\\\"", "\\u00"};
  for (const std::string& m : marks) add(m);
  for (std::string blanks = "  "; blanks.size() < 32; blanks += ' ') add(blanks), add("\n" + blanks);
  for (int n = 10; n < 1000; ++n) add(std::to_string(n));
  const std::vector<std::string> syllables = {
      "an", "er", "st",  "the", "in", "re",  "on",   "at",       "tion",         "al",      "es",
      "en", "ou", "ing", "is",  "or", "it",  "le",   "se",       "ar",           "te",      "co",
      "de", "ra", "pro", "com", "un", "ver", "ment", "\xc3\xa9", "\xe6\x97\xa5", "\xd0\xb0"};
  while (tokens.size() + 1 < size) {
    std::string word = rng() % 2 ? " " : "";
    for (size_t n = 1 + rng() % 4; n > 0; --n) word += syllables[rng() % syllables.size()];
    if (rng() % 6 == 0 && word[0] >= 'a') word[0] = static_cast<char>(word[0] - 32);
    if (rng() % 40 == 0) word += marks[rng() % marks.size()];
    if (rng() % 40 == 0) word = word.substr(1);
    if (!word.empty()) add(word);
  }
  tokens.push_back("<end>");
  const auto end = static_cast<int32_t>(tokens.size() - 1);
  return std::make_shared<TokenTable>(std::move(tokens), std::vector<int32_t>{end});
}

struct Case {
  const char* name;
  Grammar (*make)();
};

const char* kPerson =
    R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":130},
"email":{"type":"string","format":"email"},"tags":{"type":"array","items":{"type":"string"},"maxItems":8},
"address":{"type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"},"zip":{"type":"string","pattern":"^[0-9]{5}$"}},
"required":["street","city"],"additionalProperties":false},"active":{"type":"boolean"}},"required":["name","age","address"]})";
const char* kTree =
    R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"value":{"type":"number"},
"left":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]},"right":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["value"]}}})";
const char* kCalls = R"({"type":"array","minItems":1,"maxItems":10,"items":{"anyOf":[
{"type":"object","properties":{"tool":{"const":"search"},"query":{"type":"string","maxLength":200},"limit":{"type":"integer","minimum":1,"maximum":50}},"required":["tool","query"]},
{"type":"object","properties":{"tool":{"const":"read_file"},"path":{"type":"string","pattern":"^/[a-z0-9_/.-]+$"}},"required":["tool","path"]},
{"type":"object","properties":{"tool":{"enum":["list","stat","open","close"]},"when":{"type":"string","format":"date-time"}},"required":["tool"]}]}})";
const char* kOpen =
    R"({"type":"object","properties":{"id":{"type":"string","format":"uuid"},"price":{"type":"number","minimum":0,"exclusiveMaximum":1000000}},
"required":["id"],"additionalProperties":{"type":["string","number","boolean","null"]}})";

const Case kCases[] = {
    {"json object", [] { return Grammar::json_object(); }},
    {"person", [] { return Grammar::from_json_schema(kPerson); }},
    {"person compact", [] { return Grammar::from_json_schema(kPerson, {0}); }},
    {"tree", [] { return Grammar::from_json_schema(kTree); }},
    {"tool calls", [] { return Grammar::from_json_schema(kCalls); }},
    {"open object", [] { return Grammar::from_json_schema(kOpen); }},
    {"long string",
     [] { return Grammar::from_json_schema(R"({"type":"string","minLength":1,"maxLength":1000})"); }},
    {"regex",
     [] {
       return Grammar::from_regex(R"((GET|POST|PUT) /[\w/.-]{1,80}(\?\w+=\w*(&\w+=\w*)*)? HTTP/1\.[01])");
     }},
    {"ebnf",
     [] {
       return Grammar::from_ebnf(
           "root ::= expr\nexpr ::= term (ws [-+*/] ws term)*\nterm ::= [a-z]+ | [0-9]+ (\".\" [0-9]+)? | "
           "\"(\" ws expr ws \")\"\nws ::= [ \\t\\n]*");
     }},
};

}  // namespace

int main(int argc, char** argv) {
  const int generations = argc > 1 ? std::atoi(argv[1]) : 20;
  for (const size_t size : {size_t{32'000}, size_t{128'000}}) {
    const auto start = Clock::now();
    const auto table = make_table(size);
    std::printf("vocabulary %zu (%zu trie nodes, made in %.0f ms)\n", size, table->nodes(),
                ms(start, Clock::now()));
    std::printf("  %-15s %7s %8s %8s | %7s %8s %8s %8s %8s %8s %7s\n", "grammar", "states", "compile",
                "costs", "masks", "mean us", "p50 us", "p99 us", "max us", "accept", "kept MB");
    for (const Case& c : kCases) {
      const auto t0 = Clock::now();
      Grammar grammar = c.make();
      const auto t1 = Clock::now();
      const size_t states = grammar.states();
      const auto constraint = std::make_shared<const Constraint>(std::move(grammar), table);
      const auto t2 = Clock::now();
      std::vector<double> times;
      double accepting = 0;
      std::mt19937_64 rng(3);
      std::vector<uint64_t> words(table->mask_words());
      for (int g = 0; g < generations; ++g) {
        Matcher matcher(constraint);
        const uint64_t cap = constraint->min_tokens() + 200;
        for (uint64_t left = cap; left > 0 && !matcher.finished(); --left) {
          const auto a = Clock::now();
          matcher.mask(words, left);
          const auto b = Clock::now();
          times.push_back(ms(a, b) * 1000);
          // A random allowed token: the first from a random place on.
          const size_t from = rng() % words.size();
          int32_t token = -1;
          for (size_t i = 0; i <= words.size() && token < 0; ++i) {
            const size_t w = (from + i) % words.size();
            if (words[w])
              token = static_cast<int32_t>(w * 64 + static_cast<size_t>(__builtin_ctzll(words[w])));
          }
          const auto d = Clock::now();
          if (token < 0 || !matcher.accept(token)) return std::fprintf(stderr, "%s: stuck\n", c.name), 1;
          accepting += ms(d, Clock::now()) * 1000;
        }
      }
      std::sort(times.begin(), times.end());
      double sum = 0;
      for (const double t : times) sum += t;
      const auto at = [&](double q) {
        return times[std::min(times.size() - 1, static_cast<size_t>(q * double(times.size())))];
      };
      std::printf("  %-15s %7zu %5.1f ms %5.1f ms | %7zu %8.1f %8.1f %8.1f %8.1f %8.2f %7.1f\n", c.name,
                  states, ms(t0, t1), ms(t1, t2), times.size(), sum / double(times.size()), at(0.5), at(0.99),
                  times.back(), accepting / double(times.size()), double(constraint->cached_bytes()) / 1e6);
    }
  }
  return 0;
}
