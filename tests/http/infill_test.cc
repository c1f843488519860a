// POST /infill as llama-server's clients speak it.
#include <gtest/gtest.h>

#include "http/client.h"
#include "http/running_server.h"
#include "support/json.h"

namespace hoist::http {
namespace {

using support::Json;

// As editors send it.
const char* const kEditor = R"({"id_slot":0,"input_prefix":"def f(x):\n","input_suffix":"\nprint f",
    "input_extra":[{"filename":"a.py","text":"import b","time":12.5}],"prompt":"  return ","n_predict":4,
    "stop":[],"n_indent":2,"top_k":40,"top_p":0.9,"stream":false,"samplers":["top_k","top_p","infill"],
    "cache_prompt":true,"t_max_prompt_ms":500,"t_max_predict_ms":1000,"response_fields":["content"]})";

TEST(Infill, ReachesTheEngineAndAnswersAsLlamaServer) {
  RunningServer running;
  running.start();
  const Answer answer = ask(running.port(), "POST", "/infill", kEditor);
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json body = Json::parse(answer.body);
  EXPECT_EQ(body["content"], " there was a small");
  EXPECT_EQ(body["stop"], true);
  EXPECT_EQ(body["stop_type"], "limit");
  EXPECT_EQ(body["tokens_predicted"], 4);
  EXPECT_EQ(body["model"], "fake-model");
  const CompletionRequest seen = running.engine.last_request();
  EXPECT_EQ(seen.prompt, "def f(x):\n  return ");
  EXPECT_EQ(seen.suffix, "\nprint f");
  ASSERT_EQ(seen.extra.size(), 1u);
  EXPECT_EQ(seen.extra[0].name, "a.py");
  EXPECT_EQ(seen.extra[0].text, "import b");
  EXPECT_EQ(seen.max_tokens, 4);
  EXPECT_EQ(seen.top_k, 40);
  EXPECT_EQ(ask(running.port(), "POST", "/infill", R"({"n_predict":-1,"max_tokens":2})").status, 200);
  EXPECT_EQ(ask(running.port(), "POST", "/infill", R"({"n_predict":0})").status, 200) << "reads the prompt";
  EXPECT_EQ(running.engine.last_request().max_tokens, 0);
  EXPECT_EQ(ask(running.port(), "POST", "/infill", "{}").status, 200);
  EXPECT_EQ(running.engine.last_request().max_tokens, CompletionRequest::kAsManyAsFit);
}

TEST(Infill, Streams) {
  RunningServer running;
  running.start();
  const Answer answer = ask(running.port(), "POST", "/infill", R"({"n_predict":3,"stream":true})");
  EXPECT_EQ(answer.header("Content-Type"), "text/event-stream");
  const auto events = sse_events(answer.body);
  ASSERT_EQ(events.size(), 3u) << answer.body;
  std::string text;
  for (size_t i = 0; i < events.size(); ++i) {
    const Json event = Json::parse(events[i]);
    text += event["content"].get<std::string>();
    EXPECT_EQ(event["stop"], i == 2);
  }
  EXPECT_EQ(text, " there was a");
}

TEST(Infill, RefusalsNameTheField) {
  FakeEngineOptions options;
  options.refuse = [](const CompletionRequest& r) {
    if (r.seed == 5u) throw NotSupportedError("this model's vocabulary has no tokens to fill in text with");
  };
  RunningServer running(test_options(), options);
  running.start();
  const std::pair<const char*, const char*> cases[] = {
      {"input_prefix", "1"},
      {"input_suffix", "[]"},
      {"input_extra", "{}"},
      {"input_extra", "[1]"},
      {"input_extra", R"([{"filename":"a"}])"},
      {"input_extra", R"([{"text":1}])"},
      {"input_extra", R"([{"text":"a","path":"b"}])"},
      {"prompt", "[1]"},
      {"n_predict", "-2"},
      {"n_predict", "1.5"},
      {"n_predict", "\"a\""},
      {"samplers", "1"},
      {"cache_prompt", "1"},
      {"t_max_predict_ms", "true"},
      {"temperature", "-1"},
      {"echo", "true"},
      {"n", "2"},
      {"messages", "[]"},
      {"no_such_field", "1"},
  };
  for (const auto& [field, value] : cases) {
    const std::string body = std::string("{\"") + field + "\":" + value + "}";
    const Answer answer = ask(running.port(), "POST", "/infill", body);
    EXPECT_EQ(answer.status, 400) << body << answer.body;
    EXPECT_EQ(Json::parse(answer.body)["error"]["param"], field) << answer.body;
  }
  EXPECT_EQ(ask(running.port(), "POST", "/infill", "[]").status, 400);
  EXPECT_EQ(ask(running.port(), "POST", "/infill", R"({"seed":5})").status, 501);
  EXPECT_EQ(ask(running.port(), "GET", "/infill", "").status, 405);
}

}  // namespace
}  // namespace hoist::http
