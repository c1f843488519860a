// See completion_request.h.
#include "http/completion_request.h"

#include <algorithm>

#include "http/request_fields.h"

namespace hoist::http {
namespace {

using io::Json;

void read_prompt_ids(const Json& list, std::vector<int64_t>& ids) {
  if (list.size() == 0) list.refuse("at least one token");
  ids.reserve(list.size());
  for (const Json id : list.elements()) ids.push_back(id.as_int(0, INT32_MAX));
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

}  // namespace

CompletionsCall parse_completions_call(std::string_view body, size_t max_bytes) {
  RequestReader reader{RequestField::kCompletions};
  bool has_prompt = false;
  std::optional<std::string> suffix;
  read_body(body, max_bytes, RequestField::kCompletions, [&](std::string_view key, const Json& value) {
    if (key == "prompt") {
      has_prompt = true;
      read_prompts(value, reader.call.sequences);
    } else if (key == "echo") {
      reader.call.echo = value.as_bool();
    } else if (key == "suffix") {
      suffix = value.as_string();
    } else if (!reader.read(key, value)) {
      value.fail(ErrorCode::kUnsupported, "unknown field");
    }
  });
  if (!has_prompt) refuse_field("prompt", "missing", "missing_field");
  reader.check();
  CompletionsCall& call = reader.call;
  if (call.echo && suffix) refuse_field("echo", "not supported together with suffix", "unsupported");
  const int64_t choices = reader.shared.n * static_cast<int64_t>(call.sequences.size());
  if (choices > CompletionsCall::kMaxChoices)
    refuse_field("n", "found " + std::to_string(choices) + " choices for all prompts, expected at most " +
                          std::to_string(CompletionsCall::kMaxChoices));
  for (CompletionRequest& sequence : call.sequences) {
    if (!sequence.prompt_ids.empty() && suffix)
      refuse_field("suffix", "supported for text prompts only", "unsupported");
    CompletionRequest full = reader.shared;
    full.prompt = std::move(sequence.prompt);
    full.prompt_ids = std::move(sequence.prompt_ids);
    full.suffix = suffix;
    full.echo = call.echo;
    // An echoed prompt has the log-probabilities that the answer has.
    if (call.echo) full.prompt_logprobs = std::max(full.prompt_logprobs, full.logprobs);
    sequence = std::move(full);
  }
  return std::move(call);
}

}  // namespace hoist::http
