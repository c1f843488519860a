// Answers as JSON: whole ones and the chunks of streams, of completions and of chats.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/completion_engine.h"
#include "io/json_value.h"

namespace hoist::http {

// What a choice has said so far; of a stream, only what later chunks need.
struct ChoiceAnswer {
  std::string reasoning, text;
  std::vector<ToolCallDelta> calls;  // whole ones
  std::vector<TokenLogprobs> logprobs, prompt_logprobs;
  size_t logprob_characters = 0;  // of the tokens whose log-probabilities were written

  void add(CompletionEvent event);
};

// Which log-probabilities an answer has, and how many alternatives with each token at most; -1: none.
struct LogprobsAsked {
  int64_t answer = -1;
  int64_t prompt = -1;  // in a list of its own (whole answers)
  bool echo = false;    // the prompt's before the answer's
};

const char* finish_reason_name(FinishReason reason);
io::JsonValue usage_json(const CompletionUsage& usage);
// As llama-server names them. Rates are of tokens after the first, which the prompt's time has paid for.
io::JsonValue timings_json(const CompletionUsage& usage, const CompletionTimings& timings);

// A choice of a whole answer.
io::JsonValue completion_choice(size_t index, ChoiceAnswer& answer, FinishReason reason,
                                const LogprobsAsked& asked);
// As vLLM has them: a list of objects by token id, null for the first token.
io::JsonValue prompt_logprobs_json(const std::vector<TokenLogprobs>& list, int64_t most);
io::JsonValue chat_choice(size_t index, const ChoiceAnswer& answer, FinishReason reason, bool logprobs);

// The choices of the chunks that an event makes; `reason` null: it goes on. `answer` keeps count.
std::vector<io::JsonValue> completion_chunks(size_t index, const CompletionEvent& event, ChoiceAnswer& answer,
                                             const LogprobsAsked& asked);
std::vector<io::JsonValue> chat_chunks(size_t index, const CompletionEvent& event, bool logprobs);
io::JsonValue completion_chunk(size_t index, std::string_view text);  // of text alone
io::JsonValue chat_role_chunk(size_t index);

// An answer of /infill, or with `reason` null a piece of one, as llama-server writes them.
io::JsonValue infill_answer(std::string_view model, std::string_view text, const CompletionUsage& usage,
                            const FinishReason* reason);

}  // namespace hoist::http
