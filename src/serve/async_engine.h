// AsyncEngine: the decoding engine on a thread of its own, as the HTTP layer wants it.
//
// All locking is here; the engine inside knows none. submit() only queues: two threads read requests -
// templates, tokens, grammars (preparer.h) - and hand them to the worker, which steps while there is work,
// turns tokens to text, finds stop strings, tells reasoning and tool calls apart, and calls the sinks.
#pragma once

#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "decode/engine.h"
#include "http/completion_engine.h"
#include "serve/engine_load.h"
#include "serve/preparer.h"
#include "serve/queue_places.h"
#include "serve/work_queue.h"

namespace hoist::serve {

struct AsyncOptions {
  int64_t max_queue = 128;       // choices waiting for a place; more are refused (429)
  int64_t max_tenant_queue = 0;  // of those, one tenant's; 0: any number
};

class AsyncEngine final : public http::CompletionEngine {
 public:
  // `model` and `engine` outlive this.
  AsyncEngine(const decode::Model& model, decode::Engine& engine, const AsyncOptions& options);
  ~AsyncEngine() override;  // finishes the step under way; unfinished requests get kError

  http::ModelInfo info() const override { return info_; }
  Handle submit(http::CompletionRequest request, http::CompletionSink sink) override;
  void cancel(Handle handle) override;
  // Runs `work` on the engine's thread while no step does, cancelled requests being gone; returns when it is
  // done, and throws what it threw. Not from that thread.
  void between_steps(std::function<void()> work);
  EngineLoad load() const;  // from any thread; as of the last step
  void tokenize(http::TokenizeRequest request, std::function<void(http::TokenizeResult)> done) override;
  void detokenize(http::DetokenizeRequest request, std::function<void(http::TokenizeResult)> done) override;

  const Preparer& preparer() const { return preparer_; }

 private:
  struct Choice;
  struct Job;
  void prepare(Handle handle, http::CompletionRequest request, http::CompletionSink sink, bool stopping);
  void work();
  void start(std::unique_ptr<Job> job);
  void handle(const decode::TokenEvent& event);
  http::TokenLogprobs shown(const decode::StepLogprobs& step) const;
  void add_prompt(Choice& choice, const decode::TokenEvent& from, http::CompletionEvent& to) const;
  void publish(bool busy);
  void drop(Job& job);

  const decode::Model& model_;
  decode::Engine& engine_;
  const AsyncOptions options_;
  Preparer preparer_;
  const http::ModelInfo info_;

  // Shared with callers.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::unordered_set<Handle> preparing_;  // submitted, read by nobody yet, and still wanted
  std::vector<std::unique_ptr<Job>> submitted_;
  std::vector<Handle> cancelled_;
  std::vector<std::packaged_task<void()>> tasks_;
  bool stopping_ = false;
  mutable std::mutex load_mutex_;
  EngineLoad load_;
  Handle next_ = 1;
  QueuePlaces places_;  // of choices submitted and not yet generating

  // The worker's own.
  std::unordered_map<Handle, std::unique_ptr<Job>> jobs_;
  std::unordered_map<uint64_t, std::pair<Job*, size_t>> by_sequence_;
  std::thread worker_;
  WorkQueue readers_;  // ends first
};

}  // namespace hoist::serve
