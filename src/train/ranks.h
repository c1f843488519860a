// Ranks: one training job as one or several ranks, each a thread with its own states, plans and thread pool.
//
// A whole tensor goes in and comes out here: shards are cut and joined by the plan's shardings, so that
// checkpoints and fresh weights do not know how many ranks there are.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "comm/group.h"
#include "models/lm.h"
#include "passes/pipeline.h"
#include "runtime/executor.h"
#include "runtime/plan_cache.h"

namespace hoist::train {

struct RanksOptions {
  passes::Strategy strategy;
  int threads = 0;  // of each rank; 0: the cores, shared among ranks
  plan::BuildOptions build;
  // Bytes for states and arenas of all ranks; what does not fit has its home in a file without a name in
  // `disk_folder`. 0: no limit, no disk.
  int64_t memory = 0;
  std::string disk_folder = ".";
  runtime::Trace* trace = nullptr;  // of rank 0
};

class Ranks {
 public:
  explicit Ranks(const RanksOptions& options);
  ~Ranks();

  int size() const { return static_cast<int>(ranks_.size()); }
  // Adds a program that every rank can run; returns its number. Programs share one arena per rank.
  int add(const ir::Graph& global);
  // Allocates arenas and states. Call once, after the last add().
  void prepare();

  // Inputs are whole tensors of i32 or f32, cut for each rank; they must stay valid during run().
  void set_input(int program, std::string_view name, const void* whole);
  // Runs the program on every rank. A failing rank ends them all: throws Error naming it.
  void run(int program);
  // A replicated output of the last run (rank 0's).
  kernels::TensorView output(int program, std::string_view name) const;

  // Whole states, by name: `whole` has the global type's bytes. Under a budget the arenas are given back
  // until the next run.
  void write_state(const std::string& name, const void* whole);
  void read_state(const std::string& name, void* whole) const;
  // For one rank: the state's own memory; nullptr when it is split or moves between memory and disk.
  std::byte* direct(const std::string& name) const;
  std::vector<std::string> state_names() const;
  ir::Role role(const std::string& name) const;
  const ir::Type& global_type(const std::string& name) const;

  // Planned bytes of rank 0: states and arena.
  int64_t state_bytes() const;
  int64_t arena_bytes() const;
  // Of rank 0's disk tier; zeros without one.
  int64_t disk_bytes() const;
  device::DiskStats disk_stats() const;
  const plan::Plan& plan(int program) const;  // rank 0's

 private:
  struct Program;
  struct Rank;
  struct StateInfo {
    ir::Type type;
    passes::Sharding sharding;
  };
  void each_rank(FunctionRef<void(int)> body);
  void make_room(Rank& rank) const;

  RanksOptions options_;
  std::unique_ptr<comm::ThreadWorld> world_;
  std::vector<std::unique_ptr<Program>> programs_;
  std::vector<std::unique_ptr<Rank>> ranks_;
  std::vector<std::pair<std::string, StateInfo>> states_;
  const StateInfo& state(const std::string& name) const;
};

}  // namespace hoist::train
