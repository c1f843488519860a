// What the completions API needs of whatever generates text: the seam between sockets and models.
//
// The server never sees a tensor and the engine never sees a socket. An engine runs on its own thread; submit
// and cancel are called on the server's io thread and must not wait for a step.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace hoist::http {

// One sequence to continue. Every number has been range-checked when the engine sees it.
struct CompletionRequest {
  std::string prompt;               // UTF-8, may be empty; used when prompt_ids is empty
  std::vector<int64_t> prompt_ids;  // >= 0; the engine checks them against its vocabulary
  int64_t max_tokens = 16;          // >= 1; also ends (kLength) where the context is full
  double temperature = 1.0;         // 0: greedy
  double top_p = 1.0;               // (0, 1]
  int64_t top_k = 0;                // 0: all
  double min_p = 0.0;               // [0, 1]
  double repeat_penalty = 1.0;      // 1: none
  std::optional<uint64_t> seed;     // absent: the engine draws one
  std::vector<std::string> stop;    // generation ends before the first of these; none is empty
  uint64_t scope = 0;               // what was computed for one scope is never reused for another
};

enum class FinishReason { kStop, kLength, kError };

struct CompletionUsage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt's: taken from a prefix computed before
};

// Text deltas, then exactly one finished event; nothing after it. A delta is whole UTF-8 code points and
// never holds a stop string or a part of one that may still complete: the engine holds such text back.
struct CompletionEvent {
  std::string text;       // may be empty; the finishing event may carry the last text
  CompletionUsage usage;  // so far
  bool finished = false;
  FinishReason reason = FinishReason::kStop;
  ErrorCode error_code = ErrorCode::kUnavailable;  // with kError
  std::string error;                               // with kError: shown to the client
};

// Called on the engine's thread, in order; must return quickly and not throw.
using CompletionSink = std::function<void(CompletionEvent event)>;

// submit() throws this when the prompt leaves no room for one token. Both numbers are in the message.
class ContextLengthError : public Error {
 public:
  ContextLengthError(int64_t prompt_tokens, int64_t context_tokens)
      : Error(ErrorCode::kInvalidArgument, "prompt: found " + std::to_string(prompt_tokens) +
                                               " tokens, expected fewer than the context of " +
                                               std::to_string(context_tokens) + " tokens") {}
};

struct ModelInfo {
  std::string id;
  int64_t max_model_len = 0;  // tokens of prompt and completion together
  int64_t created = 0;        // seconds since 1970
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
  virtual ModelInfo info() const = 0;
  // Throws ContextLengthError; Error(kInvalidArgument) for a token id outside the vocabulary, or for an empty
  // prompt where the model has no token to begin with;
  // Error(kResourceExhausted) when the queue is full (answered 429). After a throw the sink is never called.
  virtual Handle submit(CompletionRequest request, CompletionSink sink) = 0;
  // Stops at the next step; the sink may still be called until then, and is then dropped. Unknown or finished
  // handles are ignored.
  virtual void cancel(Handle handle) = 0;
};

}  // namespace hoist::http
