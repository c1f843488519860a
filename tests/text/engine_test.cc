// The parts of the tokenizer against naive versions of themselves: merging, added tokens, patterns,
// splitting.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "test_util.h"
#include "text/added_tokens.h"
#include "text/bpe_model.h"
#include "text/pattern.h"
#include "text/pre_tokenizer.h"
#include "text/regex.h"
#include "text/unicode.h"

namespace hoist::text {
namespace {

// Tokens are strings over a and b; merges in random order, so a merge may bring up one of lower rank.
struct RandomBpe {
  BpeModel model;
  std::vector<std::pair<std::string, std::string>> merges;

  explicit RandomBpe(std::mt19937_64& rng) {
    std::vector<std::string> tokens = {"a", "b"};
    uint64_t id = 0;
    for (const std::string& token : tokens) model.vocab.add(token, id++);
    for (int i = 0; i < 24; ++i) {
      const std::string left = tokens[rng() % tokens.size()], right = tokens[rng() % tokens.size()];
      if ((left + right).size() > 12) continue;
      if (model.vocab.add(left + right, id)) {
        ++id;
        tokens.push_back(left + right);
      }
      const std::pair<std::string, std::string> merge(left, right);
      if (std::find(merges.begin(), merges.end(), merge) == merges.end()) merges.push_back(merge);
    }
    std::shuffle(merges.begin(), merges.end(), rng);
    EXPECT_EQ(model.vocab.finish(), "");
    for (const auto& [left, right] : merges) EXPECT_EQ(model.add_merge(left, right), "");
    model.finish();
  }

  std::vector<int32_t> naive(const std::string& word) const {
    std::vector<std::string> symbols;
    for (const char c : word) symbols.emplace_back(1, c);
    for (bool merged = true; merged;) {
      merged = false;
      for (const auto& [left, right] : merges) {
        for (size_t i = 0; i + 1 < symbols.size() && !merged; ++i) {
          if (symbols[i] != left || symbols[i + 1] != right) continue;
          symbols[i] += symbols[i + 1];
          symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(i) + 1);
          merged = true;
        }
        if (merged) break;
      }
    }
    std::vector<int32_t> ids;
    for (const std::string& symbol : symbols) ids.push_back(model.vocab.find(symbol));
    return ids;
  }
};

TEST(Merging, EqualsLowestRankLeftmostFirst) {
  std::mt19937_64 rng(11);
  for (int round = 0; round < 200; ++round) {
    const RandomBpe bpe(rng);
    BpeModel::Scratch scratch;
    for (int i = 0; i < 6; ++i) {
      std::string word(rng() % (i % 2 ? 30 : 200), 'a');  // both sides of the short path
      for (char& c : word) c = rng() % 3 ? 'a' : 'b';
      std::vector<int32_t> ids;
      bpe.model.encode_word(word, false, scratch, ids);
      ASSERT_EQ(ids, bpe.naive(word)) << word;
    }
  }
}

// Work is counted, not timed: twice the input is at most 2.1 times the pairs looked up.
TEST(Merging, WorkIsLinearInTheLengthOfARun) {
  BpeModel model;
  std::vector<std::string> tokens = {"a"};
  model.vocab.add("a", 0);
  for (int i = 1; i < 16; ++i) {
    tokens.push_back(tokens.back() + tokens.back());
    model.vocab.add(tokens.back(), static_cast<uint64_t>(i));
  }
  ASSERT_EQ(model.vocab.finish(), "");
  for (size_t i = 0; i + 1 < tokens.size(); ++i) ASSERT_EQ(model.add_merge(tokens[i], tokens[i]), "");
  model.finish();
  uint64_t work[2];
  for (const size_t times : {1, 2}) {
    BpeModel::Scratch scratch;
    std::vector<int32_t> ids;
    model.encode_word(std::string(times << 20, 'a'), false, scratch, ids);
    work[times - 1] = scratch.lookups();
  }
  EXPECT_LE(static_cast<double>(work[1]), 2.1 * static_cast<double>(work[0]));
  EXPECT_LE(work[0], uint64_t{8} << 20);
}

TEST(AddedTokens, MatchLeftmostLongest) {
  std::mt19937_64 rng(12);
  for (int round = 0; round < 500; ++round) {
    AddedTokenMatcher matcher;
    std::vector<std::string> tokens;
    for (size_t i = rng() % 6 + 1; i > 0; --i) {
      std::string token(rng() % 5 + 1, 'a');
      for (char& c : token) c = static_cast<char>('a' + rng() % 3);
      if (matcher.add(token, AddedToken{}, static_cast<int32_t>(tokens.size()))) tokens.push_back(token);
    }
    matcher.build();
    std::string text(rng() % 40, 'a');
    for (char& c : text) c = static_cast<char>('a' + rng() % 4);
    std::vector<Segment> segments;
    matcher.split(text, segments);
    std::string naive, ours;
    for (size_t at = 0; at < text.size();) {
      int best = -1;
      for (size_t i = 0; i < tokens.size(); ++i) {
        const bool here = text.compare(at, tokens[i].size(), tokens[i]) == 0;
        if (here && (best < 0 || tokens[i].size() > tokens[static_cast<size_t>(best)].size()))
          best = static_cast<int>(i);
      }
      if (best < 0) {
        naive += text[at++];
      } else {
        naive += fmt::format("[{}]", best);
        at += tokens[static_cast<size_t>(best)].size();
      }
    }
    for (const Segment& segment : segments) {
      ours += segment.token < 0 ? text.substr(segment.begin, segment.end - segment.begin)
                                : fmt::format("[{}]", segment.token);
    }
    ASSERT_EQ(ours, naive) << text;
  }
}

const char* const kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

TEST(Scanners, AgreeWithTheRegexEngine) {
  std::mt19937_64 rng(13);
  for (const char* expression : {kGpt2Regex, kLlama3, kQwen2, kO200k}) {
    const Scanner scanner = find_scanner(expression);
    ASSERT_NE(scanner, nullptr);
    const Regex regex(expression, "test");
    for (int round = 0; round < 1500; ++round) {
      const std::string text = random_text(rng, 10);
      std::string ours, theirs;
      for (size_t at = 0; at < text.size(); at = scanner(text, at)) ours += fmt::format("{} ", at);
      StepBudget budget = StepBudget::for_text(text.size());
      regex.for_each_match(text, budget, [&](size_t begin, size_t) { theirs += fmt::format("{} ", begin); });
      ASSERT_EQ(ours, theirs) << expression << "\n" << text;
    }
  }
}

TEST(Regexes, AreTranslatedOrRefused) {
  EXPECT_EQ(translate_regex("a(?:b|c)+?$", "x"), "a(?:b|c)+?$");
  EXPECT_EQ(translate_regex("[]a]", "x"), "[\\]a]");
  EXPECT_EQ(translate_regex("\\h", "x"), "[0-9A-Fa-f]");
  EXPECT_EQ(translate_regex("\\x{41}+\\x42", "x"), "\\x{41}+\\x42");
  for (const char* bad : {"[a&&b]", "(?m:.)", "(*ANY)", "\\X", "a\\", "[^\\W]", "(", "a{,3}", "\\pL", "a{2}+",
                          "(?P<x>a)", "[a[b]]"}) {
    try {
      Regex regex(bad, "file: pre_tokenizer.pattern.Regex");
      ADD_FAILURE() << bad << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_EQ(std::string(error.what()).find("file: pre_tokenizer.pattern.Regex: regular expression"), 0u)
          << error.what();
      EXPECT_NE(std::string(error.what()).find(bad), std::string::npos) << error.what();
    }
  }
}

TEST(Regexes, GiveUpInsteadOfHanging) {
  const std::string text(200'000, 'a');
  for (const char* slow : {"(a+)+b", "(a|a)*b", "a+[bc]", "a*a*a*a*b", "(?:a?){40}a{40}b", "(a*)*\\1b"}) {
    const Regex regex(slow, "x");
    StepBudget budget = StepBudget::for_text(text.size());
    try {
      regex.for_each_match(text, budget, [](size_t, size_t) {});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted) << error.what();
    }
  }
}

std::string join_pieces(const std::string& text, std::vector<Span> spans, SplitBehavior behavior) {
  split_spans(spans, behavior);
  std::string out;
  for (const Span& span : spans)
    out += (out.empty() ? "" : "|") + text.substr(span.begin, span.end - span.begin);
  return out;
}

TEST(Splitting, EveryBehaviour) {
  const std::string text = "the-final--countdown-";
  std::vector<Span> spans;
  StepBudget budget = StepBudget::for_text(0);
  Pattern::literal("-").find(text, budget, spans);
  EXPECT_EQ(join_pieces(text, spans, SplitBehavior::kRemoved), "the|final|countdown");
  EXPECT_EQ(join_pieces(text, spans, SplitBehavior::kIsolated), "the|-|final|-|-|countdown|-");
  EXPECT_EQ(join_pieces(text, spans, SplitBehavior::kMergedWithPrevious), "the-|final-|-|countdown-");
  EXPECT_EQ(join_pieces(text, spans, SplitBehavior::kMergedWithNext), "the|-final|-|-countdown|-");
  EXPECT_EQ(join_pieces(text, spans, SplitBehavior::kContiguous), "the|-|final|--|countdown|-");
}

TEST(Unicode, NormalFormsAreStableAndSurviveHostileMarks) {
  std::mt19937_64 rng(14);
  for (const NormalForm form : {NormalForm::kNfc, NormalForm::kNfd, NormalForm::kNfkc, NormalForm::kNfkd}) {
    for (int round = 0; round < 300; ++round) {
      const std::string once = normalize(random_text(rng, 10), form);
      ASSERT_TRUE(is_utf8(once));
      ASSERT_EQ(normalize(once, form), once);
    }
  }
  EXPECT_EQ(normalize("e\u0301\u0323", NormalForm::kNfc), "\u1EB9\u0301");
  EXPECT_EQ(normalize("\u1112\u1161\u11AB", NormalForm::kNfc), "\uD55C");
  EXPECT_EQ(normalize("\uFB01", NormalForm::kNfkc), "fi");
  std::string marks = "a";
  for (int i = 0; i < 100'000; ++i) marks += i % 2 ? "\u0301" : "\u0323";  // bubbling would take 10^10 steps
  EXPECT_EQ(normalize(marks, NormalForm::kNfd).size(), marks.size());
  EXPECT_EQ(lowercase("ÀB\u0130\u01C5"), "àbi\u0307\u01C6");
}

TEST(Utf8, RepairsByMaximalParts) {
  EXPECT_EQ(repair_utf8("a\xFF"
                        "b"),
            "a\uFFFDb");
  EXPECT_EQ(repair_utf8("\xE4\xB8"), "\uFFFD");
  EXPECT_EQ(repair_utf8("\xE4\xB8x"), "\uFFFDx");
  EXPECT_EQ(repair_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(repair_utf8("\xF0\x9F\x98\x80"), "\U0001F600");
  EXPECT_EQ(repair_utf8("\xC0\x80"), "\uFFFD\uFFFD");
}

}  // namespace
}  // namespace hoist::text
