// Speed of a training step of GPT-2: forward, backward and AdamW, as `hoist train` runs it.
#pragma once

#include <string>
#include <vector>

#include "base/function_ref.h"
#include "bench/command_peer.h"
#include "bench/row.h"

namespace hoist::bench {

struct TrainOptions {
  std::string shape = "gpt2-124m", dtype = "f32";  // f32 or bf16 (with f32 masters)
  int64_t batch = 4, seq = 64;
  int threads = 0, rounds = 5;
  int64_t memory_bytes = 0;        // of the bandwidth ceiling's walk; 0: far more than the caches hold
  std::vector<CommandPeer> peers;  // of the row "train"
};

// Row "train", in tokens per second. Its ceiling is the linear layers' operations (6 x weights x tokens, the
// vocabulary layer among them; attention's products are not counted) at the peak of the dtype, plus the bytes
// of AdamW and of the norms at the read and write bandwidths. Throws Error.
Row measure_train(const TrainOptions& options, FunctionRef<void(const std::string&)> note);

}  // namespace hoist::bench
