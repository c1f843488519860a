// AsyncEngine: the decoding engine on a thread of its own, as the HTTP layer wants it.
//
// All locking is here; the engine inside knows none. submit() tokenizes on the caller's thread and queues;
// the worker steps while there is work, turns tokens to text, finds stop strings and calls the sinks.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "decode/engine.h"
#include "decode/text_stream.h"
#include "http/completion_engine.h"
#include "serve/engine_load.h"

namespace hoist::serve {

struct AsyncOptions {
  int64_t max_queue = 128;  // requests waiting for a place; more are refused (429)
};

class AsyncEngine final : public http::CompletionEngine {
 public:
  // `model` and `engine` outlive this.
  AsyncEngine(const decode::Model& model, decode::Engine& engine, const AsyncOptions& options);
  ~AsyncEngine() override;  // finishes the step under way; unfinished requests get kError

  http::ModelInfo info() const override;
  Handle submit(http::CompletionRequest request, http::CompletionSink sink) override;
  void cancel(Handle handle) override;
  EngineLoad load() const;  // from any thread; as of the last step

 private:
  struct Job;
  void work();
  void start(std::unique_ptr<Job> job);
  void handle(const decode::TokenEvent& event);
  void publish(bool busy);

  const decode::Model& model_;
  decode::Engine& engine_;
  const AsyncOptions options_;
  const int64_t created_;

  // Shared with callers.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Job>> submitted_;
  std::vector<Handle> cancelled_;
  bool stopping_ = false;
  mutable std::mutex load_mutex_;
  EngineLoad load_;
  Handle next_ = 1;
  std::atomic<int64_t> waiting_{0};  // submitted and not yet generating

  // The worker's own.
  std::unordered_map<Handle, std::unique_ptr<Job>> jobs_;
  std::unordered_map<uint64_t, Job*> by_sequence_;
  std::thread worker_;
};

}  // namespace hoist::serve
