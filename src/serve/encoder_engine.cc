#include "serve/encoder_engine.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "base/error.h"

namespace hoist::serve {

namespace {

double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

sched::EncoderCost measure(decode::Encoder& encoder) {
  std::vector<sched::EncoderSample> samples;
  for (const decode::EncoderTiming& t : decode::time_encoder(encoder))
    samples.push_back({t.tokens, t.squares, t.seconds});
  return sched::fit_encoder_cost(samples);
}

decode::EncoderTask task_of(http::EncodeTask task) {
  return task == http::EncodeTask::kEmbed ? decode::EncoderTask::kEmbed : decode::EncoderTask::kClassify;
}

}  // namespace

EncoderEngine::EncoderEngine(const decode::EncoderModel& model, decode::Encoder& encoder,
                             const EncoderServeOptions& options)
    : model_(model),
      encoder_(encoder),
      options_(options),
      created_(static_cast<int64_t>(std::time(nullptr))),
      cost_(measure(encoder)),
      cache_(options.cache_bytes) {
  sched::EncoderPolicy policy = options.policy;
  policy.limits = {encoder.batch_tokens(), encoder.batch_seqs()};
  batcher_ = std::make_unique<sched::EncoderBatcher>(policy, cost_);
  worker_ = std::thread([this] { work(); });
}

EncoderEngine::~EncoderEngine() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  worker_.join();
}

http::EncoderInfo EncoderEngine::info() const {
  http::EncoderInfo info;
  info.model = {model_.name, encoder_.max_tokens(), created_};
  info.dimensions = encoder_.width(decode::EncoderTask::kEmbed);
  info.shorter = model_.config.matryoshka;
  info.unit = model_.pooling.normalize;
  info.labels = model_.config.labels;
  return info;
}

EncoderEngine::Counters EncoderEngine::counters() const {
  std::lock_guard lock(mutex_);
  return counters_;
}

decode::EncoderInput EncoderEngine::read(const http::EncodeRequest& r, decode::EncoderTask task) const {
  decode::EncoderInput input;
  const auto most = static_cast<size_t>(encoder_.max_tokens());
  size_t needed = 0;
  if (!r.ids.empty()) {
    for (int64_t id : r.ids) input.ids.push_back(static_cast<int32_t>(std::min<int64_t>(id, INT32_MAX)));
    needed = input.ids.size();
    if (r.truncate) input.ids.resize(std::min(input.ids.size(), most));
  } else {
    const text::Tokenizer& tokenizer = *model_.tokenizer;
    std::vector<int32_t> first = tokenizer.encode(r.text, false), second;
    if (r.second) second = tokenizer.encode(*r.second, false);
    const std::vector<int32_t> none;
    const size_t special =
        (r.second ? tokenizer.join(none, std::span<const int32_t>(none)) : tokenizer.join(none)).ids.size();
    needed = first.size() + second.size() + special;
    if (r.truncate) {
      // From the end of the longer text, token by token; of equals from the second.
      const size_t room = most > special ? most - special : 0;
      size_t a = first.size(), b = second.size();
      if (a + b > room) {
        if (a > b) {
          b = std::min(b, room / 2);
          a = std::min(a, room - b);
        } else {
          a = std::min(a, (room + 1) / 2);
          b = std::min(b, room - a);
        }
      }
      first.resize(a);
      second.resize(b);
    }
    text::Tokenizer::Joined joined =
        r.second ? tokenizer.join(first, std::span<const int32_t>(second)) : tokenizer.join(first);
    input.ids = std::move(joined.ids);
    if (model_.config.types > 1) input.types = std::move(joined.types);
  }
  if (input.ids.size() > most)
    throw http::SequenceLengthError(static_cast<int64_t>(needed), static_cast<int64_t>(most));
  encoder_.check(input, task);
  return input;
}

EncoderEngine::Handle EncoderEngine::submit(http::EncodeRequest request, http::EncodeSink sink) {
  auto job = std::make_unique<Job>();
  job->task = task_of(request.task);
  job->input = read(request, job->task);
  job->sink = std::move(sink);
  if (options_.cache_bytes > 0)
    job->key = sched::ResponseCache::key(job->input.ids, job->input.types, static_cast<int>(job->task));
  if (waiting_.load() >= options_.max_queue)
    throw Error(ErrorCode::kResourceExhausted,
                "the queue is full: " + std::to_string(options_.max_queue) + " sequences are waiting");
  ++waiting_;
  if (options_.metrics) options_.metrics->queued();
  job->submitted = clock_seconds();
  std::lock_guard lock(mutex_);
  const Handle handle = job->handle = next_++;
  submitted_.push_back(std::move(job));
  wake_.notify_one();
  return handle;
}

void EncoderEngine::cancel(Handle handle) {
  std::lock_guard lock(mutex_);
  cancelled_.push_back(handle);
  wake_.notify_one();
}

// Answers from the cache, or lets the job wait for a batch.
void EncoderEngine::take(std::unique_ptr<Job> job, double now) {
  const std::vector<float>* known = job->key.empty() ? nullptr : cache_.find(job->key);
  if (options_.metrics && !job->key.empty()) options_.metrics->looked_up(known != nullptr);
  if (!known) {
    batcher_->add(job->handle, job->tokens(), now);
    jobs_[job->handle] = std::move(job);
    return;
  }
  --waiting_;
  http::EncodeResult result;
  result.values = *known;
  result.tokens = job->tokens();
  if (options_.metrics) options_.metrics->cached(now - job->submitted, job->tokens());
  {
    std::lock_guard lock(mutex_);
    ++counters_.cached;
  }
  job->sink(std::move(result));
}

void EncoderEngine::run_batch(const std::vector<uint64_t>& batch) {
  std::vector<const decode::EncoderInput*> inputs;
  std::vector<decode::EncoderTask> tasks;
  int64_t tokens = 0;
  for (uint64_t handle : batch) {
    const Job& job = *jobs_.at(handle);
    inputs.push_back(&job.input);
    tasks.push_back(job.task);
    tokens += job.tokens();
  }
  const auto sequences = static_cast<int64_t>(batch.size());
  waiting_ -= sequences;
  EncoderMetrics* metrics = options_.metrics;
  if (metrics) metrics->batch_began(sequences);
  const double began = clock_seconds();
  std::vector<std::vector<float>> results;
  encoder_.run(inputs, tasks, results);
  const double ended = clock_seconds();
  // Before the answers go out: who has one finds it counted.
  if (metrics) metrics->batch_ended(sequences, tokens, ended - began);
  {
    std::lock_guard lock(mutex_);
    ++counters_.batches;
    counters_.sequences += sequences;
    counters_.tokens += tokens;
  }
  for (size_t i = 0; i < batch.size(); ++i) {
    const std::unique_ptr<Job> job = std::move(jobs_.extract(batch[i]).mapped());
    if (!job->key.empty()) cache_.put(job->key, results[i]);
    http::EncodeResult result;
    result.values = std::move(results[i]);
    result.tokens = job->tokens();
    if (metrics) metrics->computed(began - job->submitted, ended - job->submitted, result.tokens);
    job->sink(std::move(result));
  }
}

void EncoderEngine::forget(Handle handle) {
  if (jobs_.erase(handle) == 0) return;
  --waiting_;
  if (options_.metrics) options_.metrics->cancelled();
  batcher_->cancel(handle);
}

void EncoderEngine::work() {
  double wake = std::numeric_limits<double>::infinity();
  while (true) {
    std::vector<std::unique_ptr<Job>> fresh;
    std::vector<Handle> gone;
    {
      std::unique_lock lock(mutex_);
      const auto something = [&] { return stopping_ || !submitted_.empty() || !cancelled_.empty(); };
      if (wake == std::numeric_limits<double>::infinity()) {
        wake_.wait(lock, something);
      } else {
        wake_.wait_for(lock, std::chrono::duration<double>(std::max(0.0, wake - clock_seconds())), something);
      }
      if (stopping_) break;
      fresh.swap(submitted_);
      gone.swap(cancelled_);
    }
    for (auto& job : fresh) take(std::move(job), clock_seconds());
    for (Handle handle : gone) forget(handle);
    const sched::EncoderBatcher::Decision decision = batcher_->next(clock_seconds());
    wake = decision.wake;
    if (decision.batch.empty()) continue;
    run_batch(decision.batch);
    wake = 0;  // ask again at once
  }
  std::vector<std::unique_ptr<Job>> left;
  {
    std::lock_guard lock(mutex_);
    left.swap(submitted_);
  }
  for (auto& [handle, job] : jobs_) left.push_back(std::move(job));
  for (const auto& job : left) {
    http::EncodeResult result;
    result.failed = true;
    result.error = "the server is stopping";
    if (options_.metrics) options_.metrics->failed();
    job->sink(std::move(result));
  }
}

}  // namespace hoist::serve
