#include "io/json_value.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "io/json.h"

namespace hoist::io {
namespace {

TEST(JsonValue, PrintsEveryKind) {
  EXPECT_EQ(JsonValue().dump(), "null");
  EXPECT_EQ(JsonValue(true).dump(), "true");
  EXPECT_EQ(JsonValue(-3).dump(), "-3");
  EXPECT_EQ(JsonValue(std::numeric_limits<uint64_t>::max()).dump(), "18446744073709551615");
  EXPECT_EQ(JsonValue(std::numeric_limits<int64_t>::min()).dump(), "-9223372036854775808");
  EXPECT_EQ(JsonValue(0.5f).dump(), "0.5");
  EXPECT_EQ(JsonValue(1.0).dump(), "1.0");
  EXPECT_EQ(JsonValue(std::numeric_limits<double>::infinity()).dump(), "null");
  EXPECT_EQ(JsonValue("a\"b\n").dump(), R"("a\"b\n")");
  EXPECT_EQ(JsonValue(std::vector<int>{1, 2}).dump(), "[1,2]");
  EXPECT_EQ(JsonValue(std::map<std::string, std::string>{{"b", "1"}, {"a", "2"}}).dump(),
            R"({"a":"2","b":"1"})");
  EXPECT_EQ(JsonValue::array().dump(), "[]");
  EXPECT_EQ(JsonValue::object().dump(), "{}");
}

TEST(JsonValue, AppendsMembersInOrder) {
  JsonValue out;
  out.append("b", 1);
  out.append("a", "x");
  out["b"] = 2;
  EXPECT_EQ(out.dump(), R"({"b":2,"a":"x"})");
}

TEST(JsonValue, BracesMakeObjectsOfPairsThatBeginWithAString) {
  const JsonValue object = {{"z", 1}, {"a", {{"deep", nullptr}}}};
  EXPECT_EQ(object.dump(), R"({"z":1,"a":{"deep":null}})");
  const JsonValue list = {"x", 2, false};
  EXPECT_EQ(list.dump(), R"(["x",2,false])");
  EXPECT_EQ(JsonValue::array({{"x", 2}}).dump(), R"([["x",2]])");
  JsonValue out;
  out["names"] = {"one"};
  EXPECT_EQ(out.dump(), R"({"names":["one"]})");
}

TEST(JsonValue, MembersKeepTheirOrderAndAreReplacedInPlace) {
  JsonValue out;
  out["b"] = 1;
  out["a"]["inner"] = 2;
  out["b"] = "new";
  out["list"].push_back(JsonValue{{"k", 1}});
  EXPECT_EQ(out.dump(), R"({"b":"new","a":{"inner":2},"list":[{"k":1}]})");
  EXPECT_TRUE(out.contains("a"));
  EXPECT_FALSE(out.contains("inner"));
  EXPECT_EQ(JsonValue({{"a", 1}}).dump(2), "{\n  \"a\": 1\n}");
}

TEST(JsonValue, CopiesShareNothing) {
  JsonValue one = {{"a", 1}};
  JsonValue two = one;
  two["a"] = 2;
  EXPECT_EQ(one.dump(), R"({"a":1})");
  EXPECT_EQ(two.dump(), R"({"a":2})");
}

TEST(JsonValue, TextIsKeptAsAValue) {
  JsonValue out;
  out["kept"] = JsonValue::from_text(R"({"y": [1, 2.50]})");
  EXPECT_EQ(out.dump(), R"({"kept":{"y":[1,2.5]}})");
}

TEST(JsonValue, BytesThatAreNoTextBecomeReplacementCharacters) {
  const std::string text = JsonValue(std::string("a\xff") + "b").dump();
  EXPECT_EQ(text,
            "\"a\xef\xbf\xbd"
            "b\"");
  EXPECT_EQ(JsonDocument::parse(text, "text").root().as_string(),
            "a\xef\xbf\xbd"
            "b");
}

}  // namespace
}  // namespace hoist::io
