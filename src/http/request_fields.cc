// See request_fields.h.
#include "http/request_fields.h"

#include <limits>

#include "http/answer_format.h"
#include "http/api_error.h"

namespace hoist::http {
namespace {

using io::Json;

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr auto kCompletions = RequestField::kCompletions;
constexpr auto kChat = RequestField::kChat;
constexpr auto kBoth = RequestField::kBoth;
constexpr auto kInfill = RequestField::kInfill;
constexpr auto kAll = RequestField::kAll;

constexpr RequestField kFields[] = {
    {"model", kAll, false, R"({"type":"string","description":"The id that /v1/models tells"})"},
    {"prompt", kCompletions, true,
     R"({"description":"A text, a list of tokens, or a list of either","oneOf":[{"type":"string"},{"type":"array"}]})"},
    {"suffix", kCompletions, false,
     R"({"type":"string","description":"What comes behind the completion, for models that fill in"})"},
    {"echo", kCompletions, false, R"({"type":"boolean","description":"Begin the answer with the prompt"})"},
    {"input_prefix", kInfill, false,
     R"({"type":"string","description":"What stands before the place to fill in"})"},
    {"input_suffix", kInfill, false, R"({"type":"string","description":"What stands behind it"})"},
    {"input_extra", kInfill, false,
     R"({"type":"array","maxItems":1024,"items":{"type":"object","required":["text"],"properties":{"filename":{"type":"string"},"text":{"type":"string"},"time":{}},"additionalProperties":false},"description":"Other files that the model sees; the first go where there is no room"})"},
    {"prompt", kInfill, false,
     R"({"type":"string","description":"Goes on from input_prefix: what stands before the cursor in its line"})"},
    {"n_predict", kInfill, false,
     R"({"type":"integer","minimum":-1,"description":"The same as max_tokens; -1: as many as fit"})"},
    {"n_indent", kInfill, false, R"({"type":"integer","description":"Without effect"})"},
    {"samplers", kInfill, false, R"({"type":"array","description":"Without effect"})"},
    {"cache_prompt", kInfill, false, R"({"type":"boolean","description":"Without effect"})"},
    {"id_slot", kInfill, false, R"({"type":"integer","description":"Without effect"})"},
    {"t_max_prompt_ms", kInfill, false, R"({"type":"number","description":"Without effect"})"},
    {"t_max_predict_ms", kInfill, false, R"({"type":"number","description":"Without effect"})"},
    {"response_fields", kInfill, false, R"({"type":"array","description":"Without effect"})"},
    {"messages", kChat, true,
     R"({"type":"array","items":{"type":"object","required":["role"]},"description":"The conversation"})"},
    {"tools", kChat, false,
     R"({"type":"array","items":{"type":"object"},"description":"Functions the model may call"})"},
    {"tool_choice", kChat, false,
     R"({"description":"none, auto, required, or a function to call","oneOf":[{"enum":["none","auto","required"]},{"type":"object"}]})"},
    {"parallel_tool_calls", kChat, false,
     R"({"type":"boolean","description":"Whether forced calls may be several"})"},
    {"reasoning_effort", kChat, false,
     R"({"type":"string","description":"Passed to templates that know it"})"},
    {"reasoning_format", kChat, false,
     R"({"enum":["auto","deepseek","none"],"description":"none leaves <think> in the content"})"},
    {"chat_template_kwargs", kChat, false,
     R"({"type":"object","description":"Further variables for the chat template, such as enable_thinking"})"},
    {"add_generation_prompt", kChat, false, R"({"type":"boolean"})"},
    {"continue_final_message", kChat, false,
     R"({"type":"boolean","description":"Go on with the last message; needs add_generation_prompt: false"})"},
    {"max_tokens", kAll, false,
     R"({"type":"integer","minimum":0,"description":"0 only together with echo or prompt_logprobs"})"},
    {"max_completion_tokens", kBoth, false,
     R"({"type":"integer","minimum":0,"description":"The same as max_tokens"})"},
    {"min_tokens", kAll, false,
     R"({"type":"integer","minimum":0,"description":"No end before so many tokens"})"},
    {"temperature", kAll, false, R"({"type":"number","minimum":0,"maximum":100})"},
    {"top_p", kAll, false, R"({"type":"number","exclusiveMinimum":0,"maximum":1})"},
    {"top_k", kAll, false, R"({"type":"integer","minimum":-1,"description":"0 or -1: all"})"},
    {"min_p", kAll, false, R"({"type":"number","minimum":0,"maximum":1})"},
    {"repeat_penalty", kAll, false, R"({"type":"number","minimum":0.01,"maximum":100})"},
    {"repetition_penalty", kBoth, false,
     R"({"type":"number","minimum":0.01,"maximum":100,"description":"The same as repeat_penalty"})"},
    {"presence_penalty", kAll, false, R"({"type":"number","minimum":-2,"maximum":2})"},
    {"frequency_penalty", kAll, false, R"({"type":"number","minimum":-2,"maximum":2})"},
    {"logit_bias", kAll, false,
     R"({"type":"object","additionalProperties":{"type":"number","minimum":-100,"maximum":100},"description":"By token id"})"},
    {"logprobs", kBoth, false,
     R"({"description":"Completions: how many alternatives, 0 to 20; chats: true or false","oneOf":[{"type":"integer","minimum":0,"maximum":20},{"type":"boolean"}]})"},
    {"top_logprobs", kChat, false, R"({"type":"integer","minimum":0,"maximum":20})"},
    {"prompt_logprobs", kBoth, false,
     R"({"type":"integer","minimum":0,"maximum":20,"description":"Log-probabilities of the prompt's tokens, and how many alternatives with each; not streamed"})"},
    {"n", kBoth, false,
     R"({"type":"integer","minimum":1,"maximum":128,"description":"Choice i draws with seed + i"})"},
    {"best_of", kCompletions, false, R"({"type":"integer","description":"Only the same as n"})"},
    {"seed", kAll, false, R"({"type":"integer","minimum":0})"},
    {"stop", kAll, false,
     R"({"description":"Up to 4 texts that end the answer","oneOf":[{"type":"string"},{"type":"array","items":{"type":"string"},"maxItems":4}]})"},
    {"stop_token_ids", kAll, false, R"({"type":"array","items":{"type":"integer","minimum":0}})"},
    {"ignore_eos", kAll, false, R"({"type":"boolean"})"},
    {"stream", kAll, false, R"({"type":"boolean"})"},
    {"stream_options", kBoth, false,
     R"({"type":"object","properties":{"include_usage":{"type":"boolean"},"continuous_usage_stats":{"type":"boolean"}},"additionalProperties":false})"},
    {"response_format", kAll, false,
     R"({"type":"object","description":"{type: text}, {type: json_object} or {type: json_schema, json_schema: {schema}}"})"},
    {"structured_outputs", kAll, false,
     R"({"type":"object","description":"One of json, regex, grammar, choice, json_object"})"},
    {"grammar", kAll, false, R"({"type":"string","description":"EBNF that the answer follows"})"},
    {"regex", kAll, false,
     R"({"type":"string","description":"Regular expression that the whole answer matches"})"},
    {"json_schema", kAll, false,
     R"({"description":"JSON schema of the answer","oneOf":[{"type":"object"},{"type":"boolean"}]})"},
    {"guided_json", kBoth, false,
     R"({"description":"JSON schema of the answer","oneOf":[{"type":"object"},{"type":"string"}]})"},
    {"guided_regex", kBoth, false, R"({"type":"string"})"},
    {"guided_grammar", kBoth, false, R"({"type":"string"})"},
    {"guided_choice", kBoth, false, R"({"type":"array","items":{"type":"string"}})"},
    {"priority", kBoth, false,
     R"({"type":"integer","description":"Lower runs earlier; other than 0 only where the server's policy is priority"})"},
    {"user", kBoth, false, R"({"type":"string","description":"Without effect"})"},
    {"metadata", kBoth, false, R"({"type":"object","description":"Without effect"})"},
    {"prompt_cache_key", kChat, false, R"({"type":"string","description":"Without effect"})"},
    {"safety_identifier", kChat, false, R"({"type":"string","description":"Without effect"})"},
    {"store", kChat, false, R"({"const":false})"},
    {"service_tier", kChat, false, R"({"enum":["auto","default"]})"},
    {"modalities", kChat, false, R"({"const":["text"]})"},
};

std::vector<std::string> read_stops(const Json& stop) {
  std::vector<std::string> stops;
  const auto add = [&](const Json& one) {
    stops.emplace_back(one.as_string(CompletionsCall::kMaxStopBytes));
    if (stops.back().empty()) one.refuse("a string that is not empty");
  };
  if (stop.is_array()) {
    if (stop.size() > static_cast<size_t>(CompletionsCall::kMaxStops))
      stop.refuse("at most " + std::to_string(CompletionsCall::kMaxStops) + " strings");
    for (const Json one : stop.elements()) add(one);
  } else if (stop.is_string()) {
    add(stop);
  } else {
    stop.refuse("a string or a list of strings");
  }
  return stops;
}

void read_stream_options(const Json& options, CompletionsCall& call) {
  for (const auto& [key, value] : options.members()) {
    if (key == "include_usage") {
      call.include_usage = value.as_bool();
    } else if (key == "continuous_usage_stats") {
      call.continuous_usage_stats = value.as_bool();
    } else {
      value.fail(ErrorCode::kUnsupported, "unknown field");
    }
  }
}

std::vector<std::pair<int64_t, double>> read_bias(const Json& object) {
  if (!object.is_object()) object.refuse("an object of token ids and numbers");
  if (object.size() > CompletionsCall::kMaxBiases)
    object.refuse("at most " + std::to_string(CompletionsCall::kMaxBiases) + " tokens");
  std::vector<std::pair<int64_t, double>> bias;
  for (const auto& [key, value] : object.members()) {
    int64_t id = 0;
    bool digits = !key.empty() && key.size() <= 10 && (key.size() == 1 || key[0] != '0');
    for (const char c : key) {
      digits = digits && c >= '0' && c <= '9';
      id = digits ? id * 10 + (c - '0') : id;
    }
    if (!digits || id > kMaxInt) value.fail(ErrorCode::kInvalidArgument, "expected a token id as the key");
    bias.emplace_back(id, value.as_double(-100, 100));
  }
  return bias;
}

void read_logprobs(RequestReader& r, const Json& value) {
  if (r.where == kChat) {
    if (value.as_bool()) r.shared.logprobs = 0;
    return;
  }
  r.shared.logprobs = value.as_int(0, 20);
}

}  // namespace

std::span<const RequestField> request_fields() { return kFields; }

bool RequestReader::read(std::string_view key, const Json& value) {
  CompletionRequest& s = shared;
  const auto once = [&](std::string& known) {
    if (!known.empty()) value.fail(ErrorCode::kInvalidArgument, "given together with " + known);
    known = key;
  };
  if (key == "model") {
    call.model = value.as_string();
  } else if (key == "max_tokens" || key == "max_completion_tokens") {
    once(limit_key);
    s.max_tokens = value.as_int(0, kMaxInt);
  } else if (key == "min_tokens") {
    s.min_tokens = value.as_int(0, kMaxInt);
  } else if (key == "temperature") {
    s.temperature = value.as_double(0, 100);
  } else if (key == "top_p") {
    s.top_p = value.as_double(0, 1);
    if (s.top_p == 0) value.refuse("a number above 0, up to 1");
  } else if (key == "top_k") {
    s.top_k = value.as_int(-1, kMaxInt);
    if (s.top_k < 0) s.top_k = 0;  // -1 is another way of saying "all"
  } else if (key == "min_p") {
    s.min_p = value.as_double(0, 1);
  } else if (key == "repeat_penalty" || key == "repetition_penalty") {
    once(repeat_key);
    s.repeat_penalty = value.as_double(0.01, 100);
  } else if (key == "presence_penalty") {
    s.presence_penalty = value.as_double(-2, 2);
  } else if (key == "frequency_penalty") {
    s.frequency_penalty = value.as_double(-2, 2);
  } else if (key == "logit_bias") {
    s.logit_bias = read_bias(value);
  } else if (key == "logprobs") {
    read_logprobs(*this, value);
  } else if (key == "prompt_logprobs") {
    call.prompt_logprobs = s.prompt_logprobs = value.as_int(0, 20);
  } else if (key == "top_logprobs" && where == kChat) {
    top_logprobs = value.as_int(0, 20);
  } else if (key == "n") {
    s.n = value.as_int(1, CompletionsCall::kMaxChoices);
  } else if (key == "best_of" && where == kCompletions) {
    best_of = value.as_int(1, kMaxInt);
  } else if (key == "seed") {
    s.seed = static_cast<uint64_t>(value.as_int(0));
  } else if (key == "stop") {
    s.stop = read_stops(value);
  } else if (key == "stop_token_ids") {
    if (value.size() > CompletionsCall::kMaxBiases)
      value.refuse("at most " + std::to_string(CompletionsCall::kMaxBiases) + " tokens");
    for (const Json id : value.elements()) s.stop_token_ids.push_back(id.as_int(0, kMaxInt));
  } else if (key == "ignore_eos") {
    s.ignore_eos = value.as_bool();
  } else if (key == "stream") {
    call.stream = value.as_bool();
  } else if (key == "stream_options") {
    read_stream_options(value, call);
  } else if (key == "priority") {
    s.priority = value.as_int(std::numeric_limits<int32_t>::min(), kMaxInt);
  } else if (key == "user") {
    value.as_string();
  } else if (key == "metadata") {
    value.members();
  } else if (is_format_field(key)) {
    const AnswerFormat format = read_format(key, value);
    if (format.kind == AnswerFormat::Kind::kFree) return true;
    once(format_key);
    s.format = format;
  } else {
    return false;
  }
  return true;
}

void RequestReader::check() const {
  if (!call.stream && (call.include_usage || call.continuous_usage_stats))
    refuse_field("stream_options", "expected only together with stream: true");
  if (best_of != 0 && best_of != shared.n)
    refuse_field("best_of",
                 "found " + std::to_string(best_of) +
                     ", expected the same as n: " + std::to_string(shared.n) + "; choices are not ranked",
                 "unsupported");
  if (top_logprobs >= 0 && shared.logprobs < 0)
    refuse_field("top_logprobs", "expected only together with logprobs: true");
  if (call.stream && shared.prompt_logprobs >= 0)
    refuse_field("prompt_logprobs", "not supported together with stream: true", "unsupported");
  if (shared.max_tokens == 0 && where != kInfill && !call.echo && shared.prompt_logprobs < 0)
    refuse_field(limit_key, "found 0, expected at least 1, or echo or prompt_logprobs with it");
  if (shared.min_tokens > shared.max_tokens)
    refuse_field("min_tokens", "found " + std::to_string(shared.min_tokens) +
                                   ", expected at most max_tokens: " + std::to_string(shared.max_tokens));
}

void refuse_field(std::string_view field, std::string_view message, std::string code) {
  throw ApiError(400, "request body: " + std::string(field) + ": " + std::string(message), std::string(field),
                 std::move(code));
}

void read_body(std::string_view body, size_t max_bytes, RequestField::Where where,
               const std::function<void(std::string_view, const Json&)>& read) {
  io::JsonOptions options;
  options.max_bytes = max_bytes;
  options.syntax_error = ErrorCode::kInvalidArgument;
  const auto parse = [&] {
    try {
      return io::JsonDocument::parse(body, "request body", options);
    } catch (const Error& error) {
      throw ApiError(400, error.what(), "", "invalid_json");
    }
  };
  const io::JsonDocument document = parse();
  if (!document.root().is_object())
    throw ApiError(400, "request body: expected a JSON object", "", "invalid_json");
  for (const auto& [key, value] : document.root().members()) {
    try {
      const RequestField* known = nullptr;
      for (const RequestField& field : kFields)
        if (key == field.name && (field.where & where)) known = &field;
      if (!known) value.fail(ErrorCode::kUnsupported, "unknown field");
      // Many clients write an absent value so.
      if (value.is_null() && !known->required) continue;
      read(key, value);
    } catch (const Error& error) {
      throw ApiError(400, error.what(), std::string(key), std::string(error_code_name(error.code())));
    }
  }
}

}  // namespace hoist::http
