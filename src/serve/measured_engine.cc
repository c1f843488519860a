#include "serve/measured_engine.h"

#include <chrono>

#include "base/error.h"

namespace hoist::serve {

struct MeasuredEngine::Sequence {
  Handle id = 0, inner = 0;
  double submitted = 0, first = 0, last = 0;
  bool started = false, ended = false;
  http::CompletionUsage usage;
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
  return engine ? engine->info() : http::ModelInfo{name_, 0, 0};
}

http::EngineState MeasuredEngine::state() const {
  if (!engine_) return http::EngineState::kLoading;
  return stalled_ ? http::EngineState::kStalled : http::EngineState::kReady;
}

MeasuredEngine::Handle MeasuredEngine::submit(http::CompletionRequest request, http::CompletionSink sink) {
  http::CompletionEngine* engine = engine_;
  if (!engine) throw Error(ErrorCode::kUnavailable, "the model is being loaded");
  auto s = std::make_shared<Sequence>();
  s->submitted = clock_();
  {
    const std::lock_guard lock(mutex_);
    s->id = next_++;
    sequences_.emplace(s->id, s);
    metrics_.queued();
  }
  try {
    const Handle inner =
        engine->submit(std::move(request), [this, s, sink = std::move(sink)](http::CompletionEvent event) {
          on_event(*s, event);
          sink(std::move(event));
        });
    const std::lock_guard lock(mutex_);
    s->inner = inner;
  } catch (...) {
    const std::lock_guard lock(mutex_);
    s->ended = true;
    sequences_.erase(s->id);
    metrics_.refused();
    throw;
  }
  return s->id;
}

void MeasuredEngine::on_event(Sequence& s, const http::CompletionEvent& event) {
  const std::lock_guard lock(mutex_);
  if (s.ended) return;
  const double now = clock_();
  const int64_t fresh = event.usage.completion_tokens - s.usage.completion_tokens;
  const bool failed = event.finished && event.reason == http::FinishReason::kError;
  const bool first = !s.started && !failed;
  if (first) {
    s.started = true;
    s.first = now;
    metrics_.started(now - s.submitted, event.usage.prompt_tokens, event.usage.cached_tokens);
  }
  // The prompt's own rows gave the first token.
  if (fresh > 0) metrics_.generated(fresh, fresh - first);
  s.last = now;
  s.usage = event.usage;
  if (!event.finished) return;
  close(s, failed ? "error" : event.reason == http::FinishReason::kLength ? "length" : "stop");
}

// With the mutex held.
void MeasuredEngine::close(Sequence& s, std::string_view reason) {
  if (s.ended) return;
  s.ended = true;
  const int64_t tokens = s.usage.completion_tokens;
  const double tpot = tokens > 1 ? (s.last - s.first) / static_cast<double>(tokens - 1) : -1;
  metrics_.ended(reason, s.started, clock_() - s.submitted, tpot, s.usage.prompt_tokens, tokens);
  sequences_.erase(s.id);
}

void MeasuredEngine::cancel(Handle handle) {
  Handle inner = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sequences_.find(handle);
    if (found == sequences_.end()) return;
    const std::shared_ptr<Sequence> s = found->second;  // close() lets go of it
    inner = s->inner;
    close(*s, "abort");
  }
  if (http::CompletionEngine* engine = engine_; engine && inner) engine->cancel(inner);
}

}  // namespace hoist::serve
