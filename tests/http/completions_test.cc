// The API over the fake engine: every field obeyed or refused by name, streams byte for byte, every route and
// method.
#include "http/completions.h"

#include <gtest/gtest.h>

#include <random>

#include "http/api_error.h"
#include "http/client.h"
#include "http/running_server.h"
#include "support/json.h"

namespace hoist::http {
namespace {

using support::Json;

Json post(uint16_t port, const Json& body, int status = 200) {
  const Answer answer = ask(port, "POST", "/v1/completions", body.dump());
  EXPECT_EQ(answer.status, status) << body << "\n" << answer.body;
  return Json::parse(answer.body);
}

std::string story(int64_t tokens) {
  std::string text;
  for (int64_t i = 0; i < tokens; ++i) text += FakeEngine::story_token(i);
  return text;
}

TEST(Completions, WholeAnswer) {
  RunningServer running;
  running.start();
  const Json answer =
      post(running.port(), {{"model", "fake-model"}, {"prompt", "Once upon a time"}, {"max_tokens", 5}});
  EXPECT_TRUE(answer["id"].get<std::string>().starts_with("cmpl-"));
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_EQ(answer["model"], "fake-model");
  EXPECT_GT(answer["created"].get<int64_t>(), 1600000000);
  EXPECT_EQ(answer["choices"], Json::parse(R"([{"index":0,"text":")" + story(5) +
                                           R"(","logprobs":null,"finish_reason":"length"}])"));
  EXPECT_EQ(
      answer["usage"],
      Json::parse(
          R"({"prompt_tokens":4,"completion_tokens":5,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":0}})"));
  EXPECT_NE(post(running.port(), {{"prompt", "a"}})["id"], answer["id"]);
  EXPECT_EQ(post(running.port(), {{"prompt", ""}})["usage"]["completion_tokens"], 16);  // the default
}

TEST(Completions, PromptsOfEveryKind) {
  RunningServer running;
  running.start();
  const Json two =
      post(running.port(), {{"prompt", {"one", "two words"}}, {"max_tokens", 2}, {"echo", true}});
  ASSERT_EQ(two["choices"].size(), 2u);
  EXPECT_EQ(two["choices"][0]["text"], "one" + story(2));
  EXPECT_EQ(two["choices"][1]["text"], "two words" + story(2));
  EXPECT_EQ(two["choices"][1]["index"], 1);
  EXPECT_EQ(two["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(two["usage"]["total_tokens"], 7);
  EXPECT_EQ(post(running.port(), {{"prompt", {5, 6, 7}}})["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(running.engine.last_request().prompt_ids, (std::vector<int64_t>{5, 6, 7}));
  EXPECT_EQ(post(running.port(), {{"prompt", Json::parse("[[5,6],[7]]")}})["choices"].size(), 2u);
}

TEST(Completions, EveryFieldReachesTheEngine) {
  RunningServer running;
  running.start();
  post(running.port(),
       Json::parse(R"({"prompt":"p","max_tokens":7,"temperature":0.5,"top_k":40,"top_p":0.9,"min_p":0.1,
                       "repeat_penalty":1.25,"seed":9223372036854775807,"stop":["\n\n","END"],"user":"u",
                       "metadata":{"a":1},"n":1,"best_of":1,"presence_penalty":0.5,"frequency_penalty":-2,
                       "logit_bias":{"0":2.5,"7":-100},"logprobs":0,"suffix":null,"stream":false,"echo":null,
                       "min_tokens":3,"stop_token_ids":[5,6],"ignore_eos":true,
                       "regex":"[a-z]+"})"));
  CompletionRequest seen = running.engine.last_request();
  EXPECT_EQ(seen.prompt, "p");
  EXPECT_EQ(seen.max_tokens, 7);
  EXPECT_EQ(seen.temperature, 0.5);
  EXPECT_EQ(seen.top_k, 40);
  EXPECT_EQ(seen.top_p, 0.9);
  EXPECT_EQ(seen.min_p, 0.1);
  EXPECT_EQ(seen.repeat_penalty, 1.25);
  EXPECT_EQ(seen.seed, 9223372036854775807u);
  EXPECT_EQ(seen.stop, (std::vector<std::string>{"\n\n", "END"}));
  EXPECT_EQ(seen.presence_penalty, 0.5);
  EXPECT_EQ(seen.frequency_penalty, -2);
  EXPECT_EQ(seen.logit_bias, (std::vector<std::pair<int64_t, double>>{{0, 2.5}, {7, -100}}));
  EXPECT_EQ(seen.logprobs, 0);
  EXPECT_EQ(seen.min_tokens, 3);
  EXPECT_EQ(seen.stop_token_ids, (std::vector<int64_t>{5, 6}));
  EXPECT_TRUE(seen.ignore_eos);
  EXPECT_EQ(seen.format.kind, AnswerFormat::Kind::kRegex);
  EXPECT_EQ(seen.format.text, "[a-z]+");
  EXPECT_EQ(seen.format.field, "regex");

  post(running.port(),
       Json::parse(R"({"prompt":"p","stop":"x","repetition_penalty":1.5,"top_k":-1,"seed":null,
                                       "max_tokens":null,"temperature":null,"stream_options":null})"));
  seen = running.engine.last_request();
  EXPECT_EQ(seen.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(seen.repeat_penalty, 1.5);
  EXPECT_EQ(seen.top_k, 0);
  EXPECT_EQ(seen.max_tokens, 16);
  EXPECT_EQ(seen.temperature, 1.0);
  EXPECT_FALSE(seen.seed);
}

TEST(Completions, RefusalsNameTheField) {
  RunningServer running;
  running.start();
  const std::pair<const char*, const char*> cases[] = {
      {"temperature", "-1"},
      {"temperature", "1e9"},
      {"temperature", "\"1\""},
      {"temperature", "[]"},
      {"top_p", "0"},
      {"top_p", "-0.0"},
      {"top_p", "1.01"},
      {"top_k", "-2"},
      {"top_k", "1.5"},
      {"top_k", "4294967296"},
      {"min_p", "-0.1"},
      {"min_p", "1.1"},
      {"repeat_penalty", "0"},
      {"repetition_penalty", "-1"},
      {"max_tokens", "0"},
      {"max_tokens", "-1"},
      {"max_tokens", "9223372036854775808"},
      {"max_tokens", "true"},
      {"seed", "-1"},
      {"seed", "1.0"},
      {"stop", "\"\""},
      {"stop", "[\"\"]"},
      {"stop", "[1]"},
      {"stop", "5"},
      {"stop", R"(["1","2","3","4","5"])"},
      {"stream", "1"},
      {"stream", "\"true\""},
      {"echo", "0"},
      {"stream_options", "true"},
      {"stream_options", R"({"x":1})"},
      {"stream_options", R"({"include_usage":1})"},
      {"n", "129"},
      {"n", "0"},
      {"n", "2147483648"},
      {"n", "1.0"},
      {"best_of", "3"},
      {"presence_penalty", "2.1"},
      {"frequency_penalty", "-2.1"},
      {"logit_bias", R"({"5":101})"},
      {"logit_bias", R"({"-5":1})"},
      {"logit_bias", R"({"05":1})"},
      {"logit_bias", R"({"":1})"},
      {"logit_bias", R"({"4294967296":1})"},
      {"logit_bias", "[1]"},
      {"suffix", "1"},
      {"logprobs", "21"},
      {"logprobs", "-1"},
      {"logprobs", "true"},
      {"prompt_logprobs", "21"},
      {"prompt_logprobs", "-1"},
      {"prompt_logprobs", "true"},
      {"top_logprobs", "1"},
      {"min_tokens", "-1"},
      {"min_tokens", "17"},
      {"max_completion_tokens", "0"},
      {"stop_token_ids", "[-1]"},
      {"stop_token_ids", "5"},
      {"ignore_eos", "1"},
      {"messages", "[]"},
      {"response_format", "\"json\""},
      {"response_format", R"({"type":"xml"})"},
      {"response_format", R"({"type":"json_schema"})"},
      {"response_format", R"({"type":"json_schema","json_schema":{"schema":{},"x":1}})"},
      {"response_format", R"({"type":"text","x":1})"},
      {"structured_outputs", R"({"json":{},"regex":"a"})"},
      {"structured_outputs", R"({"whitespace_pattern":"a"})"},
      {"grammar", "\"\""},
      {"regex", "5"},
      {"json_schema", "5"},
      {"guided_choice", "[]"},
      {"guided_choice", "[1]"},
      {"user", "1"},
      {"metadata", "1"},
      {"tools", "[]"},
      {"n_discard", "-1"},
      {"no_such_field", "null"},
      {"a\\u001b[31m", "1"},
      {"model", "1"},
  };
  for (const auto& [field, value] : cases) {
    const std::string body = std::string(R"({"prompt":"a",")") + field + "\":" + value + "}";
    const Answer answer = ask(running.port(), "POST", "/v1/completions", body);
    EXPECT_EQ(answer.status, 400) << body << answer.body;
    const Json error = Json::parse(answer.body)["error"];
    EXPECT_EQ(error["param"], Json::parse("\"" + std::string(field) + "\"")) << body << answer.body;
    EXPECT_EQ(error["type"], "invalid_request_error");
  }
  for (const char* prompt : {"null", "5", "{}", "[]", "[[]]", "[\"a\",5]", "[5,\"a\"]", "[-1]", "[1.5]",
                             "[4294967296]", "[[[1]]]", "[null]", "true"}) {
    const Answer answer =
        ask(running.port(), "POST", "/v1/completions", std::string("{\"prompt\":") + prompt + "}");
    EXPECT_EQ(answer.status, 400) << prompt;
    EXPECT_EQ(Json::parse(answer.body)["error"]["param"], "prompt") << answer.body;
  }
  EXPECT_EQ(post(running.port(), Json::object(), 400)["error"]["param"], "prompt");
  EXPECT_EQ(post(running.port(), {{"prompt", std::vector<std::string>(65, "a")}}, 400)["error"]["param"],
            "prompt");
  EXPECT_EQ(post(running.port(), {{"prompt", "a"}, {"stop", std::string(1025, 'x')}}, 400)["error"]["param"],
            "stop");
  const Json both = {{"prompt", "a"}, {"repeat_penalty", 1}, {"repetition_penalty", 1}};
  EXPECT_EQ(post(running.port(), both, 400)["error"]["param"], "repetition_penalty");
  const Json limits = {{"max_completion_tokens", 1}, {"max_tokens", 1}, {"prompt", "a"}};
  EXPECT_EQ(post(running.port(), limits, 400)["error"]["param"], "max_tokens") << "the later one";
  const Json formats = {{"grammar", "root ::= \"a\""}, {"prompt", "a"}, {"regex", "a"}};
  EXPECT_EQ(post(running.port(), formats, 400)["error"]["param"], "regex");
  const Json streamed = {{"prompt", "a"}, {"prompt_logprobs", 1}, {"stream", true}};
  EXPECT_EQ(post(running.port(), streamed, 400)["error"]["param"], "prompt_logprobs");
  const Json nothing = {{"prompt", "a"}, {"max_completion_tokens", 0}};
  EXPECT_EQ(post(running.port(), nothing, 400)["error"]["param"], "max_completion_tokens");
  EXPECT_EQ(post(running.port(), {{"prompt", {1}}, {"suffix", "s"}}, 400)["error"]["param"], "suffix");
  EXPECT_EQ(post(running.port(), {{"prompt", {"a", "b"}}, {"n", 65}}, 400)["error"]["param"], "n");
  const Json lonely = {{"prompt", "a"}, {"stream_options", {{"include_usage", true}}}};
  EXPECT_EQ(post(running.port(), lonely, 400)["error"]["param"], "stream_options");
  EXPECT_EQ(running.engine.running(), 0u);
}

TEST(Completions, HostileJson) {
  RunningServer running;
  running.start();
  const std::string deep64 = std::string(63, '[') + std::string(63, ']');
  const std::string deep65 = std::string(64, '[') + std::string(64, ']');
  for (const std::string& body : {
           std::string(""),
           std::string("{"),
           std::string("[]"),
           std::string("null"),
           std::string("\"a\""),
           std::string(R"({"prompt":"a","prompt":"b"})"),
           std::string(R"({"prompt":"a"} x)"),
           std::string(R"({"prompt":"\ud800"})"),
           std::string("{\"prompt\":\"\xff\"}"),
           std::string("{\"prompt\":NaN}"),
           std::string(R"({"prompt":"a","seed":1e400})"),
           std::string(R"({"prompt":"a","metadata":{"a":1,"a":2}})"),
           std::string("{\"prompt\":\"a\0\"}", 15),
           R"({"prompt":"a","metadata":{"a":)" + deep65 + "}}",
           std::string(100000, '['),
           "{\"prompt\":" + std::string(1000000, '9') + "}",
       }) {
    const Answer answer = ask(running.port(), "POST", "/v1/completions", body);
    EXPECT_EQ(answer.status, 400) << body.substr(0, 100);
    EXPECT_FALSE(Json::parse(answer.body)["error"]["message"].get<std::string>().empty());
  }
  EXPECT_EQ(ask(running.port(), "POST", "/v1/completions",
                R"({"prompt":"a","metadata":{"a":)" + deep64.substr(1, 124) + "}}")
                .status,
            200);
}

TEST(Completions, StopStringsAndUsage) {
  RunningServer running;
  running.start();
  const Json answer =
      post(running.port(), {{"prompt", "a"}, {"max_tokens", 50}, {"stop", {"nothing", "use on the"}}});
  EXPECT_EQ(answer["choices"][0]["text"],
            " there was a small ligh"
            "tho");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
}

TEST(Stream, ExactFormat) {
  RunningServer running;
  running.start();
  const Answer answer = ask(running.port(), "POST", "/v1/completions",
                            R"({"prompt":"a b","max_tokens":2,"stream":true,"echo":true})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("Content-Type"), "text/event-stream");
  EXPECT_EQ(answer.header("Cache-Control"), "no-cache");
  EXPECT_TRUE(answer.chunked);
  const Json first = Json::parse(sse_events(answer.body).at(0));
  const std::string envelope = R"(data: {"id":)" + first["id"].dump() +
                               R"(,"object":"text_completion","created":)" + first["created"].dump() +
                               R"(,"model":"fake-model","choices":[{"index":0,"text":)";
  const std::string rest = R"(,"logprobs":null,"finish_reason":)";
  EXPECT_EQ(answer.body, envelope + "\"a b\"" + rest + "null}]}\n\n" +         //
                             envelope + "\" there\"" + rest + "null}]}\n\n" +  //
                             envelope + "\" was\"" + rest + "\"length\"}]}\n\n" + "data: [DONE]\n\n");
}

TEST(Stream, UsageOptionsAndSeveralPrompts) {
  RunningServer running;
  running.start();
  const Json body = {{"prompt", {"a", "b c"}},
                     {"max_tokens", 3},
                     {"stream", true},
                     {"stream_options", {{"include_usage", true}}}};
  auto events = sse_events(ask(running.port(), "POST", "/v1/completions", body.dump()).body);
  ASSERT_EQ(events.size(), 8u);
  std::string texts[2];
  for (size_t i = 0; i < 6; ++i) {
    const Json event = Json::parse(events[i]);
    EXPECT_TRUE(event.contains("usage") && event["usage"].is_null());
    texts[event["choices"][0]["index"].get<int>()] += event["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(texts[0], story(3));
  EXPECT_EQ(texts[1], story(3));
  const Json last = Json::parse(events[6]);
  EXPECT_EQ(last["choices"], Json::array());
  EXPECT_EQ(
      last["usage"],
      Json::parse(
          R"({"prompt_tokens":3,"completion_tokens":6,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":0}})"));
  EXPECT_EQ(events[7], "[DONE]");

  events = sse_events(ask(running.port(), "POST", "/v1/completions",
                          R"({"prompt":"a","max_tokens":2,"stream":true,
                              "stream_options":{"continuous_usage_stats":true}})")
                          .body);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(Json::parse(events[0])["usage"]["completion_tokens"], 1);
  EXPECT_EQ(Json::parse(events[1])["usage"]["completion_tokens"], 2);
}

TEST(Stream, AnErrorOnTheWayIsAnEvent) {
  FakeEngineOptions options;
  options.fail_after = 2;
  RunningServer running(test_options(), options);
  running.start();
  const auto events =
      sse_events(ask(running.port(), "POST", "/v1/completions", R"({"prompt":"a","stream":true})").body);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(Json::parse(events[2])["error"]["type"], "unavailable_error");
  EXPECT_EQ(events[3], "[DONE]");
  EXPECT_EQ(ask(running.port(), "POST", "/v1/completions", R"({"prompt":"a"})").status, 503);
  // The other prompts of the call are given up with it.
  EXPECT_EQ(ask(running.port(), "POST", "/v1/completions", R"({"prompt":["a","b","c"]})").status, 503);
  EXPECT_TRUE(running.engine.wait_running(0));
}

TEST(Engine, RefusalsBecomeAnswers) {
  FakeEngineOptions options;
  options.context = 8;
  options.max_queue = 2;
  RunningServer running(test_options(), options);
  running.start();
  const Json error = post(running.port(), {{"prompt", "1 2 3 4 5 6 7 8 9"}}, 400)["error"];
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["param"], "prompt");
  EXPECT_NE(error["message"].get<std::string>().find("9 tokens"), std::string::npos) << error;
  EXPECT_NE(error["message"].get<std::string>().find("8 tokens"), std::string::npos) << error;

  running.engine.hold();
  Client one(running.port()), two(running.port());
  one.send(request_text("POST", "/v1/completions", R"({"prompt":"a"})"));
  ASSERT_TRUE(running.engine.wait_running(1));
  two.send(request_text("POST", "/v1/completions", R"({"prompt":"a","stream":true})"));
  ASSERT_TRUE(running.engine.wait_running(2));
  const Answer full = ask(running.port(), "POST", "/v1/completions", R"({"prompt":"a"})");
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(full.header("Retry-After"), "1");
  EXPECT_EQ(Json::parse(full.body)["error"]["type"], "rate_limit_error");
  running.engine.release();
  EXPECT_EQ(one.receive()->status, 200);
  EXPECT_EQ(two.receive()->status, 200);
  // A call that fits only in part leaves nothing behind.
  EXPECT_TRUE(running.engine.wait_running(0));
  running.engine.hold();
  EXPECT_EQ(post(running.port(), {{"prompt", {"a", "b", "c"}}}, 429)["error"]["code"], "queue_full");
  EXPECT_EQ(running.engine.running(), 0u);
}

TEST(Engine, ALeavingClientCancelsAllItsSequences) {
  RunningServer running;
  running.start();
  running.engine.hold();
  int expected = 0;
  for (const char* body : {R"({"prompt":["a","b"],"stream":true})", R"({"prompt":["a","b"]})"}) {
    Client client(running.port());
    client.send(request_text("POST", "/v1/completions", body));
    ASSERT_TRUE(running.engine.wait_running(2));
    client.close();
    EXPECT_TRUE(running.engine.wait_cancelled(expected += 2));
    EXPECT_EQ(running.engine.running(), 0u);
  }
}

TEST(Engine, ASlowReaderIsCancelled) {
  FakeEngineOptions options;
  options.token = std::string(4000, 'x');
  options.context = 1 << 20;
  options.step = std::chrono::microseconds(200);
  ServerOptions server_options = test_options();
  server_options.write_buffer_bytes = 64 << 10;
  RunningServer running(server_options, options);
  running.start();
  Client client(running.port(), 4096);
  client.send(request_text("POST", "/v1/completions", R"({"prompt":"a","max_tokens":20000,"stream":true})"));
  EXPECT_TRUE(running.engine.wait_cancelled(1));
  EXPECT_EQ(ask(running.port(), "GET", "/health").status, 200);
}

std::string body_for(const std::string& path) {
  if (path == "/detokenize") return R"({"tokens":[97]})";
  if (path.find("chat") != std::string::npos || path == "/apply-template")
    return R"({"messages":[{"role":"user","content":"a"}]})";
  return R"({"prompt":"a"})";
}

TEST(Routes, EveryMethodOfEveryRoute) {
  RunningServer running;
  running.start();
  for (const auto& [method, pattern] : running.router.routes()) {
    const std::string path =
        pattern.ends_with("/*") ? pattern.substr(0, pattern.size() - 1) + "fake-model" : pattern;
    for (const char* tried :
         {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"}) {
      const Answer answer =
          ask(running.port(), tried, path, std::string(tried) == "POST" ? body_for(path) : "");
      const bool right = method == tried || (method == "GET" && std::string(tried) == "HEAD");
      const int expected = right ? 200 : 405;
      EXPECT_EQ(answer.status, expected) << tried << " " << path;
      EXPECT_EQ(answer.header("X-Content-Type-Options"), "nosniff");
      if (!right) {
        EXPECT_EQ(answer.header("Allow"), method == "GET" ? "GET, HEAD" : method);
        if (std::string(tried) != "HEAD") {
          EXPECT_EQ(Json::parse(answer.body)["error"]["code"], "method_not_allowed");
        }
      }
    }
  }
  for (const char* path : {"/nowhere", "/v1", "/v1/", "/v1/models/", "//health", "/health/", "/HEALTH",
                           "/v1/../health", "/./health", "/page/app.js"}) {
    const Answer answer = ask(running.port(), "GET", path);
    EXPECT_EQ(answer.status, 404) << path;
    EXPECT_EQ(Json::parse(answer.body)["error"]["code"], "unknown_path");
  }
  EXPECT_EQ(ask(running.port(), "GET", "/%68ealth?x=1").status, 200);
}

TEST(Routes, ModelsAndTypes) {
  RunningServer running;
  running.start();
  const Json list = Json::parse(ask(running.port(), "GET", "/v1/models").body);
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["data"][0]["id"], "fake-model");
  EXPECT_EQ(list["data"][0]["max_model_len"], 512);
  EXPECT_EQ(Json::parse(ask(running.port(), "GET", "/v1/models/fake-model").body), list["data"][0]);
  for (const char* name : {"other", "fake-model/x", "../fake-model"}) {
    const Answer answer = ask(running.port(), "GET", std::string("/v1/models/") + name);
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(Json::parse(answer.body)["error"]["code"], "model_not_found");
  }
  EXPECT_EQ(post(running.port(), {{"prompt", "a"}, {"model", "gpt-4"}}, 404)["error"]["code"],
            "model_not_found");
  EXPECT_EQ(ask(running.port(), "GET", "/health").body, R"({"status":"ok"})");
  for (const char* type : {"text/plain", "multipart/form-data; boundary=x", "application/jsonx"}) {
    Client client(running.port());
    client.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + std::string(type) +
                "\r\nContent-Length: 14\r\n\r\n{\"prompt\":\"a\"}");
    EXPECT_EQ(client.receive()->status, 415) << type;
  }
}

TEST(Routes, ThePageIsCompleteAndStrict) {
  RunningServer running;
  running.start();
  const Answer page = ask(running.port(), "GET", "/");
  EXPECT_EQ(
      page.header("Content-Security-Policy"),
      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  EXPECT_EQ(page.header("Cross-Origin-Opener-Policy"), "same-origin");
  EXPECT_EQ(page.header("Referrer-Policy"), "no-referrer");
  for (const char* file :
       {"/style.css", "/theme.js", "/common.js", "/markdown.js", "/text.js", "/chat.js", "/server.js"}) {
    EXPECT_NE(page.body.find(std::string("\"") + file + "\""), std::string::npos) << file;
    EXPECT_GT(ask(running.port(), "GET", file).body.size(), 100u);
  }
  EXPECT_EQ(page.body.find("style=\""), std::string::npos);
  EXPECT_EQ(page.body.find("<script>"), std::string::npos);
}

// The same requests, cut into packets at random places, get the same answers.
TEST(Property, CuttingARequestIntoPacketsChangesNothing) {
  ServerOptions options = test_options();
  options.max_header_bytes = 400;
  RunningServer running(options);
  running.start();
  const std::string post_text =
      request_text("POST", "/v1/completions", R"({"prompt":"caf\u00e9 ü","max_tokens":3})");
  const std::string wires[] = {
      request_text("GET", "/health") + post_text + request_text("GET", "/nowhere"),
      "\r\n\r\n" + post_text + "\r\n" + request_text("DELETE", "/health"),
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
      "chunked\r\n\r\n5;a=b\r\n{\"pro\r\n"
      "9\r\nmpt\":\"a\"}\r\n0\r\nTrailer: 1\r\n\r\n" +
          request_text("GET", "/v1/models"),
      request_text("GET", "/health", "", "X: " + std::string(400, 'x') + "\r\n"),
      request_text("POST", "/v1/completions", R"({"prompt":"a","prompt":"b"})") +
          "GET / HTTP/1.1\r\nbad\r\n\r\n",
  };
  const auto answers = [&](const std::string& wire, std::mt19937* random) {
    Client client(running.port());
    for (size_t at = 0; at < wire.size();) {
      const size_t n = random ? 1 + (*random)() % 40 : wire.size();
      client.send(std::string_view(wire).substr(at, n));
      at += n;
    }
    client.send(request_text("GET", "/health", "", "Connection: close\r\n"));
    std::string all;
    while (const auto answer = client.receive()) {
      std::string body = answer->body;
      // The id and the time differ between any two answers.
      if (const size_t id = body.find("cmpl-"); id != std::string::npos)
        body.erase(id, body.find("\"model\"") - id);
      all += std::to_string(answer->status) + " " + body + "\n";
    }
    return all;
  };
  std::mt19937 random(7);
  for (const std::string& wire : wires) {
    const std::string expected = answers(wire, nullptr);
    EXPECT_FALSE(expected.empty());
    for (int i = 0; i < 20; ++i) EXPECT_EQ(answers(wire, &random), expected) << wire;
  }
}

}  // namespace
}  // namespace hoist::http
