// Log-probabilities of prompts in answers: as OpenAI's completions echo them, and as vLLM lists them.
#include <gtest/gtest.h>

#include "http/client.h"
#include "http/running_server.h"
#include "support/json.h"

namespace hoist::http {
namespace {

using support::Json;

TokenLogprobs step(const char* text, double logprob, std::vector<TokenText> top, int64_t id = 7,
                   int64_t rank = 2) {
  TokenLogprobs s;
  s.chosen = {text, logprob, id};
  s.top = std::move(top);
  s.rank = rank;
  return s;
}

// A prompt "<s>A b", of which "<s>" is not written, in two pieces, and the answer " c".
FakeEngineOptions script() {
  FakeEngineOptions options;
  CompletionEvent first, second, said;
  TokenLogprobs begin = step("<s>", 0, {}, 1, 0);
  begin.known = false;
  begin.hidden = 3;
  first.prompt_logprobs = {begin, step("A", -2.5, {{"The", -0.5, 4}, {"A", -2.5, 7}})};
  second.prompt_logprobs = {step(" b", -0.25, {{" b", -0.25, 8}, {" x", -3, 9}}, 8, 1)};
  said.text = " c";
  said.logprobs = {step(" c", -1, {{" c", -1, 5}, {" d", -1.5, 6}}, 5, 1)};
  options.script = {first, second, said};
  return options;
}

Json post(uint16_t port, const char* path, const Json& body) {
  const Answer answer = ask(port, "POST", path, body.dump());
  EXPECT_EQ(answer.status, 200) << answer.body;
  return Json::parse(answer.body);
}

TEST(PromptLogprobs, EchoHasThemBeforeTheAnswers) {
  RunningServer running(test_options(), script());
  running.start();
  const Json answer = post(running.port(), "/v1/completions",
                           {{"prompt", "A b"}, {"echo", true}, {"logprobs", 1}, {"max_tokens", 1}});
  EXPECT_EQ(running.engine.last_request().prompt_logprobs, 1);
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(choice["text"], "A b c");
  EXPECT_EQ(choice["logprobs"],
            Json::parse(R"({"text_offset":[0,0,1,3],"token_logprobs":[null,-2.5,-0.25,-1.0],
      "tokens":["<s>","A"," b"," c"],
      "top_logprobs":[null,{"A":-2.5,"The":-0.5},{" b":-0.25},{" c":-1.0}]})"));
  EXPECT_FALSE(choice.contains("prompt_logprobs"));
}

TEST(PromptLogprobs, StreamedEchoHasThemAsTheyCome) {
  RunningServer running(test_options(), script());
  running.start();
  const auto events =
      sse_events(ask(running.port(), "POST", "/v1/completions",
                     R"({"prompt":"A b","echo":true,"logprobs":0,"max_tokens":1,"stream":true})")
                     .body);
  std::string text;
  Json offsets = Json::array(), values = Json::array();
  for (const std::string& event : events) {
    if (event == "[DONE]") continue;
    const Json choice = Json::parse(event)["choices"][0];
    text += choice["text"].get<std::string>();
    if (choice["logprobs"].is_null()) continue;
    for (const Json& x : choice["logprobs"]["text_offset"]) offsets.push_back(x);
    for (const Json& x : choice["logprobs"]["token_logprobs"]) values.push_back(x);
  }
  EXPECT_EQ(text, "A b c");
  EXPECT_EQ(offsets, Json::parse("[0,0,1,3]"));
  EXPECT_EQ(values, Json::parse("[null,-2.5,-0.25,-1.0]"));
}

TEST(PromptLogprobs, ListedByTokenId) {
  RunningServer running(test_options(), script());
  running.start();
  const Json want = Json::parse(R"([null,
      {"4":{"decoded_token":"The","logprob":-0.5,"rank":1},"7":{"decoded_token":"A","logprob":-2.5,"rank":2}},
      {"8":{"decoded_token":" b","logprob":-0.25,"rank":1}}])");
  Json answer = post(running.port(), "/v1/completions", {{"prompt", "A b"}, {"prompt_logprobs", 1}});
  EXPECT_EQ(answer["choices"][0]["prompt_logprobs"], want);
  EXPECT_TRUE(answer["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(answer["choices"][0]["text"], " c");
  answer = post(running.port(), "/v1/chat/completions",
                Json::parse(R"({"messages":[{"role":"user","content":"A b"}],"prompt_logprobs":1})"));
  EXPECT_EQ(answer["prompt_logprobs"], want);
  // Echo alone asks for no more than it needs, and lists nothing else.
  answer = post(running.port(), "/v1/completions", {{"prompt", "A b"}, {"echo", true}});
  EXPECT_EQ(running.engine.last_request().prompt_logprobs, -1);
  EXPECT_FALSE(answer["choices"][0].contains("prompt_logprobs"));
}

TEST(PromptLogprobs, PromptsAloneAndPromptsOfTokens) {
  RunningServer running;
  running.start();
  Json answer = post(running.port(), "/v1/completions",
                     {{"prompt", {{5, 6}, {7}}}, {"echo", true}, {"max_tokens", 0}, {"n", 2}});
  ASSERT_EQ(answer["choices"].size(), 4u) << answer;
  EXPECT_EQ(answer["choices"][0]["text"], "#5#6");
  EXPECT_EQ(answer["choices"][1]["text"], "#5#6");
  EXPECT_EQ(answer["choices"][2]["text"], "#7");
  EXPECT_EQ(running.engine.last_request().max_tokens, 0);
  const auto events = sse_events(ask(running.port(), "POST", "/v1/completions",
                                     R"({"prompt":[5,6],"echo":true,"max_tokens":0,"stream":true})")
                                     .body);
  EXPECT_EQ(Json::parse(events.at(0))["choices"][0]["text"], "#5#6");
}

}  // namespace
}  // namespace hoist::http
