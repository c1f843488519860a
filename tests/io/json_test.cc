#include "io/json.h"

#include <gtest/gtest.h>

#include <random>

#include "support.h"

namespace hoist::io {
namespace {

std::string refusal(std::string_view text, const JsonOptions& options = {}) {
  return message_of([&] { JsonDocument::parse(text, "doc", options); });
}
std::string round_trip(std::string_view text) { return JsonDocument::parse(text, "doc").root().dump(); }

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text : {"",
                           "  ",
                           "nullx",
                           "null null",
                           "truex",
                           "tru",
                           "1 2",
                           "1x",
                           "01",
                           "[01]",
                           "+1",
                           ".5",
                           "1.",
                           "[1,]",
                           "[1,2",
                           "[1}",
                           "[1 2]",
                           "{\"a\":1,}",
                           "{\"a\":1 \"b\":2}",
                           "{\"a\" 1}",
                           "{\"a\"}",
                           "{1:2}",
                           "{}}",
                           "[] []",
                           "[1]]",
                           "\"a",
                           "\"a\"x",
                           "'a'",
                           "[\"a\tb\"]",
                           "\"\\x\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "NaN",
                           "[Infinity]",
                           "1e400",
                           "123456789012345678901234567890",
                           "\xef\xbb\xbf{}",
                           "// c\n1",
                           "[nul]",
                           "nan",
                           "-"})
    EXPECT_NE(refusal(text), "") << text;
}

TEST(Json, SaysWhere) {
  EXPECT_EQ(refusal("{\n \"a\": tru\n}"), "doc: not valid JSON: broken syntax (line 2, byte 8)");
  EXPECT_EQ(refusal("\xff"), "doc: not valid UTF-8");
  EXPECT_EQ(refusal("{\"a\":1,\"b\":{\"x\":1,\"x\":2}}"), "doc: key \"x\" is given twice in one object");
  EXPECT_EQ(code_of([] { JsonDocument::parse("[", "doc"); }), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([] { JsonDocument::parse("[", "doc", {.syntax_error = ErrorCode::kInvalidArgument}); }),
            ErrorCode::kInvalidArgument);
}

TEST(Json, DuplicateKeysAreSeenThroughEscapes) {
  EXPECT_NE(refusal("{\"a\":1,\"\\u0061\":2}"), "");
  std::string many = "{";
  for (int i = 0; i < 5000; ++i) many += "\"key" + std::to_string(i) + "\":[],";
  EXPECT_EQ(refusal(many + "\"last\":0}"), "");
  EXPECT_NE(refusal(many + "\"key77\":0}"), "");
}

TEST(Json, CapsDepthAndSize) {
  const auto nested = [](int n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_EQ(refusal(nested(64)), "");
  EXPECT_NE(refusal(nested(65)).find("nested deeper than 64 levels"), std::string::npos);
  EXPECT_NE(refusal(nested(1'000'000)), "");
  EXPECT_NE(refusal(std::string(1'000'000, '[')), "");
  std::string objects;
  for (int i = 0; i < 65; ++i) objects += "{\"a\":";
  EXPECT_NE(refusal(objects + "1" + std::string(65, '}')).find("nested deeper"), std::string::npos);
  EXPECT_NE(refusal("[1,2,3]", {.max_bytes = 6}), "");
  EXPECT_EQ(refusal("[1,2,3]", {.max_bytes = 7}), "");
}

TEST(Json, KeepsValuesExactly) {
  EXPECT_EQ(round_trip(" [ 1 , -2.5,true ,false,null,\"\\u00e9\\n\\\"\",{\"b\":{},\"a\":[]} ] "),
            "[1,-2.5,true,false,null,\"é\\n\\\"\",{\"b\":{},\"a\":[]}]");
  for (const char* text : {"0", "-1", "576460752303423487", "576460752303423488", "-576460752303423488",
                           "-576460752303423489", "9223372036854775807", "-9223372036854775808",
                           "18446744073709551615", "0.1", "-0.0", "1e-300", "5e-324", "\"\\u0000\"", "\"😀\""})
    EXPECT_EQ(round_trip(text), text);
  EXPECT_EQ(round_trip("\"\\ud83d\\ude00\""), "\"😀\"");
}

TEST(Json, RandomTreesRoundTrip) {
  std::mt19937 random(7);
  const auto make = [&](auto&& self, int depth) -> std::string {
    switch (random() % (depth < 5 ? 8 : 6)) {
      case 0: return "null";
      case 1: return random() % 2 ? "true" : "false";
      case 2: {
        const uint64_t bits = uint64_t{random()} << 32 | random();
        return std::to_string(static_cast<int64_t>(bits) >> random() % 60);
      }
      case 3: return std::to_string(static_cast<double>(random()) / 65536 + 0.5);
      case 4: return json_quote(std::string(random() % 5, static_cast<char>(random() % 128)));
      case 5: return "\"κλειδί" + std::to_string(random()) + "\"";
      case 6: {
        std::string out = "[";
        for (unsigned i = 0, n = random() % 5; i < n; ++i) out += (i ? "," : "") + self(self, depth + 1);
        return out + "]";
      }
      default: {
        std::string out = "{";
        for (unsigned i = 0, n = random() % 5; i < n; ++i)
          out += (i ? ",\"" : "\"") + std::to_string(i) + "\":" + self(self, depth + 1);
        return out + "}";
      }
    }
  };
  for (int i = 0; i < 500; ++i) {
    const std::string text = round_trip(make(make, 0));
    EXPECT_EQ(round_trip(text), text);
  }
}

TEST(Json, GettersNameSourcePathFoundAndExpected) {
  const JsonDocument doc = JsonDocument::parse(
      R"({"a":{"b c":[1,{"x":[true,"s",-7,3.0,18446744073709551615]}]},"n":null})", "cfg.json");
  const Json root = doc.root();
  const auto second = root.at("a").at("b c").elements().begin();
  auto it = second;
  ++it;
  const Json xs = (*it).at("x");
  auto at = xs.elements().begin();
  EXPECT_TRUE((*at).as_bool());
  EXPECT_EQ(message_of([&] { (*at).as_int(0, 5); }),
            "cfg.json: a[\"b c\"][1].x[0]: found true, expected an integer from 0 to 5");
  ++at;
  EXPECT_EQ(message_of([&] { (*at).as_double(0, 1); }),
            "cfg.json: a[\"b c\"][1].x[1]: found \"s\", expected a number from 0 to 1");
  ++at;
  EXPECT_EQ((*at).as_int(-7, -7), -7);
  EXPECT_NE(message_of([&] { (*at).as_int(-6, 0); }), "");
  ++at;
  EXPECT_NE(message_of([&] { (*at).as_int(); }).find("found 3.0, expected an integer"), std::string::npos);
  ++at;
  EXPECT_NE(message_of([&] { (*at).as_int(); }), "");
  EXPECT_EQ((*at).as_double(0, 1e30), 18446744073709551615.0);
  EXPECT_EQ(message_of([&] { root.at("q"); }), "cfg.json: key \"q\" is missing");
  EXPECT_EQ(message_of([&] { root.get_int_or("n", 3, 0, 9); }),
            "cfg.json: n: found null, expected an integer from 0 to 9");
  EXPECT_EQ(root.get_int_or("absent", 3, 0, 9), 3);
  EXPECT_EQ(xs.size(), 5u);
  EXPECT_NE(message_of([&] { root.at("n").size(); }), "");
  EXPECT_NE(message_of([&] { root.at("n").find("x"); }), "");
}

TEST(Json, ListsUnreadKeys) {
  const JsonDocument doc = JsonDocument::parse(R"({"a":1,"b":{"c":2},"d":3})", "doc");
  EXPECT_EQ(doc.root().unread_keys(), (std::vector<std::string>{"a", "b", "d"}));
  doc.root().at("b");
  EXPECT_FALSE(doc.root().find("zz"));
  EXPECT_EQ(doc.root().unread_keys(), (std::vector<std::string>{"a", "d"}));
  EXPECT_EQ(doc.root().at("b").unread_keys(), (std::vector<std::string>{"c"}));
  EXPECT_EQ(round_trip("{\"a\":1}"), "{\"a\":1}");
}

TEST(Json, ExcerptsAreShortAndWhole) {
  const JsonDocument doc = JsonDocument::parse("[\"" + std::string(30, 'x') + "éééééééééééééééé\"]", "doc");
  for (size_t n = 1; n < 70; ++n) {
    const std::string text = doc.root().excerpt(n);
    EXPECT_LE(text.size(), n + 3);
    EXPECT_EQ(refusal(json_quote(text)), "");
  }
}

TEST(Json, QuotesAnyBytes) {
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes;
    for (unsigned n = random() % 12; n > 0; --n)
      bytes += static_cast<char>(random() % 2 ? 0xC0 + random() % 64 : random());
    EXPECT_EQ(refusal(json_quote(bytes)), "");
  }
  EXPECT_EQ(json_quote("a\xff\"\\\n\x01"), "\"a\xEF\xBF\xBD\\\"\\\\\\n\\u0001\"");
}

}  // namespace
}  // namespace hoist::io
