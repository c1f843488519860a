// Texts that must be refused, with the very message: it names the line, what was found and what was expected.
#include <gtest/gtest.h>

#include "ir/toy_ops.h"

namespace hoist::testing {
namespace {

using namespace ir;

struct Bad {
  const char* text;  // after the header line and one input %0 "x" : f32[n=3]
  const char* message;
};

TEST(TextErrors, EachNamesItsLine) {
  const Bad cases[] = {
      {"input %1 \"x\" : f32[]", "graph text line 3: found ' : f32[]', expected a name not used before"},
      {"input %2 \"y\" : f32[]",
       "graph text line 3: found ' \"y\" : f32[]', expected consecutive value numbers"},
      {"input %1 y : f32[]", "graph text line 3: found 'y : f32[]', expected '\"'"},
      {"input %1 \"y : f32[]", "graph text line 3: found '', expected '\"'"},
      {"input %1 \"y\" : f32", "graph text line 3: found 'f32', expected a type"},
      {"input %1 \"y\" : f33[]", "graph text line 3: type 'f33[]': unknown element type"},
      {"input %1 \"y\" : f32[n]", "graph text line 3: type 'f32[n]': expected axis=size"},
      {"input %1 \"y\" : f32[n=-1]", "graph text line 3: type 'f32[n=-1]': bad size"},
      {"input %1 \"y\" : f32[n=3x]", "graph text line 3: type 'f32[n=3x]': bad size"},
      {"input %1 \"y\" : f32[none=3]", "graph text line 3: type 'f32[none=3]': bad axis name"},
      {"input %1 \"y\" : f32[a-b=3]", "graph text line 3: type 'f32[a-b=3]': bad axis name"},
      {"input %1 \"y\" : f32[n=3, n=3]", "graph text line 3: type 'f32[n=3, n=3]': axis n appears twice"},
      {"input %1 \"y\" : f32[a=1, b=1, c=1, d=1, e=1, f=1, g=1, h=1, i=1]",
       "graph text line 3: type 'f32[a=1, b=1, c=1, d=1, e=1, f=1, g=1, h=1, i=1]': more than 8 axes"},
      {"input %1 \"y\" : f32[a=1000000000, b=1000000000]",
       "graph text line 3: type 'f32[a=1000000000, b=1000000000]': too large"},
      {"input %1 \"y\" : f32[z=0, a=1000000000, b=1000000000]",
       "graph text line 3: type 'f32[z=0, a=1000000000, b=1000000000]': too large"},
      {"input %1 \"y\" : f32:q9_9[n=32]", "graph text line 3: type 'f32:q9_9[n=32]': unknown block format"},
      {"input %1 \"y\" : f32:q8_0[n=33]",
       "graph text line 3: type 'f32:q8_0[n=33]': a row is not a whole number of blocks"},
      {"input %1 \"y\" : f32[] and", "graph text line 3: found ' and', expected the end of the line"},
      {"state %1 \"s\" role=king tier=device : f32[]",
       "graph text line 3: found ' tier=device : f32[]', expected a role"},
      {"state %1 \"s\" role=cache tier=tape : f32[]", "graph text line 3: found ' : f32[]', expected a tier"},
      {"state %1 \"s\" role=cache : f32[]", "graph text line 3: found ' : f32[]', expected ' tier='"},
      {"output \"o\" %1", "graph text line 3: found '', expected a value defined above"},
      {"output \"o\" %-1", "graph text line 3: found '-1', expected a value number"},
      {"output \"o\" %99999999999", "graph text line 3: found '99999999999', expected a value number"},
      {"update \"s\" %0", "graph text line 3: found ' %0', expected the name of a state"},
      {"hello", "graph text line 3: found 'hello', expected '%'"},
      {"%1", "graph text line 3: found '', expected ' = '"},
      {"%1 = frobnicate(%0) : f32[n=3]", "graph text line 3: unknown op 'frobnicate'"},
      {"%1 = scale %0", "graph text line 3: unknown op 'scale %0'"},
      {"%1 = scale(%0", "graph text line 3: found '', expected ')'"},
      {"%1 = scale(%1) : f32[n=3]",
       "graph text line 3: found ') : f32[n=3]', expected a value defined above"},
      {"%1 = scale() : f32[n=3]", "graph text line 3: scale: expected 1 operands, found 0 (operands)"},
      {"%1 = scale(%0, %0) : f32[n=3]",
       "graph text line 3: scale: expected 1 operands, found 2 (operands f32[n=3] f32[n=3])"},
      {"%1 = scale(%0) : f32[n=4]", "graph text line 3: found '', expected the type the op infers, f32[n=3]"},
      {"%1, %2 = scale(%0) : f32[n=3]",
       "graph text line 3: found 'f32[n=3]', expected as many results as the op has"},
      {"%2 = scale(%0) : f32[n=3]",
       "graph text line 3: found ' = scale(%0) : f32[n=3]', expected consecutive value numbers"},
      {"%1 = split(%0) : f32[n=3]",
       "graph text line 3: found 'f32[n=3]', expected as many results as the op has"},
      {"%1 = scale(%0) {by=2 : f32[n=3]", "graph text line 3: found '', expected '}'"},
      {"%1 = scale(%0) {by=two} : f32[n=3]", "graph text line 3: by: found 'two', expected a number"},
      {"%1 = scale(%0) {by} : f32[n=3]", "graph text line 3: attributes: found 'by', expected name=value"},
      {"%1 = scale(%0) {by=1, by=2} : f32[n=3]",
       "graph text line 3: by: found 'by=2', expected each attribute once"},
      {"%1 = scale(%0) {size=1} : f32[n=3]", "graph text line 3: unknown attribute 'size'"},
      {"%1 = scale(%0) {axes=n} : f32[n=3]", "graph text line 3: axes: found 'n', expected [item item ...]"},
      {"%1 = scale(%0) {axes=[n none]} : f32[n=3]",
       "graph text line 3: axes: found 'none', expected a name other than 'none'"},
      {"%1 = scale(%0) {sizes=[1 2 3 4 5 6 7 8 9]} : f32[n=3]",
       "graph text line 3: sizes: found '9', expected a shorter list"},
      {"%1 = scale(%0) {to=f31} : f32[n=3]",
       "graph text line 3: to: found 'f31', expected an element type such as f32"},
      {"%1 = scale(%0) {flag=1} : f32[n=3]", "graph text line 3: flag: found '1', expected true or false"},
      {"%1 = scale(%0) {count=9223372036854775808} : f32[n=3]",
       "graph text line 3: count: found '9223372036854775808', expected an integer"},
      {"%1 = scale(%0) {note=a-b} : f32[n=3]",
       "graph text line 3: note: found 'a-b', expected a name of letters, digits, '_' and '.'"},
  };
  for (const Bad& bad : cases)
    EXPECT_EQ(message_of([&] {
                parse("graph \"g\" stage=global\ninput %0 \"x\" : f32[n=3]\n" + std::string(bad.text),
                      find_toy);
              }),
              bad.message)
        << bad.text;
}

TEST(TextErrors, OfTheHeader) {
  EXPECT_EQ(message_of([] { parse("", find_toy); }), "graph text: empty");
  EXPECT_EQ(message_of([] { parse("grph", find_toy); }),
            "graph text line 1: found 'grph', expected 'graph '");
  EXPECT_EQ(message_of([] { parse("graph \"g\" stage=cosmic", find_toy); }),
            "graph text line 1: found '', expected global, local or lowered");
  EXPECT_EQ(message_of([] { parse("graph \"" + std::string(600, 'a') + "\" stage=global", find_toy); }),
            "graph text line 1: found '" + std::string(40, 'a') + "', expected a name of at most 512 bytes");
}

TEST(TextErrors, TooManyOperandsAndResults) {
  std::string text = "graph \"g\" stage=global\ninput %0 \"x\" : f32[]\n%1 = split(%0";
  for (int i = 0; i < 16; ++i) text += ", %0";
  EXPECT_EQ(message_of([&] { parse(text + ") : f32[]", find_toy); }),
            "graph text line 3: found '%0) : f32[]', expected fewer operands");
  text = "graph \"g\" stage=global\ninput %0 \"x\" : f32[]\n%1";
  for (int i = 2; i < 11; ++i) text += ", %" + std::to_string(i);
  EXPECT_EQ(message_of([&] { parse(text + " = split(%0) : f32[]", find_toy); }),
            "graph text line 3: found '%9, %10 = split(%0) : f32[]', expected fewer results");
}

}  // namespace
}  // namespace hoist::testing
