#include "serve/async_engine.h"

#include <chrono>
#include <ctime>

#include "base/error.h"
#include "decode/text_stream.h"
#include "models/lm.h"

namespace hoist::serve {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

http::CompletionEvent failure(ErrorCode code, std::string message) {
  http::CompletionEvent event;
  event.finished = true;
  event.reason = http::FinishReason::kError;
  event.error_code = code;
  event.error = std::move(message);
  return event;
}

// Of the exception being handled.
http::CompletionEvent refusal() {
  http::CompletionEvent event = failure(ErrorCode::kInvalidArgument, "refused");
  event.refused = std::current_exception();
  return event;
}

http::ModelInfo describe(const decode::Model& model, const decode::Engine& engine, const Preparer& preparer) {
  http::ModelInfo info;
  info.id = model.name;
  info.max_model_len = engine.context();
  info.created = static_cast<int64_t>(std::time(nullptr));
  info.architecture = io::family_name(model.config.family);
  info.vocabulary = model.config.vocab;
  info.train_context = model.config.max_position;
  info.width = model.config.hidden;
  info.layers = model.config.layers;
  info.parameters = models::parameter_count(model.config);
  info.chat = preparer.chat();
  info.infill = preparer.infill();
  return info;
}

}  // namespace

struct AsyncEngine::Choice {
  uint64_t sequence = 0;
  decode::TextStream stream;
  std::optional<AnswerParser> parser;
  int64_t min_tokens = 0;
  bool started = false;  // produced a token: no longer counted as waiting
  bool finished = false;
  bool silent = false;      // ends where its first token would be
  int32_t first_id = -1;    // of a prompt whose log-probabilities are wanted, until they begin
  size_t unwritten = 0;     // of the prompt's tokens that come next
  bool bare_start = false;  // the one behind them begins with a space that the text does not hold
  http::CompletionUsage usage;
  Clock::time_point first{};
};

struct AsyncEngine::Job {
  Handle handle = 0;
  uint64_t scope = 0;
  Prepared prepared;  // until it starts
  http::CompletionSink sink;
  std::vector<Choice> choices;
  size_t running = 0;
  Clock::time_point began{};
};

AsyncEngine::AsyncEngine(const decode::Model& model, decode::Engine& engine, const AsyncOptions& options)
    : model_(model),
      engine_(engine),
      options_(options),
      preparer_(model, engine.context(), engine.longest()),
      info_(describe(model, engine, preparer_)),
      places_(options.max_queue, options.max_tenant_queue),
      worker_([this] { work(); }),
      readers_(2, static_cast<size_t>(options.max_queue) + 64) {}

AsyncEngine::~AsyncEngine() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  worker_.join();
}

AsyncEngine::Handle AsyncEngine::submit(http::CompletionRequest r, http::CompletionSink sink) {
  if (r.chat && !preparer_.chat()) (void)preparer_.tokenize({"", r.chat, {}});  // says why it cannot
  if (r.priority != 0 && engine_.policy().name != "priority")
    throw http::FieldError(ErrorCode::kInvalidArgument, "priority",
                           "found " + std::to_string(r.priority) +
                               ", expected 0: this server runs requests by " + engine_.policy().name +
                               " (hoist serve --policy priority goes by it)");
  const int64_t n = r.n;
  const uint64_t scope = r.scope;
  places_.take(scope, n);
  Handle handle = 0;
  {
    std::lock_guard lock(mutex_);
    handle = next_++;
    preparing_.insert(handle);
  }
  auto request = std::make_shared<http::CompletionRequest>(std::move(r));
  try {
    readers_.add([this, handle, request, sink](bool stopping) {
      prepare(handle, std::move(*request), sink, stopping);
    });
  } catch (...) {
    places_.give(scope, n);
    std::lock_guard lock(mutex_);
    preparing_.erase(handle);
    throw;
  }
  return handle;
}

// On a reader's thread.
void AsyncEngine::prepare(Handle handle, http::CompletionRequest request, http::CompletionSink sink,
                          bool stopping) {
  const int64_t n = request.n;
  auto job = std::make_unique<Job>();
  job->handle = handle;
  const uint64_t scope = job->scope = request.scope;
  http::CompletionEvent refused;
  bool ready = false;
  {
    std::lock_guard lock(mutex_);
    if (!preparing_.count(handle)) {  // cancelled before it was read
      places_.give(scope, n);
      return;
    }
  }
  if (stopping) {
    refused = failure(ErrorCode::kUnavailable, "the server is stopping");
  } else {
    try {
      job->prepared = preparer_.prepare(std::move(request));
      ready = true;
    } catch (...) {
      refused = refusal();
    }
  }
  {
    std::lock_guard lock(mutex_);
    const bool wanted = preparing_.erase(handle) > 0;
    if (stopping_) refused = failure(ErrorCode::kUnavailable, "the server is stopping");
    if (wanted && ready && !stopping_) {
      job->sink = std::move(sink);
      submitted_.push_back(std::move(job));
      wake_.notify_one();
      return;
    }
    places_.give(scope, n);
    if (!wanted) return;
  }
  sink(std::move(refused));
}

void AsyncEngine::cancel(Handle handle) {
  std::lock_guard lock(mutex_);
  if (preparing_.erase(handle)) return;
  cancelled_.push_back(handle);
  wake_.notify_one();
}

void AsyncEngine::tokenize(http::TokenizeRequest request, std::function<void(http::TokenizeResult)> done) {
  readers_.add([this, request = std::move(request), done = std::move(done)](bool stopping) {
    http::TokenizeResult result;
    try {
      if (stopping) throw Error(ErrorCode::kUnavailable, "the server is stopping");
      result = preparer_.tokenize(request);
    } catch (...) {
      result.error = std::current_exception();
    }
    done(std::move(result));
  });
}

void AsyncEngine::detokenize(http::DetokenizeRequest request,
                             std::function<void(http::TokenizeResult)> done) {
  readers_.add([this, ids = std::move(request.ids), done = std::move(done)](bool stopping) {
    http::TokenizeResult result;
    try {
      if (stopping) throw Error(ErrorCode::kUnavailable, "the server is stopping");
      result = preparer_.detokenize(ids);
    } catch (...) {
      result.error = std::current_exception();
    }
    done(std::move(result));
  });
}

void AsyncEngine::start(std::unique_ptr<Job> job) {
  Job* j = job.get();
  Prepared prepared = std::move(j->prepared);
  j->began = Clock::now();
  http::CompletionEvent taken;
  try {
    for (size_t i = 0; i < prepared.sequences.size(); ++i) {
      decode::SequenceRequest& s = prepared.sequences[i];
      Choice& c =
          j->choices.emplace_back(Choice{0, decode::TextStream(*model_.tokenizer, prepared.stream), {}});
      if (prepared.style) {
        AnswerStyle style = *prepared.style;
        style.id_seed += i;
        c.parser.emplace(style);
      }
      c.min_tokens = s.min_tokens;
      c.silent = prepared.silent;
      c.unwritten = prepared.unwritten;
      c.bare_start = prepared.bare_start;
      if (s.prompt_logprobs >= 0) c.first_id = s.prompt.front();
      c.usage.prompt_tokens = static_cast<int64_t>(s.prompt.size());
      taken.usage = c.usage;
      c.sequence = engine_.add(std::move(s));
      by_sequence_[c.sequence] = {j, i};
      ++j->running;
    }
  } catch (const Error&) {  // e.g. longer than the whole cache
    http::CompletionEvent event = refusal();
    while (j->choices.size() > j->running) j->choices.pop_back();
    places_.give(j->scope, static_cast<int64_t>(prepared.sequences.size() - j->running));
    drop(*j);
    j->sink(std::move(event));
    return;
  }
  taken.prompt_text = std::move(prepared.prompt_text);
  jobs_[j->handle] = std::move(job);
  j->sink(std::move(taken));
}

// Forgets what still runs of a job.
void AsyncEngine::drop(Job& job) {
  for (Choice& c : job.choices) {
    if (c.finished) continue;
    if (!c.started) places_.give(job.scope, 1);
    engine_.cancel(c.sequence);
    by_sequence_.erase(c.sequence);
  }
}

http::TokenLogprobs AsyncEngine::shown(const decode::StepLogprobs& step) const {
  const auto text = [&](const decode::TokenLogprob& t) {
    return http::TokenText{preparer_.token_bytes(t.token), t.logprob, t.token};
  };
  http::TokenLogprobs out;
  out.chosen = text(step.chosen);
  out.rank = step.rank;
  for (const decode::TokenLogprob& t : step.top) out.top.push_back(text(t));
  return out;
}

void AsyncEngine::add_prompt(Choice& c, const decode::TokenEvent& e, http::CompletionEvent& event) const {
  const auto add = [&](http::TokenLogprobs step) {
    if (c.unwritten > 0) {
      --c.unwritten;
      step.hidden = step.chosen.bytes.size();
    } else if (c.bare_start) {
      c.bare_start = false;
      step.hidden = 1;
    }
    event.prompt_logprobs.push_back(std::move(step));
  };
  if (c.first_id >= 0) {
    http::TokenLogprobs step;
    step.chosen = {preparer_.token_bytes(c.first_id), 0, c.first_id};
    step.known = false;
    add(std::move(step));
    c.first_id = -1;
  }
  for (const decode::StepLogprobs& step : e.prompt_logprobs) add(shown(step));
}

void AsyncEngine::handle(const decode::TokenEvent& e) {
  auto it = by_sequence_.find(e.id);
  if (it == by_sequence_.end()) return;
  Job& job = *it->second.first;
  Choice& c = job.choices[it->second.second];
  http::CompletionEvent event;
  event.choice = static_cast<int64_t>(it->second.second);
  add_prompt(c, e, event);
  if (e.token == decode::kNoToken && e.finish == decode::Finish::kNone) {  // a prompt's piece was read
    event.usage = c.usage;
    return job.sink(std::move(event));
  }
  const Clock::time_point now = Clock::now();
  if (!c.started) {
    c.started = true;
    c.first = now;
    places_.give(job.scope, 1);
  }
  c.usage.completion_tokens = c.silent ? 0 : e.generated;
  c.usage.cached_tokens = e.reused;
  event.usage = c.usage;
  const bool may_stop = e.generated > c.min_tokens;
  std::string text;
  if (e.token != decode::kNoToken && !c.silent) text = c.stream.feed(e.token, may_stop);
  if (e.logprobs) event.logprobs.push_back(shown(*e.logprobs));
  using http::FinishReason;
  if (c.stream.stopped()) {
    event.finished = true;
    event.reason = FinishReason::kStop;
    engine_.cancel(c.sequence);
  } else if (e.finish == decode::Finish::kError) {
    event.finished = true;
    event.reason = FinishReason::kError;
    event.error_code = ErrorCode::kCorrupt;
    event.error = e.error;
  } else if (e.finish != decode::Finish::kNone) {
    event.finished = true;
    text += c.stream.finish(may_stop);
    event.reason = c.silent                                                  ? FinishReason::kLength
                   : c.stream.stopped() || e.finish == decode::Finish::kStop ? FinishReason::kStop
                                                                             : FinishReason::kLength;
  }
  if (c.parser) {
    c.parser->feed(text, event);
    if (event.finished) c.parser->finish(event);
    if (event.finished && event.reason == FinishReason::kStop && c.parser->called())
      event.reason = FinishReason::kToolCalls;
  } else {
    event.text = std::move(text);
  }
  if (event.finished) event.timings = {milliseconds(job.began, c.first), milliseconds(c.first, now)};
  const bool finished = event.finished;
  if (finished || !event.text.empty() || !event.reasoning.empty() || !event.tool_calls.empty() ||
      !event.logprobs.empty() || !event.prompt_logprobs.empty())
    job.sink(std::move(event));
  if (!finished) return;
  c.finished = true;
  by_sequence_.erase(it);
  if (--job.running == 0) jobs_.erase(Handle{job.handle});
}

void AsyncEngine::between_steps(std::function<void()> work) {
  std::packaged_task<void()> task(std::move(work));
  std::future<void> done = task.get_future();
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) throw Error(ErrorCode::kUnavailable, "the server is stopping");
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
  try {
    done.get();
  } catch (const std::future_error&) {
    throw Error(ErrorCode::kUnavailable, "the server is stopping");
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
    std::vector<std::packaged_task<void()>> tasks;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] {
        return stopping_ || !submitted_.empty() || !cancelled_.empty() || !tasks_.empty() || !engine_.idle();
      });
      if (stopping_) break;
      fresh.swap(submitted_);
      gone.swap(cancelled_);
      tasks.swap(tasks_);
    }
    for (auto& job : fresh) start(std::move(job));
    for (Handle h : gone) {
      auto it = jobs_.find(h);
      if (it == jobs_.end()) continue;
      drop(*it->second);
      jobs_.erase(it);
    }
    for (auto& task : tasks) task();
    events.clear();
    publish(!engine_.idle());
    engine_.step(events);
    publish(!engine_.idle());
    for (const decode::TokenEvent& e : events) handle(e);
  }
  std::lock_guard lock(mutex_);
  for (auto& job : submitted_) job->sink(failure(ErrorCode::kUnavailable, "the server is stopping"));
  submitted_.clear();
  tasks_.clear();  // who waits for one is told by a broken promise
  for (auto& [handle, job] : jobs_) job->sink(failure(ErrorCode::kUnavailable, "the server is stopping"));
}

}  // namespace hoist::serve
