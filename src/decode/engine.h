// Engine: generates tokens for many sequences at once, one step at a time. Single-threaded and free of locks;
// whoever needs threads wraps it (serve/async_engine.h).
//
// A step is one ragged batch on a flat token axis: one token of every sequence that is generating, then
// pieces of waiting prompts in order of arrival, up to a token budget. Keys and values live in paged pools. A
// sequence is admitted when blocks for its whole length (prompt and longest answer) can be had, so that none
// is ever stopped. What sequences computed is kept while there is room: a prompt that begins as an earlier
// one did, or as one under way does, is computed from where they part (block_pool.h; the bits are the same,
// since they do not depend on what was computed together). Tokens of a sequence do not depend on what shares
// its steps, nor on how its prompt was cut (the law of order).
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/threads.h"
#include "decode/block_pool.h"
#include "decode/logprobs.h"
#include "decode/model.h"
#include "decode/sampler.h"
#include "decode/token_filter.h"
#include "runtime/executor.h"
#include "runtime/plan_cache.h"

namespace hoist::decode {

struct EngineOptions {
  int threads = 0;            // 0: one per core
  int64_t max_seqs = 16;      // sequences in one step
  int64_t step_tokens = 256;  // tokens in one step
  int64_t context = 0;        // longest sequence in tokens; 0: the model's own limit, at most 8192
  int64_t cache_tokens = 0;   // KV pool; 0: max_seqs x context, at most a quarter of the machine's memory
  int64_t block = 16;         // tokens per KV block
  DType cache = DType::f32;
  bool prefix_cache = true;       // keep and reuse what prompts have in common
  bool weights_as_stored = true;  // false: f32
  bool pack = true;               // matrices in panels, which products are fastest from; same bits when f32
  plan::BuildOptions build;
  runtime::Trace* trace = nullptr;
};

struct SequenceRequest {
  std::vector<int32_t> prompt;  // not empty
  SamplingParams sampling;
  int64_t max_tokens = 16;  // also ends where the context is full
  bool ignore_eos = false;
  std::vector<int32_t> stop_tokens;  // end the sequence as an end of text does, whatever ignore_eos says
  int64_t min_tokens = 0;        // neither kind of end comes before, unless a grammar has nothing else left
  int64_t logprobs = -1;         // so many alternatives with each token's log-probability; -1: none at all
  std::shared_ptr<Guide> guide;  // keeps the answer within a grammar; one sequence's own; may be null
  uint64_t scope = 0;            // prefixes are shared only within one: a tenant, an adapter
  // Benches: so many of the prompt's first tokens are taken to be in the cache already, whatever lies there.
  int64_t assumed = 0;
  // Called with the logits of every sampled position, first the last of the prompt; may be empty.
  std::function<void(std::span<const float>)> on_logits;
};

enum class Finish { kNone, kStop, kLength, kError };

struct TokenEvent {
  uint64_t id = 0;
  int32_t token = kNoToken;  // absent when an end-of-text token or an error ended the sequence
  Finish finish = Finish::kNone;
  int64_t prompt_tokens = 0, generated = 0;
  int64_t reused = 0;                    // of the prompt's tokens: not computed for this sequence
  std::optional<StepLogprobs> logprobs;  // of `token`, if asked for
  std::string error;
};

// What the plan says memory will be, before any of it is taken.
struct MemoryPlan {
  int64_t weights = 0, cache = 0, arena = 0, other = 0;
  int64_t total() const { return weights + cache + arena + other; }
};

// Since the engine was made.
struct EngineCounters {
  int64_t steps = 0;
  int64_t computed_tokens = 0;  // rows of all steps
  int64_t prompt_tokens = 0;    // of those, tokens of prompts
  int64_t reused_tokens = 0;    // of prompts, taken from other sequences
};

class Engine {
 public:
  Engine(const Model& model, const EngineOptions& options);
  ~Engine();

  // Throws Error when the request could never run (empty, too long, ids outside the vocabulary); else queues
  // it.
  uint64_t add(SequenceRequest request);
  // Unknown ids are ignored. No event follows.
  void cancel(uint64_t id);
  // Runs one step if there is work; appends what happened.
  void step(std::vector<TokenEvent>& events);

  bool idle() const { return waiting_.empty() && running_.empty(); }
  int64_t queued() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t active() const { return static_cast<int64_t>(running_.size()); }
  int64_t context() const { return context_; }
  // Tokens of prompt and answer that one sequence may have: the context, or all of a smaller cache.
  int64_t longest() const { return std::min(context_, shape_.blocks * shape_.block); }
  int64_t free_blocks() const { return pool_->available(); }
  int64_t total_blocks() const { return pool_->total(); }
  int64_t kept_blocks() const { return pool_->kept(); }  // free, but for what they hold
  const EngineCounters& counters() const { return counters_; }
  const MemoryPlan& memory() const { return memory_; }
  const runtime::RunStats& stats() const { return executor_->stats(); }
  const plan::Plan& plan() const { return executor_->plan(); }

 private:
  struct Sequence {
    uint64_t id;
    SequenceRequest request;
    std::vector<int32_t> tokens;  // prompt and generated
    std::vector<int32_t> blocks;
    int64_t computed = 0;  // tokens whose keys are in the pools
    int64_t reused = 0;    // of those, computed by others
    int64_t known = 0;     // blocks that the pool knows
    int64_t limit = 0;     // tokens.size() may not pass this
    int64_t prompt_tokens() const { return static_cast<int64_t>(request.prompt.size()); }
  };
  void admit();
  void reuse(Sequence& s);
  void publish(Sequence& s);
  void copy_block(int32_t from, int32_t to, int64_t tokens);
  bool accept(Sequence& s, std::span<const float> logits, TokenEvent& event);
  int32_t choose(Sequence& s, std::span<const float> logits, int64_t generated);

  const Model& model_;
  EngineOptions options_;
  int64_t context_ = 0;
  models::ServeShape shape_;
  std::unique_ptr<ThreadPool> threads_;
  std::unique_ptr<device::Device> device_;
  std::unique_ptr<runtime::StateStore> states_;
  std::unique_ptr<runtime::PlanCache> plans_;
  std::unique_ptr<runtime::Executor> executor_;
  std::unique_ptr<BlockPool> pool_;
  MemoryPlan memory_;
  EngineCounters counters_;
  std::vector<std::pair<std::byte*, int64_t>>
      caches_;  // each state of keys or values: data, bytes of a token
  Sampler sampler_;
  TokenFilter filter_;
  std::deque<Sequence> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;
  uint64_t next_id_ = 1;
  // Inputs of the plan, of full capacity.
  std::vector<int32_t> ids_, positions_, slots_, seqs_, tables_, rows_;
};

// The serving shape that `options` give for a model, and what memory it takes (used by `hoist inspect` too).
models::ServeShape serve_shape(const io::ModelConfig& config, DType stored, const EngineOptions& options);

}  // namespace hoist::decode
