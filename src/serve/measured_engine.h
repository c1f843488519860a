// A CompletionEngine in front of another: there before its model is loaded, counting what passes through.
//
// Until attach() every submit is refused (kUnavailable, answered 503). Threading: as CompletionEngine says;
// attach() and set_stalled() may be called from any thread.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

#include "http/completion_engine.h"
#include "serve/metrics.h"

namespace hoist::serve {

class MeasuredEngine final : public http::CompletionEngine {
 public:
  using Clock = std::function<double()>;  // seconds, monotonic

  // `name` answers for the model's until it is there. `metrics` outlives this.
  MeasuredEngine(std::string name, Metrics& metrics, Clock clock = {});
  ~MeasuredEngine() override;

  // Once. `engine` lives as long as requests come, and is destroyed before this.
  void attach(http::CompletionEngine& engine);
  void set_stalled(bool stalled);

  http::ModelInfo info() const override;
  std::vector<http::ModelInfo> models() const override;
  http::EngineState state() const override;
  Handle submit(http::CompletionRequest request, http::CompletionSink sink) override;
  void cancel(Handle handle) override;
  void tokenize(http::TokenizeRequest request, std::function<void(http::TokenizeResult)> done) override;
  void detokenize(http::DetokenizeRequest request, std::function<void(http::TokenizeResult)> done) override;

 private:
  struct Choice;
  struct Call;
  http::CompletionEngine& attached() const;
  void on_event(Call& call, const http::CompletionEvent& event);
  void close(Call& call, Choice& choice, std::string_view reason);

  const std::string name_;
  Metrics& metrics_;
  const Clock clock_;
  std::atomic<http::CompletionEngine*> engine_{nullptr};
  std::atomic<bool> stalled_{false};
  std::mutex mutex_;
  uint64_t next_ = 1;
  std::unordered_map<Handle, std::shared_ptr<Call>> calls_;  // not ended
};

}  // namespace hoist::serve
