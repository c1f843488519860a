// See encoder_api.h.
#include "http/encoder_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "http/api_error.h"
#include "http/completions.h"
#include "io/json_value.h"

namespace hoist::http {
namespace {

using io::JsonValue;
using Route = EncoderCall::Route;

JsonValue model_json(const ModelInfo& info) {
  return {{"id", info.id},
          {"object", "model"},
          {"created", info.created},
          {"owned_by", "hoist"},
          {"max_model_len", info.max_model_len}};
}

void respond(const ExchangePtr& exchange, std::string body) {
  Response response;
  response.body = std::move(body);
  exchange->respond(std::move(response));
}

ApiError result_error(const EncodeResult& result) {
  try {
    throw Error(result.error_code, result.error);
  } catch (...) {
    return current_api_error();
  }
}

std::string base64(const void* data, size_t size) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto* bytes = static_cast<const unsigned char*>(data);
  std::string out;
  out.reserve((size + 2) / 3 * 4);
  for (size_t i = 0; i < size; i += 3) {
    const size_t n = std::min<size_t>(3, size - i);
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j) word = word << 8 | (j < n ? bytes[i + j] : 0u);
    for (size_t j = 0; j < 4; ++j) out += j <= n ? kDigits[word >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

// Written by hand: the shortest text that reads back as the same float.
void append_floats(std::string& out, const std::vector<float>& values) {
  out += '[';
  for (size_t i = 0; i < values.size(); ++i) {
    if (i) out += ',';
    fmt::format_to(std::back_inserter(out), "{}", values[i]);
  }
  out += ']';
}

std::string usage_json(int64_t tokens) {
  return fmt::format("{{\"prompt_tokens\":{},\"total_tokens\":{}}}", tokens, tokens);
}

int64_t total_tokens(const std::vector<EncodeResult>& results) {
  int64_t tokens = 0;
  for (const EncodeResult& r : results) tokens += r.tokens;
  return tokens;
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  const double scale = std::sqrt(dot(a, a) * dot(b, b));
  return scale > 0 ? dot(a, b) / scale : 0;
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

std::vector<double> probabilities(const std::vector<float>& scores) {
  std::vector<double> out(scores.begin(), scores.end());
  if (out.size() == 1) return {logistic(out[0])};
  const double top = *std::max_element(out.begin(), out.end());
  double sum = 0;
  for (double& x : out) sum += x = std::exp(x - top);
  for (double& x : out) x /= sum;
  return out;
}

}  // namespace

struct EncoderApi::Job {
  uint64_t id = 0;
  ExchangePtr exchange;
  Render render;
  std::vector<EncoderEngine::Handle> handles;
  std::vector<EncodeResult> results;
  std::vector<bool> finished;
  size_t running = 0;
};

EncoderApi::EncoderApi(EncoderEngine& engine, Server& server, size_t max_body_bytes)
    : engine_(engine), server_(server), poster_(server.poster()), max_body_bytes_(max_body_bytes) {
  server.answer_while_draining("/health");
  server.answer_while_draining("/ready");
}

EncoderApi::~EncoderApi() = default;

void EncoderApi::add_routes(Router& router) {
  router.add("POST", "/v1/embeddings",
             [this](const Request& request, const ExchangePtr& exchange) { embeddings(request, exchange); });
  for (const char* path : {"/v1/rerank", "/rerank"})
    router.add("POST", path, [this](const Request& request, const ExchangePtr& exchange) {
      relevance(Route::kRerank, request, exchange);
    });
  router.add("POST", "/v1/score", [this](const Request& request, const ExchangePtr& exchange) {
    relevance(Route::kScore, request, exchange);
  });
  for (const char* path : {"/v1/classify", "/classify"})
    router.add("POST", path,
               [this](const Request& request, const ExchangePtr& exchange) { classify(request, exchange); });
  router.add("GET", "/v1/models", [this](const Request&, const ExchangePtr& exchange) {
    const JsonValue list = {{"object", "list"},
                            {"data", JsonValue::array({model_json(engine_.info().model)})}};
    respond(exchange, list.dump());
  });
  router.add("GET", "/v1/models/*", [this](const Request& request, const ExchangePtr& exchange) {
    check_model(request.tail);
    respond(exchange, model_json(engine_.info().model).dump());
  });
  for (const char* path : {"/health", "/ready"})  // it listens when the model is loaded
    router.add("GET", path, [this](const Request&, const ExchangePtr& exchange) {
      if (server_.draining()) throw ApiError(503, "the server is shutting down", "", "shutting_down");
      respond(exchange, "{\"status\":\"ok\"}");
    });
}

void EncoderApi::check_model(const std::string& asked) const {
  const std::string id = engine_.info().model.id;
  if (asked != id)
    throw ApiError(404, "model: found '" + asked + "', which is not served here; expected '" + id + "'",
                   "model", "model_not_found");
}

EncoderCall EncoderApi::read(Route route, const Request& request) const {
  check_content_type(request);
  EncoderCall call = parse_encoder_call(route, request.body, max_body_bytes_);
  if (call.model) check_model(*call.model);
  return call;
}

void EncoderApi::embeddings(const Request& request, const ExchangePtr& exchange) {
  EncoderCall call = read(Route::kEmbeddings, request);
  const EncoderInfo info = engine_.info();
  const auto width = static_cast<size_t>(info.dimensions);
  const size_t wanted = call.dimensions ? static_cast<size_t>(*call.dimensions) : width;
  if (wanted > width || (wanted < width && !info.shorter))
    throw ApiError(
        400,
        fmt::format("dimensions: found {}, expected {}{}", wanted, info.shorter ? "at most " : "", width),
        "dimensions", "invalid_argument");
  run(std::move(call.inputs), "input", exchange,
      [id = info.model.id, as_base64 = call.base64, wanted,
       unit = info.unit](const std::vector<EncodeResult>& results) {
        std::string out = "{\"object\":\"list\",\"data\":[";
        for (size_t i = 0; i < results.size(); ++i) {
          std::vector<float> vector = results[i].values;
          if (wanted < vector.size()) {
            vector.resize(wanted);
            const double length = std::sqrt(dot(vector, vector));
            if (unit && length > 0)
              for (float& x : vector) x = static_cast<float>(static_cast<double>(x) / length);
          }
          out += fmt::format("{}{{\"object\":\"embedding\",\"index\":{},\"embedding\":", i ? "," : "", i);
          if (as_base64) {
            out += '"' + base64(vector.data(), vector.size() * sizeof(float)) + '"';
          } else {
            append_floats(out, vector);
          }
          out += '}';
        }
        return out + "],\"model\":" + JsonValue(id).dump() +
               ",\"usage\":" + usage_json(total_tokens(results)) + "}";
      });
}

void EncoderApi::classify(const Request& request, const ExchangePtr& exchange) {
  EncoderCall call = read(Route::kClassify, request);
  const EncoderInfo info = engine_.info();
  if (info.labels.empty())
    throw ApiError(400, "this model has no classification head; use /v1/embeddings", "", "unsupported");
  run(std::move(call.inputs), "input", exchange, [info](const std::vector<EncodeResult>& results) {
    JsonValue answer = {{"object", "list"}, {"model", info.model.id}, {"data", JsonValue::array()}};
    for (size_t i = 0; i < results.size(); ++i) {
      const std::vector<double> p = probabilities(results[i].values);
      const auto top = static_cast<size_t>(std::max_element(p.begin(), p.end()) - p.begin());
      answer["data"].push_back(
          {{"index", i}, {"label", info.labels[top]}, {"probs", p}, {"num_classes", p.size()}});
    }
    answer["usage"] = {{"prompt_tokens", total_tokens(results)}, {"total_tokens", total_tokens(results)}};
    return answer.dump();
  });
}

void EncoderApi::relevance(Route route, const Request& request, const ExchangePtr& exchange) {
  EncoderCall call = read(route, request);
  const EncoderInfo info = engine_.info();
  if (info.labels.size() > 1)
    throw ApiError(400,
                   fmt::format("this model's head has {} labels, expected one, or no head; use /classify",
                               info.labels.size()),
                   "", "unsupported");
  const size_t n = call.right.size(), lefts = call.left.size();
  const bool pairs = !info.labels.empty();
  std::vector<EncodeRequest> requests;
  const auto add = [&](const std::string& text) {
    EncodeRequest& r = requests.emplace_back();
    r.text = text;
    r.truncate = call.truncate;
    return &r;
  };
  // Pairs are computed together; without a head, each text on the left once, then those on the right.
  if (!pairs)
    for (const std::string& text : call.left) add(text);
  for (size_t i = 0; i < n; ++i) {
    if (!pairs) {
      add(call.right[i]);
      continue;
    }
    EncodeRequest* r = add(call.left[lefts == 1 ? 0 : i]);
    r->task = EncodeTask::kClassify;
    r->second = call.right[i];
  }
  run(std::move(requests), route == Route::kRerank ? "documents" : "text_2", exchange,
      [route, pairs, n, lefts, id = info.model.id,
       call = std::move(call)](const std::vector<EncodeResult>& results) {
        std::vector<double> scores(n);
        for (size_t i = 0; i < n; ++i)
          scores[i] = pairs ? logistic(static_cast<double>(results[i].values[0]))
                            : cosine(results[lefts == 1 ? 0 : i].values, results[lefts + i].values);
        const int64_t tokens = total_tokens(results);
        JsonValue list = JsonValue::array();
        if (route == Route::kScore) {
          for (size_t i = 0; i < n; ++i)
            list.push_back({{"index", i}, {"object", "score"}, {"score", scores[i]}});
          return JsonValue{{"object", "list"},
                           {"model", id},
                           {"data", list},
                           {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}}
              .dump();
        }
        std::vector<size_t> order(n);
        std::iota(order.begin(), order.end(), size_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [&](size_t a, size_t b) { return scores[a] > scores[b]; });
        order.resize(std::min(n, static_cast<size_t>(call.top_n)));
        for (size_t i : order) {
          JsonValue row = {{"index", i}, {"relevance_score", scores[i]}};
          if (call.return_documents) row["document"] = {{"text", call.right[i]}};
          list.push_back(row);
        }
        return JsonValue{{"object", "list"},
                         {"model", id},
                         {"results", list},
                         {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}}
            .dump();
      });
}

void EncoderApi::run(std::vector<EncodeRequest> requests, const char* field, const ExchangePtr& exchange,
                     Render render) {
  auto owned = std::make_unique<Job>();
  Job& job = *owned;
  job.id = next_job_++;
  job.exchange = exchange;
  job.render = std::move(render);
  job.results.resize(requests.size());
  job.finished.resize(requests.size());
  try {
    for (size_t i = 0; i < requests.size(); ++i) {
      // The sink lives on the engine's thread: it holds no part of the job, only its number.
      job.handles.push_back(engine_.submit(
          std::move(requests[i]), [this, poster = poster_, id = job.id, i](EncodeResult result) {
            poster.post(
                [this, id, i, result = std::move(result)]() mutable { on_result(id, i, std::move(result)); });
          }));
      ++job.running;
    }
  } catch (const SequenceLengthError& error) {
    cancel_all(job);
    throw ApiError(400, std::string(field) + ": " + error.what(), field, "context_length_exceeded");
  } catch (...) {
    cancel_all(job);
    throw;
  }
  jobs_.emplace(job.id, std::move(owned));
  exchange->on_cancel([this, id = job.id](CancelReason reason) { on_cancel(id, reason); });
}

void EncoderApi::on_result(uint64_t job_id, size_t index, EncodeResult result) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;  // cancelled meanwhile
  Job& job = *found->second;
  const bool bad =
      std::any_of(result.values.begin(), result.values.end(), [](float x) { return !std::isfinite(x); });
  if (bad && !result.failed) {
    result.failed = true;
    result.error_code = ErrorCode::kCorrupt;
    result.error = "the model's output is not a number";
  }
  job.finished[index] = true;
  if (result.failed) {
    const std::unique_ptr<Job> owned = std::move(jobs_.extract(found).mapped());
    cancel_all(*owned);
    return owned->exchange->respond(error_response(result_error(result)));
  }
  job.results[index] = std::move(result);
  if (--job.running > 0) return;
  const std::unique_ptr<Job> owned = std::move(jobs_.extract(found).mapped());
  respond(owned->exchange, owned->render(owned->results));
}

void EncoderApi::on_cancel(uint64_t job_id, CancelReason reason) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  const std::unique_ptr<Job> owned = std::move(jobs_.extract(found).mapped());
  cancel_all(*owned);
  if (reason == CancelReason::kShutdown)
    owned->exchange->respond(
        error_response(ApiError(503, "the server is shutting down", "", "shutting_down")));
}

void EncoderApi::cancel_all(const Job& job) {
  for (size_t i = 0; i < job.handles.size(); ++i)
    if (!job.finished[i]) engine_.cancel(job.handles[i]);
}

}  // namespace hoist::http
