// What an engine on its own thread lets others see: numbers as of its last step.
#pragma once

#include <cstdint>

namespace hoist::serve {

struct EngineLoad {
  bool busy = false;                          // has work, in a step or before one
  int64_t steps = 0;                          // since it was made
  int64_t rows = 0;                           // computed in all of them: tokens of prompts and of answers
  int64_t reused_tokens = 0;                  // of prompts: not computed, since others' were at hand
  int64_t total_blocks = 0, free_blocks = 0;  // of the KV cache
};

}  // namespace hoist::serve
