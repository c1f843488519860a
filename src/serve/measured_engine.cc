#include "serve/measured_engine.h"

#include <chrono>

#include "base/error.h"

namespace hoist::serve {

struct MeasuredEngine::Choice {
  double first = 0, last = 0;
  bool started = false, ended = false;
  http::CompletionUsage usage;
};

struct MeasuredEngine::Call {
  Handle id = 0, inner = 0;
  double submitted = 0;
  std::vector<Choice> choices;
  size_t running = 0;
};

MeasuredEngine::MeasuredEngine(std::string name, Metrics& metrics, Clock clock)
    : name_(std::move(name)), metrics_(metrics), clock_(clock ? std::move(clock) : [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
      }) {}

MeasuredEngine::~MeasuredEngine() = default;

void MeasuredEngine::attach(http::CompletionEngine& engine) { engine_ = &engine; }

void MeasuredEngine::set_stalled(bool stalled) {
  stalled_ = stalled;
  metrics_.set_stalled(stalled);
}

http::ModelInfo MeasuredEngine::info() const {
  const http::CompletionEngine* engine = engine_;
  if (engine) return engine->info();
  http::ModelInfo info;
  info.id = name_;
  return info;
}

std::vector<http::ModelInfo> MeasuredEngine::models() const {
  const http::CompletionEngine* engine = engine_;
  return engine ? engine->models() : std::vector<http::ModelInfo>{info()};
}

http::EngineState MeasuredEngine::state() const {
  const http::CompletionEngine* engine = engine_;
  if (!engine || engine->state() == http::EngineState::kLoading) return http::EngineState::kLoading;
  return stalled_ ? http::EngineState::kStalled : http::EngineState::kReady;
}

http::CompletionEngine& MeasuredEngine::attached() const {
  http::CompletionEngine* engine = engine_;
  if (!engine) throw Error(ErrorCode::kUnavailable, "the model is being loaded");
  return *engine;
}

void MeasuredEngine::tokenize(http::TokenizeRequest request, std::function<void(http::TokenizeResult)> done) {
  attached().tokenize(std::move(request), std::move(done));
}

void MeasuredEngine::detokenize(http::DetokenizeRequest request,
                                std::function<void(http::TokenizeResult)> done) {
  attached().detokenize(std::move(request), std::move(done));
}

MeasuredEngine::Handle MeasuredEngine::submit(http::CompletionRequest request, http::CompletionSink sink) {
  http::CompletionEngine& engine = attached();
  auto call = std::make_shared<Call>();
  call->submitted = clock_();
  call->choices.resize(static_cast<size_t>(request.n));
  call->running = call->choices.size();
  {
    const std::lock_guard lock(mutex_);
    call->id = next_++;
    calls_.emplace(call->id, call);
    for (size_t i = 0; i < call->choices.size(); ++i) metrics_.queued();
  }
  try {
    const Handle inner =
        engine.submit(std::move(request), [this, call, sink = std::move(sink)](http::CompletionEvent event) {
          on_event(*call, event);
          sink(std::move(event));
        });
    const std::lock_guard lock(mutex_);
    call->inner = inner;
  } catch (...) {
    const std::lock_guard lock(mutex_);
    for (Choice& c : call->choices) {
      c.ended = true;
      metrics_.refused();
    }
    calls_.erase(call->id);
    throw;
  }
  return call->id;
}

void MeasuredEngine::on_event(Call& call, const http::CompletionEvent& event) {
  const std::lock_guard lock(mutex_);
  if (event.refused || (event.finished && event.reason == http::FinishReason::kError)) {
    // A refusal ends all choices, a failure its own.
    for (size_t i = 0; i < call.choices.size(); ++i) {
      Choice& c = call.choices[i];
      if (c.ended || (!event.refused && static_cast<int64_t>(i) != event.choice)) continue;
      if (!event.refused) {
        close(call, c, "error");
        continue;
      }
      c.ended = true;
      metrics_.refused();
      if (--call.running == 0) calls_.erase(Handle{call.id});
    }
    return;
  }
  Choice& c = call.choices.at(static_cast<size_t>(event.choice));
  if (c.ended) return;
  const double now = clock_();
  const int64_t fresh = event.usage.completion_tokens - c.usage.completion_tokens;
  // The first event of all says only that the request was taken.
  const bool first = !c.started && (fresh > 0 || event.finished);
  if (first) {
    c.started = true;
    c.first = now;
    metrics_.started(now - call.submitted, event.usage.prompt_tokens, event.usage.cached_tokens);
  }
  // The prompt's own rows gave the first token.
  if (fresh > 0) metrics_.generated(fresh, fresh - first);
  c.last = now;
  c.usage = event.usage;
  if (event.finished) close(call, c, event.reason == http::FinishReason::kLength ? "length" : "stop");
}

// With the mutex held.
void MeasuredEngine::close(Call& call, Choice& c, std::string_view reason) {
  if (c.ended) return;
  c.ended = true;
  const int64_t tokens = c.usage.completion_tokens;
  const double tpot = tokens > 1 ? (c.last - c.first) / static_cast<double>(tokens - 1) : -1;
  metrics_.ended(reason, c.started, clock_() - call.submitted, tpot, c.usage.prompt_tokens, tokens);
  if (--call.running == 0) calls_.erase(Handle{call.id});
}

void MeasuredEngine::cancel(Handle handle) {
  Handle inner = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find(handle);
    if (found == calls_.end()) return;
    const std::shared_ptr<Call> call = found->second;  // close() lets go of it
    inner = call->inner;
    for (Choice& c : call->choices) close(*call, c, "abort");
  }
  if (http::CompletionEngine* engine = engine_; engine && inner) engine->cancel(inner);
}

}  // namespace hoist::serve
