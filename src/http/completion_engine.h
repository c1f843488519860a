// What the API needs of whatever generates text: the seam between sockets and models.
//
// The server never sees a tensor and the engine never sees a socket. Templates, tokenizers and grammars lie
// behind this seam: requests carry them as text. An engine runs on threads of its own; every call here is
// made on the server's io thread and must not wait for them.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace hoist::http {

enum class ToolChoice : uint8_t { kAuto, kNone, kRequired, kNamed };

struct Tool {
  std::string name;
  std::string parameters;  // JSON schema of its arguments, as text; never empty
};

// A conversation that the model's chat template makes a prompt of. JSON is text here.
struct ChatPrompt {
  // A list of {role, content, ...} as templates expect it: every content a string, arguments of earlier tool
  // calls objects.
  std::string messages;
  std::string tools_json;   // the list as the client wrote it; empty: none
  std::vector<Tool> tools;  // the same, read
  ToolChoice choice = ToolChoice::kAuto;
  std::string tool_name;  // with kNamed: one of `tools`
  bool parallel_tool_calls = true;
  bool continue_final_message = false;  // the answer goes on with the last message
  bool add_generation_prompt = true;
  bool parse_reasoning = true;  // <think>...</think> is told apart from the answer
  std::string variables;        // an object of further variables for the template; empty: none
};

// What the answer is kept within.
struct AnswerFormat {
  enum class Kind : uint8_t { kFree, kJsonObject, kJsonSchema, kRegex, kGrammar, kChoice };
  Kind kind = Kind::kFree;
  std::string text;                  // the schema, expression or grammar
  std::vector<std::string> choices;  // with kChoice
  std::string field;                 // of the request: for messages
};

// Another file that a model sees which fills in.
struct InfillFile {
  std::string name, text;
};

// One prompt to continue, `n` times. Every number has been range-checked when the engine sees it.
struct CompletionRequest {
  static constexpr int64_t kAsManyAsFit = INT32_MAX;

  // The prompt: chat if there is one, else prompt_ids if there are any, else prompt.
  std::string prompt;                      // UTF-8, may be empty
  std::vector<int64_t> prompt_ids;         // >= 0; the engine checks them against its vocabulary
  std::shared_ptr<const ChatPrompt> chat;  // may be null
  std::optional<std::string> suffix;       // with `prompt`: what comes behind the completion
  std::vector<InfillFile> extra;  // with `suffix`: seen before it; the first go where there is no room

  int64_t n = 1;  // choices; choice i draws with seed + i
  // >= 0; also ends (kLength) where the context is full. With 0 the prompt is read and nothing said.
  int64_t max_tokens = 16;
  int64_t min_tokens = 0;                              // no end of text and no stop before
  double temperature = 1.0;                            // 0: greedy
  double top_p = 1.0;                                  // (0, 1]
  int64_t top_k = 0;                                   // 0: all
  double min_p = 0.0;                                  // [0, 1]
  double repeat_penalty = 1.0;                         // 1: none
  double presence_penalty = 0, frequency_penalty = 0;  // [-2, 2]
  std::vector<std::pair<int64_t, double>> logit_bias;  // token, [-100, 100]
  std::optional<uint64_t> seed;                        // absent: the engine draws one
  std::vector<std::string> stop;                       // ends before the first of these; none is empty
  std::vector<int64_t> stop_token_ids;
  bool ignore_eos = false;
  int64_t logprobs = -1;         // alternatives listed with each token; -1: no log-probabilities
  int64_t prompt_logprobs = -1;  // the same of the prompt's tokens; each choice has its own
  bool echo = false;             // with prompt_ids: the first event has their text
  AnswerFormat format;
  int64_t priority =
      0;  // 32 bits; lower runs earlier. Other than 0 it is refused by engines that have no such order
  uint64_t scope = 0;    // what was computed for one scope is never reused for another
  std::string model;     // empty: the first; else one that models() lists
  int64_t adapter = -1;  // the slot of one within the model; set on the way to its engine
};

enum class FinishReason { kStop, kLength, kToolCalls, kError };

struct CompletionUsage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt's: taken from a prefix computed before
};

// Wall-clock times of one choice.
struct CompletionTimings {
  double prompt_ms = 0;     // from the engine's taking the request to the first token
  double predicted_ms = 0;  // from the first token to the last
};

struct TokenText {
  std::string bytes;  // what the token writes; may be part of a character
  double logprob = 0;
  int64_t id = -1;
};
struct TokenLogprobs {
  TokenText chosen;
  std::vector<TokenText> top;  // most likely first
  int64_t rank = 0;            // of the chosen one, from 1 on
  bool known = true;           // false: a prompt's first token, which has no log-probability and no others
  size_t hidden = 0;  // bytes at its front that the text does not hold, as of one put before a prompt
};

// A piece of a tool call. The first of a call has its id and name; the arguments are joined.
struct ToolCallDelta {
  int64_t index = 0;
  std::string id, name, arguments;
};

// For each choice: deltas, then exactly one finished event; nothing after it. A text delta is whole UTF-8
// code points and never holds a stop string or a part of one that may still complete: the engine holds such
// text back. Within an event, reasoning comes before text and text before tool calls.
struct CompletionEvent {
  int64_t choice = 0;
  std::string reasoning;  // may be empty, as the others; the finishing event may carry the last ones
  std::string text;
  std::vector<ToolCallDelta> tool_calls;
  std::vector<TokenLogprobs> logprobs;  // of the tokens since the last event
  // Of the prompt's next tokens, if asked for; all of them come before anything else that the choice says.
  std::vector<TokenLogprobs> prompt_logprobs;
  std::string
      prompt_text;  // in the first event of a request, which says nothing else (CompletionRequest::echo)
  CompletionUsage usage;  // so far
  std::optional<CompletionTimings> timings;
  bool finished = false;
  FinishReason reason = FinishReason::kStop;
  ErrorCode error_code = ErrorCode::kUnavailable;  // with kError
  std::string error;                               // with kError: shown to the client
  // With kError, as the first event of a request: it was refused after all; what submit would have thrown.
  // Ends all its choices.
  std::exception_ptr refused;
};

// Called on threads of the engine, in order; must return quickly and not throw.
using CompletionSink = std::function<void(CompletionEvent event)>;

// An Error that names the field of the request to blame.
class FieldError : public Error {
 public:
  FieldError(ErrorCode code, std::string field, const std::string& message)
      : Error(code, field + ": " + message), field_(std::move(field)) {}
  const std::string& field() const { return field_; }

 private:
  std::string field_;
};

// The prompt leaves no room for one token. Both numbers are in the message.
class ContextLengthError : public Error {
 public:
  ContextLengthError(int64_t prompt_tokens, int64_t context_tokens)
      : Error(ErrorCode::kInvalidArgument, "prompt: found " + std::to_string(prompt_tokens) +
                                               " tokens, expected fewer than the context of " +
                                               std::to_string(context_tokens) + " tokens") {}
};

// This model cannot do it, whatever the request says (answered 501).
class NotSupportedError : public Error {
 public:
  explicit NotSupportedError(const std::string& message) : Error(ErrorCode::kUnsupported, message) {}
};

struct ModelInfo {
  std::string id;
  int64_t max_model_len = 0;  // tokens of prompt and completion together
  int64_t created = 0;        // seconds since 1970
  // 0 and empty: not known.
  std::string architecture;
  int64_t vocabulary = 0, train_context = 0, width = 0, layers = 0, parameters = 0;
  bool chat = false, infill = false;
  std::string parent;  // of an adapter: the model it changes
  bool loaded = true;  // false: the next request loads it
};

struct TokenizeRequest {
  std::string text;
  std::shared_ptr<const ChatPrompt> chat;  // instead of text
  std::optional<bool> add_special_tokens;  // absent: for texts, and not for chats, whose templates write them
  std::string model;                       // as CompletionRequest's
};

struct DetokenizeRequest {
  std::vector<int64_t> ids;
  std::string model;
};

struct TokenizeResult {
  std::string text;  // what was tokenized: of a chat, the rendered prompt
  std::vector<int64_t> ids;
  std::vector<std::string> pieces;  // the bytes each writes; a special token's name
  std::exception_ptr error;         // then nothing else
};

enum class EngineState {
  kLoading,
  kReady,
  kStalled  // has work and makes no progress
};

class CompletionEngine {
 public:
  using Handle = uint64_t;
  virtual ~CompletionEngine() = default;
  virtual EngineState state() const { return EngineState::kReady; }
  virtual ModelInfo info() const = 0;  // of the first model
  virtual std::vector<ModelInfo> models() const { return {info()}; }
  // Refusals are thrown, or come as the first event (CompletionEvent::refused): ContextLengthError;
  // Error(kInvalidArgument) for a token id outside the vocabulary, or for an empty prompt where the model has
  // no token to begin with; FieldError; NotSupportedError; Error(kResourceExhausted) when the queue is full
  // (answered 429). After a throw the sink is never called.
  virtual Handle submit(CompletionRequest request, CompletionSink sink) = 0;
  // Stops all choices at the next step; the sink may still be called until then, and is then dropped. Unknown
  // or finished handles are ignored.
  virtual void cancel(Handle handle) = 0;

  // Text to tokens and back. `done` is called once, on any thread, unless this throws.
  virtual void tokenize(TokenizeRequest, std::function<void(TokenizeResult)>) {
    throw NotSupportedError("this engine has no tokenizer");
  }
  virtual void detokenize(DetokenizeRequest, std::function<void(TokenizeResult)>) {
    throw NotSupportedError("this engine has no tokenizer");
  }
};

}  // namespace hoist::http
