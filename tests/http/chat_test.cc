// Chats, several choices, log-probabilities, tokens and the API's description, over the fake engine.
#include <gtest/gtest.h>

#include <set>

#include "http/api_error.h"
#include "http/client.h"
#include "http/openapi.h"
#include "http/running_server.h"
#include "support/json.h"

namespace hoist::http {
namespace {

using support::Json;

const char* const kChat = "/v1/chat/completions";

Json post(uint16_t port, const char* path, const Json& body, int status = 200) {
  const Answer answer = ask(port, "POST", path, body.dump());
  EXPECT_EQ(answer.status, status) << body << "\n" << answer.body;
  return Json::parse(answer.body);
}

Json hello() { return Json::parse(R"([{"role":"user","content":"hello there"}])"); }

std::string story(int64_t tokens) {
  std::string text;
  for (int64_t i = 0; i < tokens; ++i) text += FakeEngine::story_token(i);
  return text;
}

CompletionEvent said(std::string text) {
  CompletionEvent e;
  e.text = std::move(text);
  return e;
}

// Reasoning, text, two calls, log-probabilities and timings: everything an engine can say.
std::vector<CompletionEvent> everything() {
  std::vector<CompletionEvent> script(5);
  script[0].reasoning = "Hm";
  script[1].reasoning = ", so.";
  script[1].text = "Let me see.";
  script[1].logprobs = {{{"Let", -0.5}, {{"Let", -0.5}, {"\xE2\x80", -1.25}}}};
  script[2].tool_calls = {{0, "call_a", "weather", ""}, {0, "", "", "{\"city\":"}};
  script[3].tool_calls = {{0, "", "", "\"Bern\"}"}, {1, "call_b", "time", "{}"}};
  script[4].reason = FinishReason::kToolCalls;
  script[4].timings = CompletionTimings{20, 40};
  return script;
}

TEST(Chat, WholeAnswer) {
  RunningServer running;
  running.start();
  const Json answer = post(running.port(), kChat, {{"messages", hello()}, {"max_tokens", 3}});
  EXPECT_TRUE(answer["id"].get<std::string>().starts_with("chatcmpl-"));
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["choices"],
            Json::parse(R"([{"index":0,"message":{"role":"assistant","content":")" + story(3) +
                        R"(","refusal":null},"logprobs":null,"finish_reason":"length"}])"));
  EXPECT_EQ(answer["usage"]["completion_tokens"], 3);
  const CompletionRequest seen = running.engine.last_request();
  ASSERT_TRUE(seen.chat);
  EXPECT_EQ(seen.chat->messages, R"([{"role":"user","content":"hello there"}])");
  post(running.port(), kChat, {{"messages", hello()}});
  EXPECT_EQ(running.engine.last_request().max_tokens, CompletionRequest::kAsManyAsFit);
}

TEST(Chat, MessagesBecomeWhatTemplatesExpect) {
  RunningServer running;
  running.start();
  const Json body = Json::parse(R"({"max_tokens":1,"messages":[
    {"role":"system","content":[{"type":"text","text":"be"},{"type":"text","text":"kind"}]},
    {"role":"user","content":"q","name":"ann"},
    {"role":"assistant","content":null,"refusal":null,"tool_calls":[
      {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\": [1, 2.0]}"}},
      {"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},
    {"role":"tool","tool_call_id":"c1","content":"3"}],
    "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}},
             {"type":"function","function":{"name":"g"}}],
    "tool_choice":{"type":"function","function":{"name":"g"}},
    "parallel_tool_calls":false,"chat_template_kwargs":{"enable_thinking":false},"reasoning_effort":"low"})");
  post(running.port(), kChat, body);
  const auto chat = running.engine.last_request().chat;
  EXPECT_EQ(Json::parse(chat->messages), Json::parse(R"([
    {"role":"system","content":"be\nkind"},{"role":"user","content":"q","name":"ann"},
    {"role":"assistant","content":"","tool_calls":[
      {"id":"c1","type":"function","function":{"name":"f","arguments":{"x":[1,2.0]}}},
      {"id":"c2","type":"function","function":{"name":"g","arguments":{}}}]},
    {"role":"tool","tool_call_id":"c1","content":"3"}])"));
  ASSERT_EQ(chat->tools.size(), 2u);
  EXPECT_EQ(chat->tools[0].parameters, R"({"type":"object"})");
  EXPECT_EQ(chat->tools[1].parameters, R"({"type":"object","properties":{}})");
  EXPECT_EQ(Json::parse(chat->tools_json), body["tools"]);
  EXPECT_EQ(chat->choice, ToolChoice::kNamed);
  EXPECT_EQ(chat->tool_name, "g");
  EXPECT_FALSE(chat->parallel_tool_calls);
  EXPECT_EQ(Json::parse(chat->variables),
            Json::parse(R"({"enable_thinking":false,"reasoning_effort":"low"})"));
}

TEST(Chat, RefusalsNameTheField) {
  RunningServer running;
  running.start();
  const std::pair<const char*, const char*> cases[] = {
      {"messages", "[]"},
      {"messages", "null"},
      {"messages", "{}"},
      {"messages", R"([{"content":"a"}])"},
      {"messages", R"([{"role":"king","content":"a"}])"},
      {"messages", R"([{"role":"user"}])"},
      {"messages", R"([{"role":"user","content":5}])"},
      {"messages", R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])"},
      {"messages", R"([{"role":"user","content":"a","tool_calls":[{}]}])"},
      {"messages", R"([{"role":"assistant","tool_calls":[{"id":"a"}]}])"},
      {"messages", R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{"}}]}])"},
      {"messages", R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"[1]"}}]}])"},
      {"messages", R"([{"role":"assistant","content":"a","function_call":{"name":"f"}}])"},
      {"tools", R"([{"type":"web_search"}])"},
      {"tools", R"([{"type":"function"}])"},
      {"tools", R"([{"type":"function","function":{"name":"a b"}}])"},
      {"tools", R"([{"type":"function","function":{"name":"a","parameters":5}}])"},
      {"tools",
       R"([{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"a"}}])"},
      {"tool_choice", "\"always\""},
      {"tool_choice", "\"required\""},
      {"tool_choice", R"({"type":"function","function":{"name":"a"}})"},
      {"parallel_tool_calls", "1"},
      {"logprobs", "2"},
      {"top_logprobs", "3"},
      {"prompt", "\"a\""},
      {"echo", "true"},
      {"suffix", "\"a\""},
      {"best_of", "1"},
      {"functions", "[]"},
      {"function_call", "\"auto\""},
      {"store", "true"},
      {"service_tier", "\"flex\""},
      {"modalities", R"(["text","audio"])"},
      {"audio", "{}"},
      {"reasoning_format", "\"xml\""},
      {"continue_final_message", "true"},
      {"chat_template_kwargs", R"({"messages":[]})"},
      {"chat_template", "\"x\""},
      {"n", "129"},
      {"no_such_field", "1"},
  };
  for (const auto& [field, value] : cases) {
    std::string body = std::string("{\"") + field + "\":" + value;
    if (std::string(field) != "messages") body += ",\"messages\":" + hello().dump();
    const Answer answer = ask(running.port(), "POST", kChat, body + "}");
    EXPECT_EQ(answer.status, 400) << body << answer.body;
    EXPECT_EQ(Json::parse(answer.body)["error"]["param"], field) << body << answer.body;
  }
  EXPECT_EQ(post(running.port(), kChat, Json::object(), 400)["error"]["param"], "messages");
  const Json both = Json::parse(R"({"messages":[{"role":"user","content":"a"}],"regex":"a",
      "tools":[{"type":"function","function":{"name":"a"}}]})");
  EXPECT_EQ(post(running.port(), kChat, both, 400)["error"]["param"], "regex");
  const Json open = Json::parse(
      R"({"messages":[{"role":"user","content":"a"}],"continue_final_message":true,"add_generation_prompt":false})");
  EXPECT_EQ(post(running.port(), kChat, open, 400)["error"]["param"], "continue_final_message");
}

// Each field of the table is read where it belongs, and null is nothing.
TEST(Chat, TheTableOfFieldsIsTheOneThatIsRead) {
  RunningServer running;
  running.start();
  for (const RequestField& field : request_fields()) {
    EXPECT_NO_THROW(Json::parse(field.schema)) << field.name;
    for (const auto& [where, path, body] :
         {std::tuple{RequestField::kCompletions, "/v1/completions", R"({"prompt":"a")"},
          std::tuple{RequestField::kChat, kChat, R"({"messages":[{"role":"user","content":"a"}])"},
          std::tuple{RequestField::kInfill, "/infill", R"({"prompt":"a")"}}) {
      const std::string_view name = field.name;
      if (field.required || name == "prompt") continue;
      const std::string null = std::string(body) + ",\"" + field.name + "\":null}";
      const Answer answer = ask(running.port(), "POST", path, null);
      EXPECT_EQ(answer.status, field.where & where ? 200 : 400) << null << answer.body;
      // A value of no field's type: known fields say what they expect.
      const std::string odd = std::string(body) + ",\"" + field.name + "\":[[[]]]}";
      const Answer refused = ask(running.port(), "POST", path, odd);
      EXPECT_EQ(refused.status, 400) << odd;
      EXPECT_EQ(refused.body.find("unknown field") == std::string::npos, (field.where & where) != 0)
          << refused.body;
    }
  }
}

TEST(Chat, EverythingAnEngineSays) {
  FakeEngineOptions options;
  options.script = everything();
  RunningServer running(test_options(), options);
  running.start();
  const Json body = {{"messages", hello()}, {"logprobs", true}, {"top_logprobs", 2}};
  const Json answer = post(running.port(), kChat, body);
  EXPECT_EQ(running.engine.last_request().logprobs, 2);
  EXPECT_EQ(answer["choices"][0],
            Json::parse(R"({"index":0,"message":{"role":"assistant","content":"Let me see.",
    "refusal":null,"reasoning_content":"Hm, so.","tool_calls":[
      {"id":"call_a","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Bern\"}"}},
      {"id":"call_b","type":"function","function":{"name":"time","arguments":"{}"}}]},
    "logprobs":{"content":[{"token":"Let","logprob":-0.5,"bytes":[76,101,116],"top_logprobs":[
       {"token":"Let","logprob":-0.5,"bytes":[76,101,116]},
       {"token":"bytes:\\xe2\\x80","logprob":-1.25,"bytes":[226,128]}]}],"refusal":null},
    "finish_reason":"tool_calls"})"));
  const Json t = answer["timings"];
  EXPECT_EQ(t["prompt_ms"], 20.0);
  EXPECT_EQ(t["prompt_n"], answer["usage"]["prompt_tokens"]);
  EXPECT_EQ(t["predicted_n"], 5);
  EXPECT_EQ(t["predicted_per_second"], 100.0) << "four tokens after the first, in 40 ms";
  EXPECT_EQ(t["predicted_per_token_ms"], 10.0);
}

TEST(Chat, StreamedDeltas) {
  FakeEngineOptions options;
  options.script = everything();
  RunningServer running(test_options(), options);
  running.start();
  Json body = {{"messages", hello()}, {"stream", true}, {"logprobs", true}};
  auto events = sse_events(ask(running.port(), "POST", kChat, body.dump()).body);
  ASSERT_EQ(events.size(), 10u);
  EXPECT_EQ(events.back(), "[DONE]");
  std::vector<Json> deltas;
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    const Json chunk = Json::parse(events[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_EQ(chunk["choices"][0]["finish_reason"].is_null(), i + 2 < events.size());
    deltas.push_back(chunk["choices"][0]["delta"]);
  }
  const char* expected[] = {
      R"({"role":"assistant","content":""})",
      R"({"reasoning_content":"Hm"})",
      R"({"reasoning_content":", so."})",
      R"({"content":"Let me see."})",
      R"({"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"weather","arguments":""}}]})",
      R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]})",
      R"({"tool_calls":[{"index":0,"function":{"arguments":"\"Bern\"}"}}]})",
      R"({"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"time","arguments":"{}"}}]})",
      R"({})"};
  for (size_t i = 0; i < std::size(expected); ++i) EXPECT_EQ(deltas[i], Json::parse(expected[i])) << i;
}

TEST(Choices, AreNumberedPromptByPrompt) {
  RunningServer running;
  running.start();
  const Json answer = post(running.port(), "/v1/completions",
                           {{"prompt", {"a", "b c"}}, {"n", 3}, {"best_of", 3}, {"max_tokens", 2}});
  ASSERT_EQ(answer["choices"].size(), 6u);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(answer["choices"][static_cast<size_t>(i)]["index"], i);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 3) << "a prompt counts once";
  EXPECT_EQ(answer["usage"]["completion_tokens"], 12);
  const auto events =
      sse_events(ask(running.port(), "POST", kChat,
                     Json{{"messages", hello()}, {"n", 2}, {"max_tokens", 2}, {"stream", true}}.dump())
                     .body);
  std::string texts[2];
  int roles = 0;
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    const Json choice = Json::parse(events[i])["choices"][0];
    if (choice["delta"].contains("role")) ++roles;
    if (choice["delta"].contains("content"))
      texts[choice["index"].get<int>()] += choice["delta"]["content"].get<std::string>();
  }
  EXPECT_EQ(roles, 2);
  EXPECT_EQ(texts[0], story(2));
  EXPECT_EQ(texts[1], story(2));
}

TEST(Logprobs, OfCompletionsAreFourLists) {
  FakeEngineOptions options;
  options.script = {said(" caf\xC3\xA9"), said("!")};
  options.script[0].logprobs = {{{" caf", -0.5}, {{" caf", -0.5}, {" the", -1}}},
                                {{"\xC3\xA9", -2}, {{"x", -0.1}}}};
  options.script[1].logprobs = {{{"!", -std::numeric_limits<double>::infinity()}, {}}};
  RunningServer running(test_options(), options);
  running.start();
  Json body = {{"prompt", "a"}, {"logprobs", 2}};
  const Json whole = Json::parse(R"({"text_offset":[0,4,5],"token_logprobs":[-0.5,-2.0,-9999.0],
      "tokens":[" caf","é","!"],"top_logprobs":[{" caf":-0.5," the":-1.0},{"é":-2.0,"x":-0.1},{"!":-9999.0}]})");
  EXPECT_EQ(post(running.port(), "/v1/completions", body)["choices"][0]["logprobs"], whole);
  body["stream"] = true;
  const auto events = sse_events(ask(running.port(), "POST", "/v1/completions", body.dump()).body);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(Json::parse(events[0])["choices"][0]["logprobs"]["text_offset"], Json::parse("[0,4]"));
  EXPECT_EQ(Json::parse(events[1])["choices"][0]["logprobs"]["text_offset"], Json::parse("[5]"));
}

// What an engine refuses after submit() still has a status of its own, in streams too.
TEST(Refusals, ComeWithAStatus) {
  for (const bool stream : {false, true}) {
    FakeEngineOptions options;
    options.refuse = [](const CompletionRequest& r) {
      if (r.prompt == "field") throw FieldError(ErrorCode::kUnsupported, "regex", "no such thing");
      if (r.prompt == "long") throw ContextLengthError(9, 8);
      if (r.prompt == "model") throw NotSupportedError("this model cannot");
    };
    RunningServer running(test_options(), options);
    running.start();
    const auto refused = [&](const Json& prompt, int status) {
      return post(running.port(), "/v1/completions", {{"prompt", prompt}, {"stream", stream}},
                  status)["error"];
    };
    EXPECT_EQ(refused("field", 400)["param"], "regex");
    EXPECT_EQ(refused("long", 400)["code"], "context_length_exceeded");
    EXPECT_EQ(refused("model", 501)["type"], "not_supported_error");
    EXPECT_EQ(refused(std::vector<std::string>{"fine", "field"}, 400)["param"], "regex");
    EXPECT_TRUE(running.engine.wait_running(0));
  }
}

TEST(Tokens, ThereAndBack) {
  RunningServer running;
  running.start();
  const auto port = running.port();
  EXPECT_EQ(post(port, "/tokenize", {{"content", "ab"}}), Json::parse(R"({"tokens":[97,98]})"));
  EXPECT_EQ(post(port, "/tokenize", {{"content", "a"}, {"add_special", true}, {"with_pieces", true}}),
            Json::parse(R"({"tokens":[{"id":256,"piece":"<s>"},{"id":97,"piece":"a"}]})"));
  EXPECT_EQ(post(port, "/tokenize", {{"content", "é"}, {"with_pieces", true}})["tokens"][0],
            Json::parse(R"({"id":195,"piece":[195]})"));
  EXPECT_EQ(post(port, "/tokenize", {{"prompt", "a"}, {"model", "fake-model"}, {"return_token_strs", true}}),
            Json::parse(R"({"count":2,"max_model_len":512,"tokens":[256,97],"token_strs":["<s>","a"]})"));
  EXPECT_EQ(post(port, "/tokenize", {{"messages", hello()}})["count"], 41);
  EXPECT_EQ(post(port, "/detokenize", {{"tokens", {104, 105}}}),
            Json::parse(R"({"content":"hi","prompt":"hi"})"));
  EXPECT_EQ(Json::parse(post(port, "/apply-template", {{"messages", hello()}})["prompt"].get<std::string>()),
            hello());
  const auto param = [&](const char* path, const char* body) {
    return post(port, path, Json::parse(body), 400)["error"]["param"];
  };
  EXPECT_EQ(param("/tokenize", "{}"), "content");
  EXPECT_EQ(param("/tokenize", R"({"content":"a","prompt":"b"})"), "prompt");
  EXPECT_EQ(param("/tokenize", R"({"content":"a","x":1})"), "x");
  EXPECT_EQ(param("/tokenize", R"({"content":5})"), "content");
  EXPECT_EQ(param("/tokenize", R"({"content":"a","parse_special":false})"), "parse_special");
  EXPECT_EQ(param("/detokenize", "{}"), "tokens");
  EXPECT_EQ(param("/detokenize", R"({"tokens":[-1]})"), "tokens");
  EXPECT_EQ(param("/detokenize", R"({"tokens":[300]})"), "tokens");
  EXPECT_EQ(param("/apply-template", "{}"), "messages");
  post(port, "/tokenize", {{"content", "a"}, {"model", "other"}}, 404);
}

TEST(OpenApi, ListsEveryRoute) {
  RunningServer running;
  running.start();
  const Json document = Json::parse(ask(running.port(), "GET", "/openapi.json").body);
  EXPECT_EQ(document["openapi"], "3.1.0");
  std::set<std::string> ids;
  for (const auto& [method, pattern] : running.router.routes()) {
    std::string path = pattern;
    if (path.ends_with("/*")) path.replace(path.size() - 1, 1, "{name}");
    ASSERT_TRUE(document["paths"].contains(path)) << path;
    const std::string lower = method == "GET" ? "get" : method == "POST" ? "post" : "delete";
    ASSERT_TRUE(document["paths"][path.c_str()].contains(lower)) << method << " " << path;
    const Json operation = document["paths"][path.c_str()][lower.c_str()];
    EXPECT_TRUE(ids.insert(operation["operationId"].get<std::string>()).second);
    EXPECT_TRUE(operation["responses"].contains("200"));
  }
  const Json schema =
      document["paths"][kChat]["post"]["requestBody"]["content"]["application/json"]["schema"];
  EXPECT_EQ(schema["required"], Json::parse(R"(["messages"])"));
  EXPECT_TRUE(schema["properties"].contains("temperature"));
  EXPECT_FALSE(schema["properties"].contains("prompt"));
}

}  // namespace
}  // namespace hoist::http
