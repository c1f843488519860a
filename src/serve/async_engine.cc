#include "serve/async_engine.h"

#include <ctime>
#include <random>

#include "base/error.h"

namespace hoist::serve {

struct AsyncEngine::Job {
  Handle handle = 0;
  uint64_t sequence = 0;
  decode::SequenceRequest request;
  http::CompletionSink sink;
  decode::TextStream stream;
  bool started = false;  // produced a token: no longer counted as waiting
  http::CompletionUsage usage;
};

AsyncEngine::AsyncEngine(const decode::Model& model, decode::Engine& engine, const AsyncOptions& options)
    : model_(model),
      engine_(engine),
      options_(options),
      created_(static_cast<int64_t>(std::time(nullptr))),
      worker_([this] { work(); }) {}

AsyncEngine::~AsyncEngine() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  worker_.join();
}

http::ModelInfo AsyncEngine::info() const { return {model_.name, engine_.context(), created_}; }

AsyncEngine::Handle AsyncEngine::submit(http::CompletionRequest r, http::CompletionSink sink) {
  decode::SequenceRequest request;
  if (!r.prompt_ids.empty()) {
    for (int64_t id : r.prompt_ids) {
      if (id < 0 || id >= model_.config.vocab)
        throw_invalid("prompt: found token id " + std::to_string(id) + ", expected 0.." +
                      std::to_string(model_.config.vocab - 1));
      request.prompt.push_back(static_cast<int32_t>(id));
    }
  } else {
    request.prompt = decode::encode_prompt(model_, r.prompt);
  }
  const int64_t n = static_cast<int64_t>(request.prompt.size());
  if (n >= engine_.context()) throw http::ContextLengthError(n, engine_.context());
  request.max_tokens = r.max_tokens;
  request.scope = r.scope;
  request.sampling.temperature = r.temperature;
  request.sampling.top_p = r.top_p;
  request.sampling.top_k = r.top_k;
  request.sampling.min_p = r.min_p;
  request.sampling.repeat_penalty = r.repeat_penalty;
  request.sampling.seed =
      r.seed ? *r.seed : (uint64_t{std::random_device{}()} << 32) | std::random_device{}();
  request.sampling.check();

  if (waiting_.load() >= options_.max_queue)
    throw Error(ErrorCode::kResourceExhausted,
                "the queue is full: " + std::to_string(options_.max_queue) + " requests are waiting");
  auto job = std::unique_ptr<Job>(new Job{0,
                                          0,
                                          std::move(request),
                                          std::move(sink),
                                          decode::TextStream(*model_.tokenizer, std::move(r.stop)),
                                          false,
                                          {}});
  job->usage.prompt_tokens = n;
  ++waiting_;
  std::lock_guard lock(mutex_);
  job->handle = next_++;
  Handle handle = job->handle;
  submitted_.push_back(std::move(job));
  wake_.notify_one();
  return handle;
}

void AsyncEngine::cancel(Handle handle) {
  std::lock_guard lock(mutex_);
  cancelled_.push_back(handle);
  wake_.notify_one();
}

void AsyncEngine::start(std::unique_ptr<Job> job) {
  Job* j = job.get();
  try {
    j->sequence = engine_.add(std::move(j->request));
  } catch (const Error& e) {  // e.g. longer than the whole cache
    --waiting_;
    http::CompletionEvent event;
    event.finished = true;
    event.reason = http::FinishReason::kError;
    event.error_code = e.code();
    event.error = e.what();
    event.usage = j->usage;
    j->sink(std::move(event));
    return;
  }
  by_sequence_[j->sequence] = j;
  jobs_[j->handle] = std::move(job);
}

void AsyncEngine::handle(const decode::TokenEvent& e) {
  auto it = by_sequence_.find(e.id);
  if (it == by_sequence_.end()) return;
  Job& job = *it->second;
  if (!job.started) {
    job.started = true;
    --waiting_;
  }
  http::CompletionEvent event;
  job.usage.completion_tokens = e.generated;
  job.usage.cached_tokens = e.reused;
  event.usage = job.usage;
  if (e.token != decode::kNoToken) event.text = job.stream.feed(e.token);
  if (job.stream.stopped()) {
    event.finished = true;
    event.reason = http::FinishReason::kStop;
    engine_.cancel(job.sequence);
  } else if (e.finish == decode::Finish::kError) {
    event.finished = true;
    event.reason = http::FinishReason::kError;
    event.error_code = ErrorCode::kCorrupt;
    event.error = e.error;
  } else if (e.finish != decode::Finish::kNone) {
    event.finished = true;
    event.text += job.stream.finish();
    event.reason = job.stream.stopped() || e.finish == decode::Finish::kStop ? http::FinishReason::kStop
                                                                             : http::FinishReason::kLength;
  }
  const bool finished = event.finished;
  if (finished || !event.text.empty()) job.sink(std::move(event));
  if (finished) {
    Handle handle = job.handle;
    by_sequence_.erase(it);
    jobs_.erase(handle);
  }
}

EngineLoad AsyncEngine::load() const {
  std::lock_guard lock(load_mutex_);
  return load_;
}

void AsyncEngine::publish(bool busy) {
  const decode::EngineCounters& c = engine_.counters();
  std::lock_guard lock(load_mutex_);
  load_ = {busy, c.steps, c.computed_tokens, c.reused_tokens, engine_.total_blocks(), engine_.free_blocks()};
}

void AsyncEngine::work() {
  std::vector<decode::TokenEvent> events;
  while (true) {
    std::vector<std::unique_ptr<Job>> fresh;
    std::vector<Handle> gone;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock,
                 [&] { return stopping_ || !submitted_.empty() || !cancelled_.empty() || !engine_.idle(); });
      if (stopping_) break;
      fresh.swap(submitted_);
      gone.swap(cancelled_);
    }
    for (auto& job : fresh) start(std::move(job));
    for (Handle h : gone) {
      auto it = jobs_.find(h);
      if (it == jobs_.end()) continue;
      if (!it->second->started) --waiting_;
      engine_.cancel(it->second->sequence);
      by_sequence_.erase(it->second->sequence);
      jobs_.erase(it);
    }
    events.clear();
    publish(!engine_.idle());
    engine_.step(events);
    publish(!engine_.idle());
    for (const decode::TokenEvent& e : events) handle(e);
  }
  for (auto& [handle, job] : jobs_) {
    http::CompletionEvent event;
    event.finished = true;
    event.reason = http::FinishReason::kError;
    event.error = "the server is stopping";
    event.usage = job->usage;
    job->sink(std::move(event));
  }
}

}  // namespace hoist::serve
