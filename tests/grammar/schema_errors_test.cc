// What is not supported in a JSON schema is refused by name and place.
#include <gtest/gtest.h>

#include "base/error.h"
#include "grammar/support.h"

namespace hoist::text {
namespace {

TEST(SchemaErrors, NameThePlace) {
  const std::vector<std::pair<const char*, std::vector<const char*>>> cases = {
      {R"({"type":"object","properties":{"a":{"not":{}}}})", {"/properties/a/not", "keyword \"not\""}},
      {R"({"multipleOf":2})", {"/multipleOf", "not supported"}},
      {R"({"uniqueItems":true})", {"/uniqueItems", "not supported"}},
      {R"({"if":{},"then":{}})", {"/if"}},
      {R"({"dependentRequired":{}})", {"/dependentRequired"}},
      {R"({"propertyNames":{}})", {"/propertyNames"}},
      {R"({"type":"string","format":"iban"})", {"/format", "\"iban\"", "date-time"}},
      {R"({"type":"str"})", {"/type", "found \"str\"", "expected null, boolean"}},
      {R"({"type":["string",3]})", {"/type/1", "found 3"}},
      {R"({"properties":{"a":5}})", {"/properties/a", "found 5", "schema"}},
      {R"({"properties":[]})", {"/properties", "an object"}},
      {R"({"required":"a"})", {"/required", "a list of names"}},
      {R"({"$ref":"#/$defs/x"})", {"/$ref", "no \"$defs\""}},
      {R"({"$ref":"http://x"})", {"/$ref", "not supported"}},
      {R"({"$ref":"#"})", {"refers to itself"}},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", {"refers to itself"}},
      {R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})",
       {"refers to itself"}},
      {R"({"type":"string","pattern":"(a)\\1"})", {"/pattern", "backreference"}},
      {R"({"type":"string","minLength":-1})", {"/minLength", "found -1"}},
      {R"({"type":"string","minLength":5000})", {"/minLength", "up to 1024"}},
      {R"({"enum":[]})", {"/enum", "a list of values"}},
      {R"({"enum":["a"],"minLength":1})", {"/minLength", "beside enum"}},
      {R"({"anyOf":[]})", {"/anyOf"}},
      {R"({"type":"integer","minimum":"1"})", {"/minimum", "a number"}},
      {R"({"type":"integer","exclusiveMinimum":true})", {"/exclusiveMinimum", "a number"}},
      {R"({"type":"integer","minimum":1.5,"maximum":1.7})", {"matches no text"}},
      {R"({"type":"object","minProperties":3})", {"/minProperties", "up to 1"}},
      {R"({"type":"object","patternProperties":{"a":{},"b":{}}})",
       {"/patternProperties/b", "second pattern"}},
      {R"({"allOf":[{"type":"string"},{"type":"integer"}]})", {"matches no text"}},
      {R"({"type":"object","required":["a"],"additionalProperties":false})", {"matches no text"}},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", {"matches no text"}},
      {R"({"a":1,"a":2})", {"/a", "twice"}},
      {R"({"type":)", {"not valid JSON"}},
      {"[]", {"(root)", "schema"}},
      {"false", {"matches no text"}},
      {R"({"properties":{"a/b~c":{"not":{}}}})", {"/properties/a~1b~0c/not"}},
  };
  for (const auto& [schema, words] : cases) {
    try {
      Grammar::from_json_schema(schema);
      ADD_FAILURE() << schema;
    } catch (const Error& error) {
      for (const char* word : words) {
        EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << schema << ": " << error.what();
      }
    }
  }
}

TEST(SchemaErrors, DeepAndLargeInputsEnd) {
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += R"({"items":)";
  EXPECT_THROW(Grammar::from_json_schema(deep + "{}" + std::string(5000, '}')), Error);
  // A chain of references, one per definition.
  std::string chain = R"({"$ref":"#/$defs/d0","$defs":{)";
  for (int i = 0; i < 1000; ++i) {
    chain += "\"d" + std::to_string(i) + R"(":{"$ref":"#/$defs/d)" + std::to_string(i + 1) + "\"},";
  }
  EXPECT_THROW(Grammar::from_json_schema(chain + R"("d1000":{}}})"), Error);
  // The same through values is no chain.
  std::string values = R"({"$ref":"#/$defs/d0","$defs":{)";
  for (int i = 0; i < 300; ++i) {
    values += "\"d" + std::to_string(i) + R"(":{"type":"object","properties":{"k":{"$ref":"#/$defs/d)" +
              std::to_string(i + 1) + "\"}}},";
  }
  EXPECT_NO_THROW(Grammar::from_json_schema(values + R"("d300":{}}})"));
  EXPECT_THROW(
      Grammar::from_json_schema(
          R"({"type":"array","items":{"type":"array","items":{"type":"string","minLength":1000},"minItems":1000},"minItems":1000,"maxItems":1000,"prefixItems":[{"type":"string","minLength":1024,"maxLength":1024,"pattern":"((a|b){900}){900}"}]})"),
      Error);
}

// Every value below a long key has that key in its place; none may hold a copy.
TEST(SchemaErrors, ALongKeyAboveManyValues) {
  std::string values = "0";
  for (int i = 0; i < 100000; ++i) values += ",0";
  const std::string key(2000000, 'k');
  EXPECT_NO_THROW(
      Grammar::from_json_schema(R"({"type":"null","examples":{")" + key + "\":[" + values + "]}}"));
  try {
    Grammar::from_json_schema(R"({"properties":{")" + key + R"(":{"type":7}}})");
    FAIL();
  } catch (const Error& error) {
    EXPECT_LT(std::string_view(error.what()).size(), 1000u);
  }
}

TEST(SchemaErrors, NotesAreIgnored) {
  EXPECT_NO_THROW(Grammar::from_json_schema(
      R"({"$schema":"x","$id":"y","$comment":"z","title":"t","description":"d","default":1,"examples":[1],"readOnly":true,"type":"integer","$defs":{"unused":{"not":{}}}})"));
}

}  // namespace
}  // namespace hoist::text
