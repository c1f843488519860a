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

// A form's fields: in order, optional ones left out or not, texts without their end in them.
TEST(Constraints, FormsOfToolCalls) {
  const decode::Model m = tiny_model();
  Constraints constraints(*m.tokenizer, m.eos_ids);
  text::TaggedValues form;
  form.begin = "[";
  form.end = "]";
  form.stop = "</p>";
  form.choices = {{"f:",
                   "",
                   ";",
                   {{"<a>", R"({"type":"string"})", "</p>", true, true},
                    {"<b>", R"({"enum":["x y","z"]})", "</p>", false, true},
                    {"<c>", R"({"type":"integer"})", "</p>", false, false},
                    {"<d>", R"({"type":"string","maxLength":2})", "</p>", false, true}}}};
  const auto c = constraints.get(form, "tools");
  EXPECT_EQ(constraints.get(form, "tools"), c);
  for (const char* good : {"[f:<a></p>;]", "[f:<a>any \"text\"\n</p>;]", "[f:<a><</</p</</p>;]",
                           "[f:<a><<<</p>;]", "[f:<a>caf\xC3\xA9</p><b>x y</p>;]", "[f:<a>1</p><c>12</p>;]",
                           "[f:<a>1</p><b>z</p><c>-1</p><d>ab</p>;]", "[f:<a>1</p><d></p>;]"}) {
    text::Matcher matcher(c);
    EXPECT_TRUE(matcher.accept_bytes(good) && matcher.may_stop()) << good;
  }
  for (const char* bad :
       {"[f:;]", "[f:<b>z</p>;]", "[f:<a>1</p>x</p>;]", "[f:<a>1</p><b>y</p>;]", "[f:<a>1</p><c>\"1\"</p>;]",
        "[f:<a>1</p><d>abc</p>;]", "[f:<a>1</p><c>1</p><b>z</p>;]", "[f:<a>\xC3</p>;]"}) {
    text::Matcher matcher(c);
    EXPECT_FALSE(matcher.accept_bytes(bad) && matcher.may_stop()) << bad;
  }
  form.choices[0].fields[3].required = true;
  EXPECT_NE(constraints.get(form, "tools"), c) << "all of it is its name";
  form.choices[0].fields[1].schema = R"({"enum":["a</p>"]})";
  EXPECT_THROW(constraints.get(form, "tools"), http::FieldError);
}

}  // namespace
}  // namespace hoist::serve
