// The server under load: what it accepts, found out by asking it, and the requests made of that.
//
// A generator that says "100 tokens in, 50 out" must be sure of both. Prompts are lists of token ids where
// the server takes them, else words measured to be one token each; answers are of exact length where it obeys
// ignore_eos (or min_tokens). probe() learns which, with a few short requests.
#pragma once

#include <string>
#include <vector>

#include "base/rng.h"
#include "load/http_client.h"

namespace hoist::load {

struct TargetOptions {
  Url url;
  std::string model;              // empty: the first that /v1/models lists
  std::vector<std::string> keys;  // tenant i uses key i modulo their number; empty: none
  int64_t max_token_id = -1;      // of prompts; -1: found out
  bool text_prompts = false;      // words even where ids are taken
  int64_t shared_prefix = 0;      // so many tokens begin every prompt: what a cache of prefixes is for
};

struct Target {
  TargetOptions options;
  std::string model;
  int64_t context = 0;  // what /v1/models says; 0: it does not
  bool ids = false;     // prompts are ids: low_id..high_id
  int64_t low_id = 0, high_id = 0;
  std::vector<std::string> words;  // else: each one token, after the first
  int64_t added_tokens = 0;        // to every prompt, by the server: a token of beginning
  std::string exact;               // "ignore_eos", "min_tokens", or empty: answers may end early
  bool usage = false;              // streams may end with "usage"

  // A few lines for people: what was found.
  std::vector<std::pair<std::string, std::string>> facts() const;
  // The whole HTTP request. `prompt_tokens` >= 1 as the server will count them, `number` decides which.
  std::string request(const CounterRng& rng, uint64_t number, int64_t prompt_tokens, int64_t output_tokens,
                      int32_t tenant, bool stream = true) const;
  const std::string& key(int32_t tenant) const;
};

// Throws Error: kUnavailable when it does not answer, kInvalidArgument when it refuses what every server of
// completions takes (with its own words).
Target probe(HttpClient& client, const TargetOptions& options);

}  // namespace hoist::load
