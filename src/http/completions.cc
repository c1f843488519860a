// See completions.h.
#include "http/completions.h"

#include <fmt/format.h>

#include <chrono>
#include <random>

#include "base/rng.h"
#include "http/api_error.h"
#include "http/guard.h"
#include "io/json_value.h"

namespace hoist::http {
namespace {

using io::JsonValue;

// A comment line: keeps proxies and clients from giving up while a long prompt is read.
constexpr const char* kHeartbeat = ": waiting\n\n";
constexpr const char* kDone = "data: [DONE]\n\n";

// An engine promises whole code points; should it break its word, the client still gets valid JSON.
std::string dump(const JsonValue& value) { return value.dump(); }

std::string sse(const JsonValue& value) { return "data: " + dump(value) + "\n\n"; }

JsonValue usage_json(const CompletionUsage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

JsonValue model_json(const ModelInfo& info) {
  return {{"id", info.id},
          {"object", "model"},
          {"created", info.created},
          {"owned_by", "hoist"},
          {"max_model_len", info.max_model_len}};
}

Response json_response(const JsonValue& value) {
  Response response;
  response.body = dump(value);
  return response;
}

ApiError event_error(const CompletionEvent& event) {
  try {
    throw Error(event.error_code, event.error);
  } catch (...) {
    return current_api_error();
  }
}

void check_content_type(const Request& request) {
  const std::string* type = request.header("Content-Type");
  if (!type) return;
  std::string_view media = std::string_view(*type).substr(0, type->find(';'));
  while (!media.empty() && (media.back() == ' ' || media.back() == '\t')) media.remove_suffix(1);
  // The second is what `curl -d` says when told nothing. A form on another site's page is stopped by its
  // Origin.
  if (!equals_ignore_case(media, "application/json") &&
      !equals_ignore_case(media, "application/x-www-form-urlencoded"))
    throw ApiError(415, "Content-Type: expected application/json", "", "unsupported_media_type");
}

}  // namespace

struct CompletionsApi::Job {
  struct Choice {
    CompletionEngine::Handle handle = 0;
    bool submitted = false, finished = false;
    std::string text;  // whole answers only
    FinishReason reason = FinishReason::kStop;
    CompletionUsage usage;
  };
  uint64_t id = 0;
  ExchangePtr exchange;
  bool stream = false, include_usage = false, continuous_usage_stats = false;
  std::string name;  // "cmpl-..."
  std::string model;
  int64_t created = 0;
  std::vector<Choice> choices;
  size_t running = 0;

  JsonValue envelope() const {
    return {{"id", name}, {"object", "text_completion"}, {"created", created}, {"model", model}};
  }
  static JsonValue choice_json(size_t index, std::string_view text, const char* reason) {
    return {{"index", index},
            {"text", text},
            {"logprobs", nullptr},
            {"finish_reason", reason ? JsonValue(reason) : JsonValue()}};
  }
  static const char* reason_name(FinishReason reason) {
    return reason == FinishReason::kLength ? "length" : "stop";
  }
  CompletionUsage total() const {
    CompletionUsage sum;
    for (const Choice& c : choices) {
      sum.prompt_tokens += c.usage.prompt_tokens;
      sum.cached_tokens += c.usage.cached_tokens;
      sum.completion_tokens += c.usage.completion_tokens;
    }
    return sum;
  }
  void write_chunk(size_t index, std::string_view text, const char* reason) {
    JsonValue chunk = envelope();
    chunk["choices"] = JsonValue::array({choice_json(index, text, reason)});
    if (continuous_usage_stats) {
      chunk["usage"] = usage_json(choices[index].usage);
    } else if (include_usage) {
      chunk["usage"] = nullptr;
    }
    exchange->write(sse(chunk));
  }
};

CompletionsApi::CompletionsApi(CompletionEngine& engine, Server& server, size_t max_body_bytes)
    : engine_(engine),
      server_(server),
      poster_(server.poster()),
      max_body_bytes_(max_body_bytes),
      id_seed_(uint64_t{std::random_device{}()} << 32 | std::random_device{}()) {
  server.answer_while_draining("/health");
  server.answer_while_draining("/ready");
}

CompletionsApi::~CompletionsApi() = default;

void CompletionsApi::add_routes(Router& router) {
  router.add("POST", "/v1/completions",
             [this](const Request& request, const ExchangePtr& exchange) { complete(request, exchange); });
  router.add("POST", "/v1/chat/completions", [](const Request&, const ExchangePtr&) {
    throw ApiError(501,
                   "chat completions need the model's chat template, which this server does not apply yet; "
                   "use /v1/completions with the prompt written out",
                   "", "not_implemented");
  });
  router.add("GET", "/v1/models", [this](const Request&, const ExchangePtr& exchange) {
    exchange->respond(
        json_response({{"object", "list"}, {"data", JsonValue::array({model_json(engine_.info())})}}));
  });
  router.add("GET", "/v1/models/*", [this](const Request& request, const ExchangePtr& exchange) {
    check_model(request.tail);
    exchange->respond(json_response(model_json(engine_.info())));
  });
  router.add("GET", "/health",
             [this](const Request&, const ExchangePtr& exchange) { report_state(exchange, false); });
  router.add("GET", "/ready",
             [this](const Request&, const ExchangePtr& exchange) { report_state(exchange, true); });
}

void CompletionsApi::report_state(const ExchangePtr& exchange, bool progress_counts) const {
  const EngineState state = engine_.state();
  if (server_.draining()) throw ApiError(503, "the server is shutting down", "", "shutting_down");
  if (state == EngineState::kLoading) throw ApiError(503, "the model is being loaded", "", "loading");
  if (state == EngineState::kStalled && progress_counts)
    throw ApiError(503, "the engine makes no progress", "", "stalled");
  exchange->respond(json_response({{"status", "ok"}}));
}

void CompletionsApi::check_model(const std::string& asked) const {
  const ModelInfo info = engine_.info();
  if (asked != info.id)
    throw ApiError(404, "model: found '" + asked + "', which is not served here; expected '" + info.id + "'",
                   "model", "model_not_found");
}

void CompletionsApi::complete(const Request& request, const ExchangePtr& exchange) {
  check_content_type(request);
  CompletionsCall call = parse_completions_call(request.body, max_body_bytes_);
  if (call.model) check_model(*call.model);
  for (CompletionRequest& sequence : call.sequences) sequence.scope = request.scope;

  auto owned = std::make_unique<Job>();
  Job& job = *owned;
  job.id = next_job_++;
  job.exchange = exchange;
  job.stream = call.stream;
  job.include_usage = call.include_usage;
  job.continuous_usage_stats = call.continuous_usage_stats;
  job.name = fmt::format("cmpl-{:016x}{:08x}", CounterRng(id_seed_, 0).bits(job.id), job.id);
  job.model = engine_.info().id;
  job.created =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  std::vector<std::string> echoes;
  for (const CompletionRequest& sequence : call.sequences) echoes.push_back(call.echo ? sequence.prompt : "");

  submit_all(job, call);
  jobs_.emplace(job.id, std::move(owned));
  exchange->on_cancel([this, id = job.id](CancelReason reason) { on_cancel(id, reason); });
  if (job.stream)
    exchange->begin_stream(200, "text/event-stream",
                           {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}, kHeartbeat);
  for (size_t i = 0; i < echoes.size(); ++i) {
    if (!job.stream) {
      job.choices[i].text = std::move(echoes[i]);
    } else if (!echoes[i].empty()) {
      // A slow client's buffer may be full already, which ends the job.
      job.write_chunk(i, echoes[i], nullptr);
      if (!exchange->open()) return;
    }
  }
}

void CompletionsApi::submit_all(Job& job, CompletionsCall& call) {
  job.choices.resize(call.sequences.size());
  try {
    for (size_t i = 0; i < call.sequences.size(); ++i) {
      // The sink lives on the engine's thread: it holds no part of the job, only its number.
      job.choices[i].handle = engine_.submit(
          std::move(call.sequences[i]), [this, poster = poster_, id = job.id, i](CompletionEvent event) {
            poster.post(
                [this, id, i, event = std::move(event)]() mutable { on_event(id, i, std::move(event)); });
          });
      job.choices[i].submitted = true;
      ++job.running;
    }
  } catch (...) {
    cancel_sequences(job);
    throw;
  }
}

void CompletionsApi::on_event(uint64_t job_id, size_t index, CompletionEvent event) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;  // cancelled meanwhile
  Job& job = *found->second;
  Job::Choice& choice = job.choices[index];
  if (choice.finished) return;
  choice.usage = event.usage;
  choice.finished = event.finished;
  if (event.finished && event.reason == FinishReason::kError) return fail(job, event_error(event));
  if (event.finished) {
    choice.reason = event.reason;
    --job.running;
  }
  if (job.stream) {
    const ExchangePtr exchange = job.exchange;
    if (event.finished || !event.text.empty())
      job.write_chunk(index, event.text, event.finished ? Job::reason_name(event.reason) : nullptr);
    if (!exchange->open()) return;  // its client was too slow: on_cancel has removed the job
  } else {
    choice.text += event.text;
  }
  if (job.running == 0) finish(job);
}

void CompletionsApi::finish(Job& job) {
  const std::unique_ptr<Job> owned = std::move(jobs_.extract(job.id).mapped());
  if (job.stream) {
    if (job.include_usage) {
      JsonValue chunk = job.envelope();
      chunk["choices"] = JsonValue::array();
      chunk["usage"] = usage_json(job.total());
      job.exchange->write(sse(chunk));
    }
    job.exchange->write(kDone);
    job.exchange->end();
    return;
  }
  JsonValue answer = job.envelope();
  answer["choices"] = JsonValue::array();
  for (size_t i = 0; i < job.choices.size(); ++i)
    answer["choices"].push_back(
        Job::choice_json(i, job.choices[i].text, Job::reason_name(job.choices[i].reason)));
  answer["usage"] = usage_json(job.total());
  job.exchange->respond(json_response(answer));
}

void CompletionsApi::fail(Job& job, const ApiError& error) {
  const std::unique_ptr<Job> owned = std::move(jobs_.extract(job.id).mapped());
  cancel_sequences(job);
  if (!job.stream) return job.exchange->respond(error_response(error));
  job.exchange->write("data: " + error_json(error) + "\n\n");
  job.exchange->write(kDone);
  job.exchange->end();
}

void CompletionsApi::on_cancel(uint64_t job_id, CancelReason reason) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  if (reason == CancelReason::kShutdown)
    return fail(*found->second, ApiError(503, "the server is shutting down", "", "shutting_down"));
  const std::unique_ptr<Job> owned = std::move(jobs_.extract(found).mapped());
  cancel_sequences(*owned);
}

void CompletionsApi::cancel_sequences(const Job& job) {
  for (const Job::Choice& choice : job.choices)
    if (choice.submitted && !choice.finished) engine_.cancel(choice.handle);
}

}  // namespace hoist::http
