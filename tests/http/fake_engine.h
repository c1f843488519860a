// A CompletionEngine without a model: a thread that "generates" the words of a fixed text, one step at a
// time. What the tests of the server and of the page, and the demo server, run on.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "http/completion_engine.h"

namespace hoist::http {

struct FakeEngineOptions {
  int64_t context = 512;                // tokens; a prompt has one token per word
  size_t max_queue = 64;                // sequences under way before submit refuses
  std::chrono::microseconds step{0};    // pause between steps
  std::string token;                    // this text for every token instead of the story
  int64_t fail_after = -1;              // ends with kError after this many tokens
  std::vector<CompletionEvent> script;  // says this, whatever it is asked; the last one finishes
  std::function<std::vector<int64_t>(const std::string&)> tokens;  // of a text; empty: one a byte
  std::function<void(const CompletionRequest&)>
      refuse;  // may throw: the request is refused later, by an event
};

class FakeEngine : public CompletionEngine {
 public:
  explicit FakeEngine(FakeEngineOptions options = {});
  ~FakeEngine() override;
  ModelInfo info() const override { return {"fake-model", options_.context, 1700000000}; }
  Handle submit(CompletionRequest request, CompletionSink sink) override;
  void cancel(Handle handle) override;
  EngineState state() const override { return state_; }

  void set_state(EngineState state) { state_ = state; }
  // One token a byte.
  void tokenize(TokenizeRequest request, std::function<void(TokenizeResult)> done) override;
  void detokenize(DetokenizeRequest request, std::function<void(TokenizeResult)> done) override;

  void hold();  // no step until release()
  void release();
  size_t running() const;
  int cancelled() const;
  CompletionRequest last_request() const;
  // Waits until `count` sequences were cancelled; false after ten seconds.
  bool wait_cancelled(int count) const;
  bool wait_running(size_t count) const;

  // What a prompt is continued with, token by token.
  static std::string story_token(int64_t index);

 private:
  struct Sequence {
    Handle handle = 0;
    int64_t choice = 0;
    CompletionSink sink;
    std::vector<std::string> pieces;
    FinishReason reason = FinishReason::kStop;
    int64_t prompt_tokens = 0;
    size_t next = 0;
  };
  void run();
  CompletionEvent advance(Sequence& sequence) const;
  Sequence plan(const CompletionRequest& request, int64_t prompt_tokens) const;

  const FakeEngineOptions options_;
  std::atomic<EngineState> state_{EngineState::kReady};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<Sequence> sequences_;
  CompletionRequest last_request_;
  Handle next_handle_ = 1;
  int cancelled_ = 0;
  bool held_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace hoist::http
