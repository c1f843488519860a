// See completions.h.
#include "http/completions.h"

#include <fmt/format.h>

#include <chrono>
#include <random>

#include "base/rng.h"
#include "http/answer_json.h"
#include "http/api_error.h"
#include "http/chat_request.h"
#include "http/guard.h"
#include "http/infill_request.h"
#include "http/openapi.h"

namespace hoist::http {
namespace {

using io::JsonValue;

// A comment line: keeps proxies and clients from giving up while a long prompt is read.
constexpr const char* kHeartbeat = ": waiting\n\n";
constexpr const char* kDone = "data: [DONE]\n\n";

// An engine promises whole code points; should it break its word, the client still gets valid JSON.
std::string sse(const JsonValue& value) { return "data: " + value.dump() + "\n\n"; }

JsonValue model_json(const ModelInfo& info) {
  JsonValue meta = JsonValue::object();
  const auto number = [&](const char* name, int64_t n) {
    if (n > 0) meta[name] = n;
  };
  if (!info.architecture.empty()) meta["architecture"] = info.architecture;
  number("n_vocab", info.vocabulary);
  number("n_ctx_train", info.train_context);
  number("n_embd", info.width);
  number("n_layer", info.layers);
  number("n_params", info.parameters);
  JsonValue abilities = JsonValue::array({"completion"});
  if (info.chat) abilities.push_back("chat");
  if (info.infill) abilities.push_back("infill");
  JsonValue out = {{"id", info.id},
                   {"object", "model"},
                   {"created", info.created},
                   {"owned_by", "hoist"},
                   {"max_model_len", info.max_model_len},
                   {"capabilities", std::move(abilities)},
                   {"loaded", info.loaded},
                   {"meta", std::move(meta)}};
  if (!info.parent.empty()) out["parent"] = info.parent;
  return out;
}

Response json_response(const JsonValue& value) {
  Response response;
  response.body = value.dump();
  return response;
}

ApiError event_error(const CompletionEvent& event) {
  try {
    if (event.refused) std::rethrow_exception(event.refused);
    throw Error(event.error_code, event.error);
  } catch (...) {
    return current_api_error();
  }
}

}  // namespace

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

struct CompletionsApi::Job {
  struct Choice {
    bool finished = false;
    ChoiceAnswer answer;
    FinishReason reason = FinishReason::kStop;
    CompletionUsage usage;
    std::optional<CompletionTimings> timings;
  };
  struct Sequence {  // one prompt and its choices, [first, first + count)
    CompletionEngine::Handle handle = 0;
    bool submitted = false, taken = false;
    size_t first = 0, count = 1, finished = 0;
    std::string echo;
  };
  uint64_t id = 0;
  ExchangePtr exchange;
  bool chat = false, infill = false, stream = false, include_usage = false, continuous_usage_stats = false;
  LogprobsAsked asked;
  std::string name;  // "cmpl-...", "chatcmpl-..."
  std::string model;
  int64_t created = 0;
  std::vector<Sequence> sequences;
  std::vector<Choice> choices;
  size_t running = 0, untaken = 0;
  bool begun = false;                                       // the stream's head is sent
  std::vector<std::pair<size_t, CompletionEvent>> waiting;  // events that came before

  JsonValue envelope() const {
    const char* object = !chat ? "text_completion" : stream ? "chat.completion.chunk" : "chat.completion";
    return {{"id", name}, {"object", object}, {"created", created}, {"model", model}};
  }
  // A prompt counts once, however many choices go on with it.
  CompletionUsage total() const {
    CompletionUsage sum;
    for (const Sequence& s : sequences) {
      sum.prompt_tokens += choices[s.first].usage.prompt_tokens;
      sum.cached_tokens += choices[s.first].usage.cached_tokens;
    }
    for (const Choice& c : choices) sum.completion_tokens += c.usage.completion_tokens;
    return sum;
  }
  // Choices run at the same time: the longest counts.
  void add_timings(JsonValue& answer) const {
    CompletionTimings longest;
    for (const Choice& c : choices) {
      if (!c.timings) return;
      longest.prompt_ms = std::max(longest.prompt_ms, c.timings->prompt_ms);
      longest.predicted_ms = std::max(longest.predicted_ms, c.timings->predicted_ms);
    }
    answer["timings"] = timings_json(total(), longest);
  }
  void set_echo(Sequence& s, const std::string& prompt) {
    s.echo = prompt;
    if (!stream)
      for (size_t i = s.first; i < s.first + s.count; ++i) choices[i].answer.text = prompt;
  }
  void write_chunk(size_t index, JsonValue choice, bool last = false) {
    JsonValue chunk = envelope();
    chunk["choices"] = JsonValue::array({std::move(choice)});
    if (continuous_usage_stats) {
      chunk["usage"] = usage_json(choices[index].usage);
    } else if (include_usage) {
      chunk["usage"] = nullptr;
    }
    if (last && !include_usage) add_timings(chunk);
    exchange->write(sse(chunk));
  }
  JsonValue infill_json(const Choice& c, std::string_view text) const {
    JsonValue out = infill_answer(model, text, c.usage, c.finished ? &c.reason : nullptr);
    if (c.finished && c.timings) out["timings"] = timings_json(c.usage, *c.timings);
    return out;
  }
  void begin() {
    begun = true;
    const ExchangePtr out = exchange;
    out->begin_stream(200, "text/event-stream", {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}},
                      kHeartbeat);
    for (const Sequence& s : sequences)
      for (size_t i = s.first; i < s.first + s.count; ++i) {
        if (chat)
          write_chunk(i, chat_role_chunk(i));
        else if (!s.echo.empty())
          write_chunk(i, completion_chunk(i, s.echo));
        if (!out->open()) return;  // a slow client's buffer was full already, which has ended this job
      }
  }
};

CompletionsApi::CompletionsApi(CompletionEngine& engine, Server& server, size_t max_body_bytes)
    : engine_(engine),
      server_(server),
      tokens_(engine, server, max_body_bytes),
      poster_(server.poster()),
      max_body_bytes_(max_body_bytes),
      id_seed_(uint64_t{std::random_device{}()} << 32 | std::random_device{}()) {
  server.answer_while_draining("/health");
  server.answer_while_draining("/ready");
}

CompletionsApi::~CompletionsApi() = default;

void CompletionsApi::add_routes(Router& router) {
  router.add("POST", "/v1/completions",
             [this](const Request& request, const ExchangePtr& exchange) {
               check_content_type(request);
               complete(parse_completions_call(request.body, max_body_bytes_), request.scope, exchange);
             },
             {"Complete a text; streamed as server-sent events with stream: true",
              request_schema(RequestField::kCompletions), ""});
  router.add("POST", "/v1/chat/completions",
             [this](const Request& request, const ExchangePtr& exchange) {
               check_content_type(request);
               complete(parse_chat_call(request.body, max_body_bytes_), request.scope, exchange);
             },
             {"Answer a conversation; streamed as server-sent events with stream: true",
              request_schema(RequestField::kChat), ""});
  router.add("POST", "/infill",
             [this](const Request& request, const ExchangePtr& exchange) {
               check_content_type(request);
               complete(parse_infill_call(request.body, max_body_bytes_), request.scope, exchange);
             },
             {"Write what belongs between two texts; streamed as server-sent events with stream: true",
              request_schema(RequestField::kInfill), ""});
  router.add("GET", "/v1/models",
             [this](const Request&, const ExchangePtr& exchange) {
               JsonValue list = JsonValue::array();
               for (const ModelInfo& m : engine_.models()) list.push_back(model_json(m));
               exchange->respond(json_response({{"object", "list"}, {"data", std::move(list)}}));
             },
             {"The models that are served, and their adapters", "", ""});
  router.add("GET", "/v1/models/*",
             [this](const Request& request, const ExchangePtr& exchange) {
               exchange->respond(json_response(model_json(check_served(engine_, request.tail))));
             },
             {"One model", "", ""});
  router.add("GET", "/health",
             [this](const Request&, const ExchangePtr& exchange) { report_state(exchange, false); },
             {"Whether the server is up and its model loaded; needs no key", "", ""});
  router.add("GET", "/ready",
             [this](const Request&, const ExchangePtr& exchange) { report_state(exchange, true); },
             {"The same, and whether the engine makes progress", "", ""});
  tokens_.add_routes(router);
  add_openapi_route(router);
}

void CompletionsApi::report_state(const ExchangePtr& exchange, bool progress_counts) const {
  const EngineState state = engine_.state();
  if (server_.draining()) throw ApiError(503, "the server is shutting down", "", "shutting_down");
  if (state == EngineState::kLoading) throw ApiError(503, "the model is being loaded", "", "loading");
  if (state == EngineState::kStalled && progress_counts)
    throw ApiError(503, "the engine makes no progress", "", "stalled");
  exchange->respond(json_response({{"status", "ok"}}));
}

ModelInfo check_served(const CompletionEngine& engine, const std::string& asked) {
  std::string known;
  for (ModelInfo& m : engine.models()) {
    if (m.id == asked) return std::move(m);
    known += (known.empty() ? "'" : ", '") + m.id + "'";
  }
  throw ApiError(404, "model: found '" + asked + "', which is not served here; expected " + known, "model",
                 "model_not_found");
}

void CompletionsApi::complete(CompletionsCall call, uint64_t scope, const ExchangePtr& exchange) {
  if (call.model) check_served(engine_, *call.model);
  for (CompletionRequest& sequence : call.sequences) {
    sequence.scope = scope;
    sequence.model = call.model.value_or("");
  }
  auto owned = std::make_unique<Job>();
  Job& job = *owned;
  job.id = next_job_++;
  job.exchange = exchange;
  job.chat = call.chat;
  job.infill = call.infill;
  job.stream = call.stream;
  job.include_usage = call.include_usage;
  job.continuous_usage_stats = call.continuous_usage_stats;
  job.asked = {call.sequences.front().logprobs, call.prompt_logprobs, call.echo};
  job.name = fmt::format("{}-{:016x}{:08x}", call.chat ? "chatcmpl" : "cmpl",
                         CounterRng(id_seed_, 0).bits(job.id), job.id);
  job.model = call.model ? *call.model : engine_.info().id;
  job.created =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  for (const CompletionRequest& sequence : call.sequences) {
    Job::Sequence& s = job.sequences.emplace_back();
    s.first = job.choices.size();
    s.count = static_cast<size_t>(sequence.n);
    job.choices.resize(s.first + s.count);
    if (call.echo) job.set_echo(s, sequence.prompt);
  }
  job.running = job.choices.size();
  job.untaken = job.sequences.size();
  submit_all(job, call);
  jobs_.emplace(job.id, std::move(owned));
  exchange->on_cancel([this, id = job.id](CancelReason reason) { on_cancel(id, reason); });
}

void CompletionsApi::submit_all(Job& job, CompletionsCall& call) {
  try {
    for (size_t i = 0; i < call.sequences.size(); ++i) {
      // The sink lives on the engine's thread: it holds no part of the job, only its number.
      job.sequences[i].handle = engine_.submit(
          std::move(call.sequences[i]), [this, poster = poster_, id = job.id, i](CompletionEvent event) {
            poster.post(
                [this, id, i, event = std::move(event)]() mutable { on_event(id, i, std::move(event)); });
          });
      job.sequences[i].submitted = true;
    }
  } catch (...) {
    cancel_sequences(job);
    throw;
  }
}

void CompletionsApi::on_event(uint64_t job_id, size_t sequence, CompletionEvent event) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;  // cancelled meanwhile
  Job& job = *found->second;
  Job::Sequence& s = job.sequences[sequence];
  if (event.finished && event.reason == FinishReason::kError) {
    if (event.refused) s.finished = s.count;  // nothing of it is left to cancel
    return fail(job, event_error(event));
  }
  if (!s.taken) {
    s.taken = true;
    --job.untaken;
    if (!event.prompt_text.empty()) job.set_echo(s, event.prompt_text);
  }
  if (!job.stream || job.begun) return take(job, sequence, std::move(event));
  job.waiting.emplace_back(sequence, std::move(event));
  if (job.untaken > 0) return;
  const ExchangePtr exchange = job.exchange;
  job.begin();
  auto events = exchange->open() ? std::move(job.waiting) : decltype(job.waiting)();
  for (auto& [from, early] : events) {
    take(job, from, std::move(early));
    if (!jobs_.count(job_id)) return;  // its last event, or its client was too slow
  }
}

void CompletionsApi::take(Job& job, size_t sequence, CompletionEvent event) {
  Job::Sequence& s = job.sequences[sequence];
  const size_t index = s.first + static_cast<size_t>(event.choice);
  if (event.choice < 0 || static_cast<size_t>(event.choice) >= s.count) return;
  Job::Choice& choice = job.choices[index];
  if (choice.finished) return;
  choice.usage = event.usage;
  if (event.timings) choice.timings = event.timings;
  choice.finished = event.finished;
  if (event.finished) {
    choice.reason = event.reason;
    ++s.finished;
    --job.running;
  }
  if (job.stream && job.infill) {
    const ExchangePtr exchange = job.exchange;
    if (choice.finished || !event.text.empty()) exchange->write(sse(job.infill_json(choice, event.text)));
    if (!exchange->open()) return;
  } else if (job.stream) {
    const ExchangePtr exchange = job.exchange;
    auto chunks = job.chat ? chat_chunks(index, event, job.asked.answer >= 0)
                           : completion_chunks(index, event, choice.answer, job.asked);
    for (size_t i = 0; i < chunks.size(); ++i) {
      job.write_chunk(index, std::move(chunks[i]), job.running == 0 && i + 1 == chunks.size());
      if (!exchange->open()) return;  // its client was too slow: on_cancel has removed the job
    }
  } else {
    choice.answer.add(std::move(event));
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
      job.add_timings(chunk);
      job.exchange->write(sse(chunk));
    }
    if (!job.infill) job.exchange->write(kDone);
    job.exchange->end();
    return;
  }
  if (job.infill) {
    const Job::Choice& c = job.choices.front();
    return job.exchange->respond(json_response(job.infill_json(c, c.answer.text)));
  }
  JsonValue answer = job.envelope();
  answer["choices"] = JsonValue::array();
  for (size_t i = 0; i < job.choices.size(); ++i) {
    Job::Choice& c = job.choices[i];
    answer["choices"].push_back(job.chat ? chat_choice(i, c.answer, c.reason, job.asked.answer >= 0)
                                         : completion_choice(i, c.answer, c.reason, job.asked));
  }
  if (job.chat && job.asked.prompt >= 0)
    answer["prompt_logprobs"] =
        prompt_logprobs_json(job.choices.front().answer.prompt_logprobs, job.asked.prompt);
  answer["usage"] = usage_json(job.total());
  job.add_timings(answer);
  job.exchange->respond(json_response(answer));
}

void CompletionsApi::fail(Job& job, const ApiError& error) {
  const std::unique_ptr<Job> owned = std::move(jobs_.extract(job.id).mapped());
  cancel_sequences(job);
  if (!job.begun) return job.exchange->respond(error_response(error));
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
  for (const Job::Sequence& s : job.sequences)
    if (s.submitted && s.finished < s.count) engine_.cancel(s.handle);
}

}  // namespace hoist::http
