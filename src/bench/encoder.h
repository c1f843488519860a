// Speed of an encoder on requests of many lengths: batches by dynamic programming against order of arrival,
// on the same ragged kernels.
#pragma once

#include <string>
#include <vector>

#include "base/function_ref.h"
#include "bench/command_peer.h"
#include "bench/row.h"

namespace hoist::bench {

struct EncoderBenchOptions {
  std::string shape = "bert-base";  // or tiny
  int64_t requests = 1000, shortest = 5, longest = 500;
  int64_t seed = 1;
  int64_t batch_tokens = 1024, batch_seqs = 16;  // of one batch
  int threads = 0, rounds = 1;                   // a round runs all requests once for each row
  bool single = true;                            // also one by one
  int64_t memory_bytes = 0;
  std::vector<CommandPeer> peers;  // of the row "encoder.dp", in requests per second
};

// Lengths that scripts/bench_torch_encoder.py draws too.
std::vector<int64_t> request_lengths(const EncoderBenchOptions& options);

// Rows in requests per second, all of them waiting when the clock starts: encoder.dp, encoder.arrival (as
// they came, batches as full as the limits allow), encoder.single; and encoder.dp.completion,
// encoder.arrival.completion, the mean time at which a request's answer is there, in seconds. Ceiling of the
// first three: the operations of the linear layers at the machine's peak. Throws Error.
std::vector<Row> measure_encoder(const EncoderBenchOptions& options,
                                 FunctionRef<void(const std::string&)> note);

}  // namespace hoist::bench
