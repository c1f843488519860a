// Requests through templates, tokenizer, engine and parsers, as the API hands them over.
#include "serve/async_engine.h"

#include <gtest/gtest.h>

#include <cmath>

#include "serve/infill.h"
#include "serve/tiny_model.h"

namespace hoist::serve {
namespace {

using http::FinishReason;

TEST(AsyncEngine, ChoicesAreWhatTheirSeedsSayAlone) {
  Served served;
  http::CompletionRequest r = text_request("once", 24);
  r.n = 4;
  r.seed = 40;
  const std::vector<Said> together = ask(served.async, r);
  for (uint64_t i = 0; i < 4; ++i) {
    http::CompletionRequest alone = text_request("once", 24);
    alone.seed = 40 + i;
    const Said s = ask_one(served.async, std::move(alone));
    EXPECT_EQ(s.text, together[i].text);
    EXPECT_EQ(s.usage.completion_tokens, together[i].usage.completion_tokens);
    EXPECT_TRUE(together[i].timed);
  }
  EXPECT_NE(together[0].text, together[1].text);
}

TEST(AsyncEngine, LogprobsAreOfTheTokensSaid) {
  Served served;
  http::CompletionRequest r = text_request("once", 12);
  r.logprobs = 3;
  r.temperature = 0;
  r.ignore_eos = true;
  const Said s = ask_one(served.async, r);
  ASSERT_EQ(s.logprobs.size(), 12u);
  for (const http::TokenLogprobs& step : s.logprobs) {
    ASSERT_EQ(step.top.size(), 3u);
    EXPECT_EQ(step.top[0].bytes, step.chosen.bytes) << "greedy";
    EXPECT_EQ(step.top[0].logprob, step.chosen.logprob);
    EXPECT_LE(step.top[1].logprob, step.top[0].logprob);
    EXPECT_LT(step.chosen.logprob, 0);
  }
  r.logprobs = -1;
  EXPECT_EQ(ask_one(served.async, r).text, s.text);
}

TEST(AsyncEngine, PromptLogprobsAreOfThePrompt) {
  Served served;
  http::CompletionRequest r = text_request("<s>the name of the list", 4);
  r.prompt_logprobs = 2;
  r.n = 2;
  const std::vector<Said> both = ask(served.async, r);
  std::string text;
  for (const http::TokenLogprobs& step : both[0].prompt_logprobs) {
    const bool first = text.empty();
    text += step.chosen.bytes;
    EXPECT_EQ(step.known, !first);
    EXPECT_EQ(step.hidden, 0u);
    if (first) continue;
    ASSERT_EQ(step.top.size(), 2u);
    EXPECT_LT(step.chosen.logprob, 0);
    EXPECT_EQ(step.rank == 1, step.chosen.id == step.top[0].id);
  }
  EXPECT_EQ(text, r.prompt);
  EXPECT_EQ(both[0].prompt_logprobs.size(), both[1].prompt_logprobs.size());
  // The prompt alone, by its tokens: the same values, and nothing said.
  http::CompletionRequest alone = text_request("", 0);
  for (const http::TokenLogprobs& step : both[0].prompt_logprobs) alone.prompt_ids.push_back(step.chosen.id);
  alone.prompt_logprobs = 2;
  alone.logprobs = 2;
  alone.echo = true;
  const Said s = ask_one(served.async, alone);
  EXPECT_EQ(s.prompt_text, r.prompt);
  EXPECT_EQ(s.text, "");
  EXPECT_EQ(s.usage.completion_tokens, 0);
  EXPECT_EQ(s.reason, FinishReason::kLength);
  EXPECT_TRUE(s.logprobs.empty());
  ASSERT_EQ(s.prompt_logprobs.size(), both[0].prompt_logprobs.size());
  for (size_t i = 1; i < s.prompt_logprobs.size(); ++i)
    EXPECT_EQ(s.prompt_logprobs[i].chosen.logprob, both[0].prompt_logprobs[i].chosen.logprob);
  // One token predicts no other.
  alone.prompt_ids.resize(1);
  alone.max_tokens = 1;
  const Said one = ask_one(served.async, alone);
  ASSERT_EQ(one.prompt_logprobs.size(), 1u);
  EXPECT_FALSE(one.prompt_logprobs[0].known);
  EXPECT_EQ(one.logprobs.size(), 1u);
}

TEST(AsyncEngine, BiasesPenaltiesAndEnds) {
  Served served;
  const int32_t x = served.model.tokenizer->encode("x", false).at(0), end = served.model.eos_ids[0];
  http::CompletionRequest r = text_request("once", 8);
  r.logit_bias = {{x, 100}};
  EXPECT_EQ(ask_one(served.async, r).text, "xxxxxxxx");
  r.frequency_penalty = 2;
  r.logit_bias = {{x, 1}};
  r.max_tokens = 64;
  const std::string text = ask_one(served.async, r).text;
  EXPECT_LT(std::count(text.begin(), text.end(), 'x'), 10);
  r = text_request("once", 8);
  r.logit_bias = {{end, 100}};
  Said s = ask_one(served.async, r);
  EXPECT_EQ(s.text, "");
  EXPECT_EQ(s.reason, FinishReason::kStop);
  r.min_tokens = 5;
  s = ask_one(served.async, r);
  EXPECT_EQ(s.reason, FinishReason::kStop);
  EXPECT_EQ(s.usage.completion_tokens, 6) << "five, and the end";
  r.ignore_eos = true;
  s = ask_one(served.async, r);
  EXPECT_EQ(s.reason, FinishReason::kLength);
  r.stop_token_ids = {end};
  EXPECT_EQ(ask_one(served.async, r).usage.completion_tokens, 6);
  r = text_request("once", 8);
  r.logit_bias = {{x, 100}};
  r.stop = {"xx"};
  EXPECT_EQ(ask_one(served.async, r).text, "");
  r.min_tokens = 4;
  EXPECT_EQ(ask_one(served.async, r).text, "xxxx");
}

TEST(AsyncEngine, RefusalsComeLater) {
  Served served;
  const auto field = [&](auto change) {
    http::CompletionRequest r = text_request("once", 8);
    change(r);
    try {
      ask_one(served.async, r);
    } catch (const http::FieldError& e) {
      return e.field();
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(field([](auto& r) { r.prompt_ids = {1, 100000}; }), "prompt");
  EXPECT_EQ(field([](auto& r) { r.logit_bias = {{100000, 1}}; }), "logit_bias");
  EXPECT_EQ(field([](auto& r) { r.stop_token_ids = {100000}; }), "stop_token_ids");
  EXPECT_THROW(ask_one(served.async, text_request(std::string(5000, 'x'), 8)), http::ContextLengthError);
  EXPECT_THROW(ask_one(served.async, chat_request("a", 8)), http::NotSupportedError) << "no template";
  http::CompletionRequest r = text_request("a", 8);
  r.suffix = "b";
  EXPECT_THROW(ask_one(served.async, r), http::NotSupportedError) << "no tokens to fill in with";
  r.suffix.reset();
  EXPECT_NO_THROW(ask_one(served.async, r)) << "still there";
}

TEST(AsyncEngine, AFullQueueRefusesAtOnce) {
  Served served({}, {4}, 1);
  http::CompletionRequest r = text_request("once", 4);
  r.n = 5;
  EXPECT_THROW(served.async.submit(r, [](http::CompletionEvent) {}), Error);
  r.n = 4;
  EXPECT_EQ(ask(served.async, r).size(), 4u);
  EXPECT_EQ(ask(served.async, r).size(), 4u) << "places come back";
}

// Cancelled before it is read, while it waits, and while it runs: places come back each time.
TEST(AsyncEngine, CancelledRequestsLeaveNothing) {
  Served served({}, {8}, 2);
  for (int round = 0; round < 60; ++round) {
    std::vector<http::CompletionEngine::Handle> handles;
    for (int i = 0; i < 4; ++i) {
      http::CompletionRequest r = text_request("once", 200);
      r.n = 2;
      r.ignore_eos = true;
      handles.push_back(served.async.submit(std::move(r), [](http::CompletionEvent) {}));
    }
    if (round % 3 == 1) std::this_thread::yield();
    if (round % 3 == 2) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    for (const auto h : handles) served.async.cancel(h);
    // Places are given back by the worker, soon.
    for (int i = 0;; ++i) {
      try {
        http::CompletionRequest all = text_request("x", 1);
        all.n = 8;
        ask(served.async, std::move(all));
        break;
      } catch (const Error& e) {
        ASSERT_EQ(e.code(), ErrorCode::kResourceExhausted) << e.what();
        ASSERT_LT(i, 10000);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  }
  EXPECT_EQ(served.engine.free_blocks(), served.engine.total_blocks());
}

TEST(AsyncEngine, StoppingTellsEverybody) {
  std::atomic<int> told{0};
  {
    Served served({}, {64}, 1);
    for (int i = 0; i < 20; ++i) {
      http::CompletionRequest r = text_request("once", 400);
      r.ignore_eos = true;
      served.async.submit(std::move(r), [&](http::CompletionEvent e) { told += e.finished; });
    }
  }
  EXPECT_EQ(told, 20);
}

TEST(AsyncEngine, ChatsGoThroughTheTemplate) {
  Served served({kPlainTemplate, false, 512});
  EXPECT_TRUE(served.async.info().chat);
  EXPECT_FALSE(served.async.info().infill);
  const http::CompletionRequest chat = chat_request("hi", 6);
  const Said s = ask_one(served.async, chat);
  http::CompletionRequest text = text_request("", 6);
  for (const int32_t id : served.model.tokenizer->encode("<s>user: hi\nassistant:", false))
    text.prompt_ids.push_back(id);
  EXPECT_EQ(s.usage.prompt_tokens, static_cast<int64_t>(text.prompt_ids.size()));
  EXPECT_EQ(s.text, ask_one(served.async, text).text);
  EXPECT_EQ(served.async.preparer().tokenize({"", chat.chat, {}}).text, "<s>user: hi\nassistant:");

  http::ChatPrompt developer;
  developer.messages = R"([{"role":"developer","content":"a"},{"role":"user","content":"b"}])";
  const auto shared = std::make_shared<const http::ChatPrompt>(developer);
  EXPECT_EQ(served.async.preparer().tokenize({"", shared, {}}).text, "<s>system: a\nuser: b\nassistant:");

  const auto message = [&](http::ChatPrompt prompt) {
    try {
      ask_one(served.async, chat_request("hi", 6, std::move(prompt)));
    } catch (const http::FieldError& e) {
      return e.field();
    }
    return std::string("accepted");
  };
  http::ChatPrompt unknown;
  unknown.variables = R"({"no_such_variable":1})";
  EXPECT_EQ(message(unknown), "chat_template_kwargs");
  unknown.variables = R"({"reasoning_effort":"low"})";
  EXPECT_EQ(message(unknown), "reasoning_effort");

  Served strict({"{{ raise_exception('roles must alternate') }}", false, 512});
  try {
    ask_one(strict.async, chat_request("hi", 6));
    ADD_FAILURE();
  } catch (const http::FieldError& e) {
    EXPECT_EQ(e.field(), "messages");
    EXPECT_NE(std::string(e.what()).find("roles must alternate"), std::string::npos);
  }
  http::ChatPrompt tools;
  tools.tools = {{"f", "{}"}};
  tools.tools_json = "[]";
  EXPECT_THROW(ask_one(strict.async, chat_request("hi", 6, tools)), http::FieldError) << "knows no tools";
}

TEST(AsyncEngine, FillsIn) {
  Served served({"", true, 512});
  EXPECT_TRUE(served.async.info().infill);
  http::CompletionRequest r = text_request("def f(", 6);
  r.suffix = "return";
  const Said s = ask_one(served.async, r);
  http::CompletionRequest ids = text_request("", 6);
  const auto& t = *served.model.tokenizer;
  const auto add = [&](const char* mark, const char* text) {
    ids.prompt_ids.push_back(*t.token_to_id(mark));
    for (const int32_t id : t.encode(text, false)) ids.prompt_ids.push_back(id);
  };
  add("<|fim_prefix|>", "def f(");
  add("<|fim_suffix|>", "return");
  add("<|fim_middle|>", "");
  EXPECT_EQ(s.usage.prompt_tokens, static_cast<int64_t>(ids.prompt_ids.size()));
  EXPECT_EQ(s.text, ask_one(served.async, ids).text);
}

TEST(AsyncEngine, OtherFilesComeBeforeWhatIsFilledIn) {
  Served served({"", true, 128});
  const auto& t = *served.model.tokenizer;
  InfillTokens tokens = *find_infill_tokens(t);
  const std::vector<http::InfillFile> files = {{"a.py", "first"}, {"", "second"}};
  const auto text = [&](const std::vector<int32_t>& ids) { return t.decode(ids, false); };
  const std::string bare = "<|fim_prefix|>x<|fim_suffix|>y<|fim_middle|>";
  EXPECT_EQ(text(infill_prompt(t, tokens, "x", "y")), bare);
  EXPECT_EQ(text(infill_prompt(t, tokens, "x", "y", files, 1000)),
            "\n\n--- snippet ---\n\nfirst\n\n--- snippet ---\n\nsecond" + bare);
  tokens.repository = *t.token_to_id("<think>");
  tokens.file = *t.token_to_id("</think>");
  const std::vector<int32_t> all = infill_prompt(t, tokens, "x", "y", files, 1000);
  EXPECT_EQ(text(all), "<think>project\n</think>a.py\nfirst</think>file\nsecond</think>filename\n" + bare);
  for (int64_t room = 0; room <= static_cast<int64_t>(all.size()); ++room) {
    const std::vector<int32_t> some = infill_prompt(t, tokens, "x", "y", files, room);
    EXPECT_TRUE(std::equal(some.rbegin(), some.rend(), all.rbegin())) << "the end of all of it";
    if (text(some) != "</think>filename\n" + bare) EXPECT_EQ(some.size(), static_cast<size_t>(room));
  }
  // However much there is of them, an answer has its place.
  http::CompletionRequest r = text_request("x", http::CompletionRequest::kAsManyAsFit);
  r.suffix = "y";
  r.extra.assign(50, {"f", "some text"});
  const Said s = ask_one(served.async, r);
  EXPECT_LE(s.usage.prompt_tokens, 96);
  EXPECT_GT(s.usage.prompt_tokens, 64);
  r.max_tokens = 0;
  EXPECT_EQ(ask_one(served.async, r).text, "");
  Served plain;
  EXPECT_THROW(ask_one(plain.async, r), http::NotSupportedError);
}

TEST(AsyncEngine, TokensThereAndBack) {
  Served served;
  const Preparer& p = served.async.preparer();
  const std::string text = "caf\xC3\xA9 <think> \xF0\x9F\x98\x80";
  const http::TokenizeResult ids = p.tokenize({text, nullptr, false});
  EXPECT_EQ(p.detokenize(ids.ids).text, text);
  std::string joined;
  for (const std::string& piece : ids.pieces) joined += piece;
  EXPECT_EQ(joined, text) << "pieces are what tokens write, special ones by their names";
  EXPECT_THROW(p.detokenize({100000}), http::FieldError);
}

// Priorities mean something to one policy only, and the others say so.
TEST(AsyncEngine, PriorityIsRefusedWhereNobodyLooksAtIt) {
  Served served;
  http::CompletionRequest r = text_request("once", 4);
  EXPECT_NO_THROW(ask(served.async, r));
  r.priority = 3;
  try {
    ask(served.async, r);
    FAIL() << "took it";
  } catch (const http::FieldError& e) {
    EXPECT_EQ(e.field(), "priority");
    EXPECT_NE(std::string(e.what()).find("found 3, expected 0: this server runs requests by fcfs"),
              std::string::npos)
        << e.what();
  }
}

TEST(QueuePlaces, BoundAllAndEachTenant) {
  QueuePlaces places(10, 4);
  const auto refused = [&](uint64_t scope, int64_t n) {
    try {
      places.take(scope, n);
      return false;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kResourceExhausted);
      return true;
    }
  };
  EXPECT_FALSE(refused(1, 4));
  EXPECT_TRUE(refused(1, 1)) << "the tenant's own limit";
  EXPECT_FALSE(refused(2, 3));
  EXPECT_TRUE(refused(2, 2));
  EXPECT_FALSE(refused(0, 3)) << "nobody's requests have no limit of their own";
  EXPECT_TRUE(refused(3, 1)) << "all places are taken";
  places.give(1, 4);
  EXPECT_FALSE(refused(1, 4));
  EXPECT_TRUE(refused(3, 1));
  places.give(1, 1);
  EXPECT_FALSE(refused(3, 1)) << "what was refused took nothing";
}

TEST(AsyncEngine, OneTenantDoesNotFillTheQueue) {
  AsyncOptions options;
  options.max_queue = 8;
  options.max_tenant_queue = 3;
  Served served({}, options);
  const auto with_scope = [](uint64_t scope, int64_t n) {
    http::CompletionRequest r = text_request("once", 4);
    r.scope = scope;
    r.n = n;
    return r;
  };
  for (int i = 0; i < 20; ++i) {  // places come back, whatever became of who had them
    EXPECT_THROW(ask(served.async, with_scope(1, 4)), Error);
    EXPECT_EQ(ask(served.async, with_scope(1, 3)).size(), 3u);
    EXPECT_EQ(ask(served.async, with_scope(2, 3)).size(), 3u);
    EXPECT_EQ(ask(served.async, with_scope(0, 8)).size(), 8u);
    served.async.cancel(served.async.submit(with_scope(1, 2), [](http::CompletionEvent) {}));
    served.async.between_steps([] {});
    http::CompletionRequest bad = with_scope(1, 1);
    bad.stop_token_ids = {1 << 30};
    EXPECT_THROW(ask(served.async, bad), Error);
  }
}

}  // namespace
}  // namespace hoist::serve
