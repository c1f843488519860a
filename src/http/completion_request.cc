// See completion_request.h.
#include "http/completion_request.h"

#include <limits>

#include "http/api_error.h"
#include "io/json.h"

namespace hoist::http {
namespace {

using io::Json;

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();

void read_prompt_ids(const Json& list, std::vector<int64_t>& ids) {
  if (list.size() == 0) list.refuse("at least one token");
  ids.reserve(list.size());
  for (const Json id : list.elements()) ids.push_back(id.as_int(0, kMaxInt));
}

void read_prompts(const Json& prompt, std::vector<CompletionRequest>& sequences) {
  const auto add = [&](const Json& one) {
    CompletionRequest& sequence = sequences.emplace_back();
    if (one.is_string()) {
      sequence.prompt = one.as_string();
    } else if (one.is_array()) {
      read_prompt_ids(one, sequence.prompt_ids);
    } else {
      one.refuse("a string or a list of tokens");
    }
  };
  if (prompt.is_string()) return add(prompt);
  if (!prompt.is_array())
    prompt.refuse("a string, a list of strings, a list of tokens, or a list of such lists");
  if (prompt.size() == 0) prompt.refuse("at least one prompt or token");
  if ((*prompt.elements().begin()).is_number()) return add(prompt);
  if (prompt.size() > static_cast<size_t>(CompletionsCall::kMaxPrompts))
    prompt.fail(ErrorCode::kInvalidArgument, "found " + std::to_string(prompt.size()) +
                                                 " prompts, expected at most " +
                                                 std::to_string(CompletionsCall::kMaxPrompts));
  for (const Json one : prompt.elements()) add(one);
}

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

// Fields of the API that we do not implement: accepted where they ask for nothing.
bool off_unless_unsupported(std::string_view key, const Json& value) {
  const auto require = [&](bool off, std::string_view what) {
    if (!off)
      value.fail(ErrorCode::kUnsupported,
                 "found " + value.excerpt() + ", which is not supported; expected " + std::string(what));
    return true;
  };
  if (key == "n" || key == "best_of")
    return require(value.type() == io::JsonType::kInt && value.as_int() == 1, "1");
  if (key == "presence_penalty" || key == "frequency_penalty")
    return require(value.is_number() && value.as_double(-1e300, 1e300) == 0, "0");
  if (key == "logit_bias") return require(value.is_object() && value.size() == 0, "an empty object");
  if (key == "suffix" || key == "logprobs") return require(false, "null");
  return false;
}

struct Parsed {
  CompletionsCall call;
  CompletionRequest sampling;  // what all sequences share
  bool has_prompt = false;
  std::string repeat_key;
};

void read_field(Parsed& p, std::string_view key, const Json& value) {
  if (key == "prompt") {
    p.has_prompt = true;
    return read_prompts(value, p.call.sequences);
  }
  if (value.is_null() && key != "prompt") {
    // An absent value, as many clients write it; the key must still be one we know.
    static constexpr std::string_view kKnown[] = {"model",
                                                  "max_tokens",
                                                  "temperature",
                                                  "top_p",
                                                  "top_k",
                                                  "min_p",
                                                  "repeat_penalty",
                                                  "n",
                                                  "repetition_penalty",
                                                  "seed",
                                                  "stop",
                                                  "stream",
                                                  "echo",
                                                  "stream_options",
                                                  "best_of",
                                                  "presence_penalty",
                                                  "frequency_penalty",
                                                  "logit_bias",
                                                  "suffix",
                                                  "logprobs",
                                                  "user",
                                                  "metadata"};
    for (const std::string_view known : kKnown)
      if (key == known) return;
  }
  if (key == "model") {
    p.call.model = value.as_string();
  } else if (key == "max_tokens") {
    p.sampling.max_tokens = value.as_int(1, kMaxInt);
  } else if (key == "temperature") {
    p.sampling.temperature = value.as_double(0, 100);
  } else if (key == "top_p") {
    p.sampling.top_p = value.as_double(0, 1);
    if (p.sampling.top_p == 0) value.refuse("a number above 0, up to 1");
  } else if (key == "top_k") {
    p.sampling.top_k = value.as_int(-1, kMaxInt);
    if (p.sampling.top_k < 0) p.sampling.top_k = 0;  // -1 is another way of saying "all"
  } else if (key == "min_p") {
    p.sampling.min_p = value.as_double(0, 1);
  } else if (key == "repeat_penalty" || key == "repetition_penalty") {
    if (!p.repeat_key.empty()) value.fail(ErrorCode::kInvalidArgument, "given together with " + p.repeat_key);
    p.repeat_key = key;
    p.sampling.repeat_penalty = value.as_double(0.01, 100);
  } else if (key == "seed") {
    p.sampling.seed = static_cast<uint64_t>(value.as_int(0));
  } else if (key == "stop") {
    p.sampling.stop = read_stops(value);
  } else if (key == "stream") {
    p.call.stream = value.as_bool();
  } else if (key == "echo") {
    p.call.echo = value.as_bool();
  } else if (key == "stream_options") {
    read_stream_options(value, p.call);
  } else if (key == "user") {
    value.as_string();
  } else if (key == "metadata") {
    value.members();
  } else if (!off_unless_unsupported(key, value)) {
    value.fail(ErrorCode::kUnsupported, "unknown field");
  }
}

[[noreturn]] void throw_field(const std::string& message, std::string_view field, std::string code) {
  throw ApiError(400, message, std::string(field), std::move(code));
}

void finish(Parsed& p) {
  CompletionsCall& call = p.call;
  if (!p.has_prompt) throw_field("request body: prompt: missing", "prompt", "missing_field");
  if (!call.stream && (call.include_usage || call.continuous_usage_stats))
    throw_field("request body: stream_options: expected only together with stream: true", "stream_options",
                "invalid_argument");
  for (CompletionRequest& sequence : call.sequences) {
    if (call.echo && !sequence.prompt_ids.empty())
      throw_field("request body: echo: supported for text prompts only", "echo", "unsupported");
    CompletionRequest full = p.sampling;
    full.prompt = std::move(sequence.prompt);
    full.prompt_ids = std::move(sequence.prompt_ids);
    sequence = std::move(full);
  }
}

io::JsonDocument parse_json(std::string_view body, size_t max_bytes) {
  io::JsonOptions options;
  options.max_bytes = max_bytes;
  options.syntax_error = ErrorCode::kInvalidArgument;
  try {
    return io::JsonDocument::parse(body, "request body", options);
  } catch (const Error& error) {
    throw ApiError(400, error.what(), "", "invalid_json");
  }
}

}  // namespace

CompletionsCall parse_completions_call(std::string_view body, size_t max_bytes) {
  const io::JsonDocument document = parse_json(body, max_bytes);
  const Json root = document.root();
  if (!root.is_object()) throw ApiError(400, "request body: expected a JSON object", "", "invalid_json");
  Parsed parsed;
  for (const auto& [key, value] : root.members()) {
    try {
      read_field(parsed, key, value);
    } catch (const Error& error) {
      throw_field(error.what(), key, std::string(error_code_name(error.code())));
    }
  }
  finish(parsed);
  return std::move(parsed.call);
}

}  // namespace hoist::http
