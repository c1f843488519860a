// Traces and cost files: what is read, and that every refusal names file, line and field.
#include "sim/trace.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace hoist::sim {
namespace {

TEST(Trace, ReadsLines) {
  const auto trace = parse_trace(
      "{\"arrival\": 0.5, \"prompt_tokens\": 10, \"output_tokens\": 3}\r\n\n"
      "{\"arrival\": 0.5, \"prompt_tokens\": 1, \"output_tokens\": 7, \"tenant\": 4, \"priority\": -2}\n"
      "{\"arrival\": 2, \"prompt_tokens\": 5, \"output_tokens\": 2, \"max_tokens\": 100}",
      "t");
  ASSERT_EQ(trace.size(), 3u);
  EXPECT_EQ(trace[0].arrival, 0.5);
  EXPECT_EQ(trace[0].max_tokens, 7) << "the longest answer of the trace";
  EXPECT_EQ(trace[1].tenant, 4);
  EXPECT_EQ(trace[1].priority, -2);
  EXPECT_EQ(trace[2].id, 2u);
  EXPECT_EQ(trace[2].max_tokens, 100);
}

TEST(Trace, RefusesByName) {
  auto refused = [](const char* text, const char* part) {
    try {
      parse_trace(text, "reqs.jsonl");
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      const std::string what = e.what();
      EXPECT_EQ(what.rfind("reqs.jsonl: ", 0), 0u) << what;
      EXPECT_NE(what.find(part), std::string::npos) << what;
    }
  };
  const std::string good = "{\"arrival\": 1, \"prompt_tokens\": 1, \"output_tokens\": 1}\n";
  refused("", "found no request");
  refused("\n \n", "found no request");
  refused("[]", "line 1");
  refused((good + "{").c_str(), "line 2");
  refused((good + good + "{\"arrival\": 0.5, \"prompt_tokens\": 1, \"output_tokens\": 1}").c_str(),
          "line 3: arrival: found 0.5");
  refused("{\"prompt_tokens\": 1, \"output_tokens\": 1}", "arrival");
  refused("{\"arrival\": -1, \"prompt_tokens\": 1, \"output_tokens\": 1}", "arrival");
  refused("{\"arrival\": 1, \"prompt_tokens\": 0, \"output_tokens\": 1}", "prompt_tokens");
  refused("{\"arrival\": 1, \"prompt_tokens\": 1.5, \"output_tokens\": 1}", "prompt_tokens");
  refused("{\"arrival\": 1, \"prompt_tokens\": 1, \"output_tokens\": 1e9}", "output_tokens");
  refused("{\"arrival\": 1, \"prompt_tokens\": 1, \"output_tokens\": 5, \"max_tokens\": 4}", "max_tokens");
  refused("{\"arrival\": 1, \"prompt_tokens\": 1, \"output_tokens\": 5, \"prio\": 4}",
          "unknown key \"prio\"");
  refused(std::string(5000, ' ').append("{}").c_str(), "5002 bytes");
}

TEST(Cost, CoefficientsAndSamples) {
  const MeasuredCost given = parse_cost("{\"step_cost\": {\"fixed\": 0.02, \"decode_row\": 0.001}}", "c");
  EXPECT_EQ(given.cost.fixed, 0.02);
  EXPECT_EQ(given.cost.prefill_token, 0);
  EXPECT_EQ(given.samples, 0u);
  const MeasuredCost fitted = parse_cost(
      "{\"samples\": [{\"decode_rows\": 1, \"seconds\": 0.021}, {\"decode_rows\": 5, \"seconds\": 0.025},"
      "{\"prefill_tokens\": 100, \"seconds\": 0.12}]}",
      "c");
  EXPECT_EQ(fitted.samples, 3u);
  EXPECT_LT(fitted.error, 1e-6);
  EXPECT_NEAR(fitted.cost.fixed, 0.02, 1e-6);
}

TEST(Cost, RefusesByName) {
  for (const char* text :
       {"", "[]", "{}", "{\"samples\": []}", "{\"samples\": [1]}", "{\"samples\": {}}",
        "{\"samples\": [{\"seconds\": 1}]}", "{\"samples\": [{\"decode_rows\": 1}]}",
        "{\"samples\": [{\"decode_rows\": 1, \"seconds\": 0}]}", "{\"step_cost\": {}}", "{\"step_cost\": 3}",
        "{\"step_cost\": {\"fixed\": -1}}", "{\"step_cost\": {\"fixed\": 1, \"rows\": 1}}",
        "{\"step_cost\": {\"fixed\": 1}, \"samples\": []}", "{\"step_cost\": {\"fixed\": 1}, \"x\": 1}",
        "{\"step_cost\": {\"prefill_token\": 1}}"}) {
    try {
      parse_cost(text, "cost.json");
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).rfind("cost.json: ", 0), 0u) << e.what();
    }
  }
}

}  // namespace
}  // namespace hoist::sim
