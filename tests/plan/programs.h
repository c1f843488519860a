// Whole programs for tests of passes, plans and the runtime: tiny models, values to bind, and ways to run a
// graph.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "io/model_config.h"
#include "models/lm.h"
#include "passes/pipeline.h"
#include "plan/build.h"
#include "runtime/executor.h"
#include "runtime/interpret.h"

namespace hoist::testing {

using runtime::Bindings;
using runtime::HostTensor;
using runtime::LiveLengths;

// Vocabulary 24, width 16, 4 heads of 4 (2 for keys and values unless gpt2), feed-forward 24.
io::ModelConfig tiny_config(io::Family family, int64_t layers = 2);

// The model's training step, optimizer and all; microbatches of it when more than one.
passes::TrainGraphs tiny_training(const io::ModelConfig& config, const models::TrainShape& shape,
                                  int microbatches = 1, const passes::OptimizerSpec& spec = {});
models::ServeShape tiny_serve_shape();

// Values for every input and state of a graph that make sense for it: token ids in range, a batch of three
// sequences for a serving graph, moments of the right sign. The same for the same seed.
Bindings draw_inputs(const ir::Graph& graph, uint64_t seed);
Bindings draw_states(const ir::Graph& graph, uint64_t seed);

struct Ran {
  Bindings outputs;  // all of the capacity; behind the live length, zeros
  Bindings states;   // after the run
  runtime::RunStats stats;
  int64_t disk_read = 0, disk_written = 0;  // bytes that all runs moved
};

struct RunOptions {
  LiveLengths live;
  int threads = 1;
  runtime::Trace* trace = nullptr;
  int runs = 1;
};
Ran run_plan(const plan::Plan& plan, const Bindings& inputs, const Bindings& states,
             const RunOptions& options = {});

const kernels::KernelTable& cpu();
// Built for `table` (cpu() by default) on one rank.
plan::Built build_plan(const ir::Graph& graph, const plan::CompileOptions& options = {},
                       const kernels::KernelTable& table = cpu());

// Cuts the values by the strategy, runs one thread per rank, and puts the states together again. Throws what
// a rank threw. Also checks (EXPECT) that ranks that hold the same part of a state or output hold the same
// bits.
Ran run_ranks(const ir::Graph& graph, const passes::Strategy& strategy, const Bindings& inputs,
              const Bindings& states);

// Expect the same names, and each value within the tolerance (relative to the tensor's largest); nullptr:
// equal bits.
void expect_equal_values(const Bindings& got, const Bindings& want, const double* tolerance = nullptr);

// The message of the hoist::Error that `body` throws; "no error" if it throws none.
std::string error_of(const std::function<void()>& body);

}  // namespace hoist::testing
