// EncoderEngine: an encoder on a thread of its own, as the HTTP layer wants it.
//
// All locking is here; the encoder, the batcher and the cache inside know none. submit() tokenizes on the
// caller's thread and queues; the worker answers from the cache what was asked before, forms batches
// (sched/encoder_batch.h) by costs it measured when it was made, runs them and calls the sinks.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "decode/encoder.h"
#include "http/encoder_engine.h"
#include "sched/encoder_batch.h"
#include "sched/response_cache.h"
#include "serve/encoder_metrics.h"

namespace hoist::serve {

struct EncoderServeOptions {
  int64_t max_queue = 8192;           // sequences waiting for a place; more are refused (429)
  int64_t cache_bytes = 64 << 20;     // of answers kept; 0: none
  sched::EncoderPolicy policy;        // its limits are those of the encoder
  EncoderMetrics* metrics = nullptr;  // outlives the engine; may be null
};

class EncoderEngine final : public http::EncoderEngine {
 public:
  // `model` and `encoder` outlive this. Times the encoder (about two seconds).
  EncoderEngine(const decode::EncoderModel& model, decode::Encoder& encoder,
                const EncoderServeOptions& options);
  ~EncoderEngine() override;  // finishes the batch under way; what waits fails

  http::EncoderInfo info() const override;
  Handle submit(http::EncodeRequest request, http::EncodeSink sink) override;
  void cancel(Handle handle) override;

  const sched::EncoderCost& cost() const { return cost_; }
  struct Counters {
    int64_t batches = 0, sequences = 0, tokens = 0, cached = 0;
  };
  Counters counters() const;

 private:
  struct Job {
    Handle handle = 0;
    decode::EncoderInput input;
    decode::EncoderTask task = decode::EncoderTask::kEmbed;
    std::string key;
    double submitted = 0;  // on the steady clock
    http::EncodeSink sink;
    int64_t tokens() const { return static_cast<int64_t>(input.ids.size()); }
  };
  void work();
  void take(std::unique_ptr<Job> job, double now);
  void forget(Handle handle);
  void run_batch(const std::vector<uint64_t>& batch);
  decode::EncoderInput read(const http::EncodeRequest& request, decode::EncoderTask task) const;

  const decode::EncoderModel& model_;
  decode::Encoder& encoder_;
  const EncoderServeOptions options_;
  const int64_t created_;
  sched::EncoderCost cost_;

  // Shared with callers.
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Job>> submitted_;
  std::vector<Handle> cancelled_;
  bool stopping_ = false;
  Handle next_ = 1;
  Counters counters_;
  std::atomic<int64_t> waiting_{0};  // submitted and not yet in a batch

  // The worker's own.
  std::unordered_map<Handle, std::unique_ptr<Job>> jobs_;
  std::unique_ptr<sched::EncoderBatcher> batcher_;
  sched::ResponseCache cache_;
  std::thread worker_;
};

}  // namespace hoist::serve
