// Compiled grammars are kept, the least recently used ones go, and refusals blame their field.
#include "serve/constraints.h"

#include <gtest/gtest.h>

#include "serve/tiny_model.h"

namespace hoist::serve {
namespace {

http::AnswerFormat regex(std::string text) {
  return {http::AnswerFormat::Kind::kRegex, std::move(text), {}, "regex"};
}

TEST(Constraints, AreKeptByTheirText) {
  const decode::Model m = tiny_model();
  ConstraintsOptions options;
  options.max_entries = 3;
  Constraints constraints(*m.tokenizer, m.eos_ids, options);
  const auto a = constraints.get(regex("a+"));
  EXPECT_EQ(constraints.get(regex("a+")), a);
  EXPECT_EQ(constraints.compiled(), 1);
  const auto b = constraints.get({http::AnswerFormat::Kind::kGrammar, "root ::= \"a+\"", {}, "grammar"});
  EXPECT_NE(b, a) << "another kind";
  constraints.get(regex("b"));
  EXPECT_EQ(constraints.get(regex("a+")), a);
  constraints.get(regex("c"));  // the grammar goes
  EXPECT_EQ(constraints.size(), 3u);
  EXPECT_EQ(constraints.get(regex("a+")), a);
  EXPECT_EQ(constraints.compiled(), 4);
  constraints.get({http::AnswerFormat::Kind::kGrammar, "root ::= \"a+\"", {}, "grammar"});
  EXPECT_EQ(constraints.compiled(), 5);
}

TEST(Constraints, RefusalsBlameTheField) {
  const decode::Model m = tiny_model();
  Constraints constraints(*m.tokenizer, m.eos_ids);
  using Kind = http::AnswerFormat::Kind;
  for (const auto& [kind, text] :
       {std::pair{Kind::kRegex, "a("}, std::pair{Kind::kGrammar, "root ::= x"},
        std::pair{Kind::kJsonSchema, R"({"type":"widget"})"}, std::pair{Kind::kJsonSchema, "{"},
        std::pair{Kind::kJsonSchema, R"({"not":{}})"}}) {
    try {
      constraints.get({kind, text, {}, "some_field"});
      ADD_FAILURE() << text;
    } catch (const http::FieldError& e) {
      EXPECT_EQ(e.field(), "some_field");
      EXPECT_GT(std::string(e.what()).size(), 20u);
    }
  }
  EXPECT_EQ(constraints.size(), 0u);
}

TEST(Constraints, ChoicesAreLiteral) {
  const decode::Model m = tiny_model();
  Constraints constraints(*m.tokenizer, m.eos_ids);
  const std::vector<std::string> choices = {"yes", "a.b*", "(no)", "x|y", "new\nline", "caf\xC3\xA9", "\\d"};
  const auto c = constraints.get({http::AnswerFormat::Kind::kChoice, "", choices, "guided_choice"});
  for (const std::string& choice : choices) {
    text::Matcher matcher(c);
    EXPECT_TRUE(matcher.accept_bytes(choice) && matcher.may_stop()) << choice;
  }
  for (const char* other : {"axb", "x", "no", "5", "yesyes"}) {
    text::Matcher matcher(c);
    EXPECT_FALSE(matcher.accept_bytes(other) && matcher.may_stop()) << other;
  }
}

}  // namespace
}  // namespace hoist::serve
