// What is counted of requests on their way to an engine, with a clock of the test's own.
#include "serve/measured_engine.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/error.h"

namespace hoist::serve {
namespace {

// An engine that does nothing until told.
class HandEngine : public http::CompletionEngine {
 public:
  http::ModelInfo info() const override { return {"hand", 64, 1}; }
  Handle submit(http::CompletionRequest request, http::CompletionSink sink) override {
    if (request.prompt == "refuse") throw Error(ErrorCode::kResourceExhausted, "full");
    sinks.push_back(std::move(sink));
    if (request.prompt == "at once") emit(sinks.size() - 1, 1, true);
    return 100 + sinks.size();
  }
  void cancel(Handle handle) override { cancelled.push_back(handle); }
  void emit(size_t i, int64_t tokens, bool finished, http::FinishReason reason = http::FinishReason::kStop) {
    http::CompletionEvent e;
    e.text = "x";
    e.usage = {10, tokens, 4};
    e.finished = finished;
    e.reason = reason;
    sinks[i](e);
  }
  std::vector<http::CompletionSink> sinks;
  std::vector<Handle> cancelled;
};

struct Fixture {
  double now = 0;
  Metrics metrics{"a \"model\"\n"};
  MeasuredEngine engine{"name", metrics, [this] { return now; }};
  HandEngine inner;
  int events = 0;

  http::CompletionEngine::Handle submit(const std::string& prompt) {
    http::CompletionRequest r;
    r.prompt = prompt;
    return engine.submit(r, [this](http::CompletionEvent) { ++events; });
  }
  // The value of the line that begins so.
  double value(const std::string& name, const std::string& label = "", EngineLoad load = {}) {
    std::istringstream text(metrics.text(load));
    for (std::string line; std::getline(text, line);)
      if (line.starts_with(name + "{") && line.find(label) != std::string::npos)
        return std::stod(line.substr(line.rfind(' ') + 1));
    ADD_FAILURE() << "no " << name << " " << label;
    return -1;
  }
};

TEST(MeasuredEngine, RefusesUntilAnEngineIsThere) {
  Fixture f;
  EXPECT_EQ(f.engine.state(), http::EngineState::kLoading);
  EXPECT_EQ(f.engine.info().id, "name");
  try {
    f.submit("x");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnavailable);
  }
  f.engine.attach(f.inner);
  EXPECT_EQ(f.engine.state(), http::EngineState::kReady);
  EXPECT_EQ(f.engine.info().id, "hand");
  f.engine.set_stalled(true);
  EXPECT_EQ(f.engine.state(), http::EngineState::kStalled);
  EXPECT_EQ(f.value("hoist:engine_stalled"), 1);
  f.engine.set_stalled(false);
  EXPECT_EQ(f.engine.state(), http::EngineState::kReady);
}

TEST(MeasuredEngine, CountsAndTimesARequest) {
  Fixture f;
  f.engine.attach(f.inner);
  f.now = 100;
  f.submit("x");
  EXPECT_EQ(f.value("hoist:num_requests_waiting"), 1);
  f.now = 102;
  f.inner.emit(0, 1, false);
  EXPECT_EQ(f.value("hoist:num_requests_waiting"), 0);
  EXPECT_EQ(f.value("hoist:num_requests_running"), 1);
  EXPECT_EQ(f.value("hoist:prompt_tokens_total"), 10);
  EXPECT_EQ(f.value("hoist:prefix_cache_hits_total"), 4);
  f.now = 104;
  f.inner.emit(0, 3, false);
  f.now = 106;
  f.inner.emit(0, 5, true, http::FinishReason::kLength);
  EXPECT_EQ(f.events, 3);
  EXPECT_EQ(f.value("hoist:num_requests_running"), 0);
  EXPECT_EQ(f.value("hoist:generation_tokens_total"), 5);
  EXPECT_EQ(f.value("hoist:request_success_total", "\"length\""), 1);
  EXPECT_EQ(f.value("hoist:time_to_first_token_seconds_sum"), 2);
  EXPECT_EQ(f.value("hoist:time_to_first_token_seconds_bucket", "le=\"2.5\""), 1);
  EXPECT_EQ(f.value("hoist:time_to_first_token_seconds_bucket", "le=\"1\""), 0);
  EXPECT_EQ(f.value("hoist:time_per_output_token_seconds_sum"), 1);
  EXPECT_EQ(f.value("hoist:e2e_request_latency_seconds_sum"), 6);
  EXPECT_EQ(f.value("hoist:rows_live_total"), 10);
  EngineLoad load;
  load.rows = 20;
  load.steps = 5;
  load.total_blocks = 8;
  load.free_blocks = 2;
  EXPECT_EQ(f.value("hoist:kv_cache_usage_perc", "", load), 0.75);
  EXPECT_EQ(f.value("hoist:rows_computed_per_live_row", "", load), 2);
  EXPECT_EQ(f.value("hoist:steps_total", "", load), 5);
  EXPECT_EQ(f.value("hoist:steps_total", "", {}), 5) << "counters never fall";
}

TEST(MeasuredEngine, EveryEndIsCountedOnce) {
  Fixture f;
  f.engine.attach(f.inner);
  EXPECT_THROW(f.submit("refuse"), Error);
  const auto cancelled = f.submit("x"), begun = f.submit("x"), failed = f.submit("x");
  EXPECT_EQ(f.submit("at once"), failed + 1);
  f.engine.cancel(cancelled);
  f.inner.emit(1, 1, false);
  f.engine.cancel(begun);
  f.engine.cancel(begun);
  f.engine.cancel(12345);
  f.inner.emit(1, 2, true);  // too late
  f.inner.emit(2, 0, true, http::FinishReason::kError);
  EXPECT_EQ(f.inner.cancelled, (std::vector<http::CompletionEngine::Handle>{101, 102}));
  EXPECT_EQ(f.value("hoist:num_requests_waiting"), 0);
  EXPECT_EQ(f.value("hoist:num_requests_running"), 0);
  EXPECT_EQ(f.value("hoist:request_success_total", "\"abort\""), 2);
  EXPECT_EQ(f.value("hoist:request_success_total", "\"error\""), 1);
  EXPECT_EQ(f.value("hoist:request_success_total", "\"stop\""), 1);
  EXPECT_EQ(f.value("hoist:generation_tokens_total"), 2);
}

TEST(Metrics, AreTextThatPrometheusReads) {
  Fixture f;
  f.metrics.answered(200);
  f.metrics.answered(200);
  f.metrics.answered(503);
  EXPECT_EQ(f.value("hoist:http_requests_total", "\"200\""), 2);
  std::istringstream text(f.metrics.text({}));
  std::set<std::string> types;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("# TYPE ")) EXPECT_TRUE(types.insert(line).second) << line;
    if (line.empty() || line[0] == '#') continue;
    EXPECT_TRUE(line.starts_with("hoist:")) << line;
    EXPECT_NE(line.find(R"(model_name="a \"model\"\n")"), std::string::npos) << line;
  }
  EXPECT_GE(types.size(), 18u);
}

}  // namespace
}  // namespace hoist::serve
