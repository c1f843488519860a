// Encoders behind the seam: what a user's texts become, cache, truncation, cancellation; the answers are
// those that transformers computes of the same texts (scripts/make_encoder_fixtures.py).
#include "serve/encoder_engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <future>
#include <sstream>

#include "support/json.h"

namespace hoist::serve {
namespace {

using support::Json;

std::string folder(const std::string& name) {
  return std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/encoders/" + name;
}

Json texts(const std::string& name) {
  std::ifstream in(folder(name) + "/texts.json");
  std::stringstream text;
  text << in.rdbuf();
  return Json::parse(text.str());
}

struct Service {
  decode::EncoderModel model;
  decode::Encoder encoder;
  EncoderEngine engine;

  explicit Service(const std::string& name, EncoderServeOptions options = {})
      : model(decode::open_encoder(folder(name))),
        encoder(model, {.threads = 1, .batch_tokens = 128}),
        engine(model, encoder, options) {}

  std::future<http::EncodeResult> ask(http::EncodeRequest request) {
    auto promise = std::make_shared<std::promise<http::EncodeResult>>();
    std::future<http::EncodeResult> future = promise->get_future();
    engine.submit(std::move(request), [promise](http::EncodeResult r) { promise->set_value(std::move(r)); });
    return future;
  }
};

http::EncodeRequest text_request(const std::string& text, http::EncodeTask task = http::EncodeTask::kEmbed) {
  http::EncodeRequest r;
  r.text = text;
  r.task = task;
  return r;
}

void expect_near(const std::vector<float>& found, const Json& expected) {
  ASSERT_EQ(found.size(), expected.size());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double want = expected[i].get<double>();
    difference += (found[i] - want) * (found[i] - want);
    norm += want * want;
  }
  EXPECT_LE(std::sqrt(difference / norm), 1e-5);
}

TEST(EncoderEngine, VectorsAreThoseOfTheReference) {
  Service service("sentence");
  const Json expected = texts("sentence");
  std::vector<std::future<http::EncodeResult>> answers;
  for (const auto& text : expected["texts"])
    answers.push_back(service.ask(text_request(text.get<std::string>())));
  for (size_t i = 0; i < answers.size(); ++i) {
    const http::EncodeResult r = answers[i].get();
    ASSERT_FALSE(r.failed) << r.error;
    expect_near(r.values, expected["vectors"][i]);
  }
}

TEST(EncoderEngine, PairsAreScoredAsTheReferenceScoresThem) {
  Service service("cross");
  const Json expected = texts("cross");
  for (size_t i = 0; i < expected["texts"].size(); ++i) {
    http::EncodeRequest r = text_request(expected["query"].get<std::string>(), http::EncodeTask::kClassify);
    r.second = expected["texts"][i].get<std::string>();
    expect_near(service.ask(std::move(r)).get().values, expected["scores"][i]);
  }
}

TEST(EncoderEngine, TheSameQuestionIsAnsweredFromTheCache) {
  Service service("sentence");
  const http::EncodeResult first = service.ask(text_request("the cat")).get();
  const http::EncodeResult second = service.ask(text_request("The  cat")).get();  // the same tokens
  EXPECT_EQ(first.values, second.values);
  EXPECT_EQ(service.engine.counters().cached, 1);
  EXPECT_EQ(service.engine.counters().sequences, 1);
  EncoderServeOptions none;
  none.cache_bytes = 0;
  Service plain("sentence", none);
  EXPECT_EQ(plain.ask(text_request("the cat")).get().values, first.values);
  plain.ask(text_request("the cat")).get();
  EXPECT_EQ(plain.engine.counters().sequences, 2);
}

TEST(EncoderEngine, LongTextsAreRefusedOrCut) {
  Service service("sentence");
  const std::string text(100, '.');  // one unknown token each
  EXPECT_THROW(service.ask(text_request(text)), http::SequenceLengthError);
  http::EncodeRequest r = text_request(text);
  r.truncate = true;
  EXPECT_EQ(service.ask(std::move(r)).get().tokens, 60);

  Service cross("cross");
  for (const auto& [a, b] : {std::pair{100, 4}, {4, 100}, {100, 100}, {0, 100}, {100, 0}}) {
    http::EncodeRequest pair =
        text_request(std::string(static_cast<size_t>(a), '.'), http::EncodeTask::kClassify);
    pair.second = std::string(static_cast<size_t>(b), '.');
    pair.truncate = true;
    EXPECT_EQ(cross.ask(std::move(pair)).get().tokens, 66) << a << " " << b;
  }
}

TEST(EncoderEngine, ManyAtOnceGiveTheBitsOfEachAlone) {
  EncoderServeOptions none;
  none.cache_bytes = 0;
  Service service("sentence", none);
  std::vector<std::string> list;
  for (int i = 0; i < 60; ++i)
    list.push_back(std::string(static_cast<size_t>(1 + i * 7 % 50), static_cast<char>('a' + i % 26)));
  std::vector<std::vector<float>> alone;
  for (const std::string& text : list) alone.push_back(service.ask(text_request(text)).get().values);
  std::vector<std::future<http::EncodeResult>> answers;
  for (const std::string& text : list) answers.push_back(service.ask(text_request(text)));
  for (size_t i = 0; i < list.size(); ++i) EXPECT_EQ(answers[i].get().values, alone[i]) << i;
}

TEST(EncoderEngine, CancelledAndUnansweredEndWell) {
  std::atomic<int> answered{0};
  {
    Service service("sentence");
    for (int i = 0; i < 200; ++i) {
      const auto handle = service.engine.submit(text_request("text " + std::to_string(i)),
                                                [&](http::EncodeResult) { ++answered; });
      if (i % 2) service.engine.cancel(handle);
    }
    service.engine.cancel(123456);
  }
  EXPECT_LE(answered.load(), 200);
}

// The value of the line that begins so.
double value(EncoderMetrics& metrics, const std::string& name, const std::string& label = "") {
  std::istringstream text(metrics.text());
  for (std::string line; std::getline(text, line);)
    if (line.starts_with("hoist:" + name + "{") && line.find(label) != std::string::npos)
      return std::stod(line.substr(line.rfind(' ') + 1));
  ADD_FAILURE() << "no " << name << " " << label;
  return -1;
}

TEST(EncoderMetrics, CountEverySequenceOnce) {
  EncoderMetrics metrics("an \"encoder\"\n");
  EncoderServeOptions options;
  options.metrics = &metrics;
  int64_t tokens = 0, computed = 0;
  int answered = 0;
  {
    Service service("sentence", options);
    for (int round = 0; round < 2; ++round)
      for (int i = 0; i < 10; ++i) {
        const http::EncodeResult r =
            service.ask(text_request(std::string(1 + static_cast<size_t>(i), '.'))).get();
        tokens += r.tokens;
        if (round == 0) computed += r.tokens;
        ++answered;
      }
    EXPECT_EQ(value(metrics, "num_requests_waiting"), 0);
    EXPECT_EQ(value(metrics, "num_requests_running"), 0);
    EXPECT_EQ(value(metrics, "prompt_tokens_total"), tokens);
    EXPECT_EQ(value(metrics, "rows_computed_total"), computed);
    EXPECT_EQ(value(metrics, "response_cache_queries_total"), 20);
    EXPECT_EQ(value(metrics, "response_cache_hits_total"), 10);
    EXPECT_EQ(value(metrics, "batches_total"), service.engine.counters().batches);
    EXPECT_EQ(value(metrics, "batch_sequences_sum"), 10);
    EXPECT_EQ(value(metrics, "batch_time_seconds_count"), value(metrics, "batches_total"));
    EXPECT_EQ(value(metrics, "request_queue_time_seconds_count"), 10);
    EXPECT_EQ(value(metrics, "e2e_request_latency_seconds_count"), 20);
    EXPECT_EQ(value(metrics, "request_prompt_tokens_sum"), tokens);
    EXPECT_THROW(service.ask(text_request(std::string(100, '.'))), http::SequenceLengthError);
    // Some of these are cancelled, some answered, and some find the server gone.
    for (int i = 0; i < 50; ++i) {
      const auto handle =
          service.engine.submit(text_request("other " + std::to_string(i)), [](http::EncodeResult) {});
      if (i % 2) service.engine.cancel(handle);
    }
    answered += 50;
  }
  EXPECT_EQ(value(metrics, "num_requests_waiting"), 0);
  EXPECT_EQ(value(metrics, "num_requests_running"), 0);
  EXPECT_EQ(value(metrics, "request_success_total", "\"stop\"") +
                value(metrics, "request_success_total", "\"error\"") +
                value(metrics, "request_success_total", "\"abort\""),
            answered);
  metrics.answered(200);
  metrics.answered(200);
  metrics.answered(429);
  EXPECT_EQ(value(metrics, "http_requests_total", "\"200\""), 2);
  EXPECT_EQ(value(metrics, "http_requests_total", "\"429\""), 1);
  EXPECT_NE(metrics.text().find("model_name=\"an \\\"encoder\\\"\\n\""), std::string::npos) << metrics.text();
}

}  // namespace
}  // namespace hoist::serve
