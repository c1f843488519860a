// Speed of generation through the product's engine: how fast prompts are read and tokens come.
#pragma once

#include <string>
#include <vector>

#include "base/function_ref.h"
#include "bench/command_peer.h"
#include "bench/row.h"

namespace hoist::bench {

struct GenerateOptions {
  std::string shape = "llama-1.1b", quant = "bf16";
  std::string model;  // a model folder instead of a shape with random weights; `quant` is then what it stores
  int64_t prompt = 256, tokens = 32, streams = 1;
  int64_t context = 0;  // tokens before the first one that decode measures; 0: the prompt
  int64_t step_tokens = 256;
  std::string cache = "f32";  // dtype of keys and values
  int threads = 0, rounds = 3;
  int64_t memory_bytes = 0;        // of the bandwidth ceiling's walk; 0: far more than the caches hold
  std::vector<CommandPeer> peers;  // of the rows "prompt" and "decode"
};

// Rows "prompt" and "decode", in tokens per second over all streams.
//   prompt: `streams` prompts at once, to the first token of each. Its ceiling counts the linear layers'
//   operations alone (2 x weights x tokens, the vocabulary layer on one row per prompt) at the peak of the
//   arithmetic used.
//   decode: one token per stream and step, the first step left out. Its ceiling counts the bytes of the
//   weights (once per step) and of keys and values at the read bandwidth. Keys before the first measured
//   token are taken as they lie in the pools: their values do not change the work.
// `note` says what is being done. Throws Error.
std::vector<Row> measure_generate(const GenerateOptions& options, FunctionRef<void(const std::string&)> note);

}  // namespace hoist::bench
