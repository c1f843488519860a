// A model of random weights with a vocabulary, for the tests of serving: it says anything, at once.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "decode/model.h"
#include "http/completion_engine.h"
#include "serve/async_engine.h"

namespace hoist::serve {

struct TinyOptions {
  std::string chat_template;  // none when empty
  bool infill = false;        // has tokens to fill in with
  int64_t context = 512;
};

// Bytes, a few longer tokens, <s>, </s>, <think>, </think>, <tool_call>, </tool_call>, [TOOL_CALLS].
decode::Model tiny_model(const TinyOptions& options = {});

// A model, its engine and the threads around it.
struct Served {
  explicit Served(const TinyOptions& options = {}, AsyncOptions async_options = {}, int64_t seqs = 8);
  decode::Model model;
  decode::Engine engine;
  AsyncEngine async;
};

// What one choice said.
struct Said {
  std::string reasoning, text;
  std::vector<http::ToolCallDelta> calls;  // whole ones
  std::vector<http::TokenLogprobs> logprobs, prompt_logprobs;
  std::string prompt_text;
  http::CompletionUsage usage;
  http::FinishReason reason = http::FinishReason::kError;
  std::string error;
  bool timed = false;
};

// Submits and waits for all choices. A refusal is thrown.
std::vector<Said> ask(AsyncEngine& engine, http::CompletionRequest request);
Said ask_one(AsyncEngine& engine, http::CompletionRequest request);

// A prompt of bytes that no other test shares, and a chat of one message.
http::CompletionRequest text_request(std::string prompt, int64_t max_tokens);
http::CompletionRequest chat_request(std::string message, int64_t max_tokens, http::ChatPrompt chat = {});

extern const char* const kPlainTemplate;  // "<s>user: ...\nassistant:"

}  // namespace hoist::serve
