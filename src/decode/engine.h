// Engine: generates tokens for many sequences at once, one step at a time. Single-threaded and free of locks;
// whoever needs threads wraps it (serve/async_engine.h).
//
// A step is one ragged batch on a flat token axis: one token of every sequence that is generating, then
// pieces of prompts, up to a token budget. A policy (sched/policy.h) decides who is in it: it may interrupt a
// sequence at any token, and take its keys and values away - dropped, to be computed again, or swapped to
// host memory or a file (kv_swap.h). What sequences computed is kept in the pools while there is room: a
// prompt that begins as an earlier one did, or as one under way does, is computed from where they part
// (block_pool.h). Tokens of a sequence depend on none of this: not on what shares its steps, how its prompt
// was cut, or how often it was interrupted (the law of order).
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/threads.h"
#include "decode/adapter.h"
#include "decode/block_pool.h"
#include "decode/draft.h"
#include "decode/kv_swap.h"
#include "decode/logprobs.h"
#include "decode/model.h"
#include "decode/sampler.h"
#include "decode/step_inputs.h"
#include "decode/token_filter.h"
#include "runtime/executor.h"
#include "runtime/plan_cache.h"
#include "sched/ledger.h"
#include "sched/policy.h"

namespace hoist::decode {

struct EngineOptions {
  int threads = 0;            // 0: one per core
  int64_t max_seqs = 16;      // sequences in one step
  int64_t step_tokens = 256;  // tokens in one step
  // Rows of logits that a step has room for at least, for those of prompts
  // (SequenceRequest::prompt_logprobs); each takes 4 bytes times the vocabulary. What sequences do not sample
  // from is used for them anyway.
  int64_t prompt_rows = 0;
  int64_t context = 0;       // longest sequence in tokens; 0: the model's own limit, at most 8192
  int64_t cache_tokens = 0;  // KV pool; 0: max_seqs x context, at most a quarter of the machine's memory
  // Bytes for the whole process: the pool gets what the rest leaves, and the context is cut to it; 0: no such
  // promise.
  int64_t memory = 0;
  int64_t swap_bytes = 0;   // for KV that policies take off the pools; 0: none, it is computed again
  std::string swap_folder;  // where that lies in a file; empty: in memory
  sched::PolicySpec policy{"fcfs", {}};
  // Of this model here, for policies that count in time; all zero: measured when such a policy is made.
  sched::StepCost cost;
  std::function<double()> clock;  // seconds that policies see; empty: the steady clock
  int64_t block = 16;             // tokens per KV block
  DType cache = DType::f32;
  int64_t speculate = 0;          // most tokens guessed ahead for a sequence in a step (draft.h); 0: none
  const Model* draft = nullptr;   // which guesses them; null: prompt lookup
  models::AdapterShape adapters;  // room for LoRA adapters
  bool prefix_cache = true;       // keep and reuse what prompts have in common
  bool weights_as_stored = true;  // false: f32
  bool pack = true;               // matrices in panels, which products are fastest from; same bits when f32
  plan::BuildOptions build;
  runtime::Trace* trace = nullptr;
};

// What servers give EngineOptions::prompt_rows.
inline constexpr int64_t kServedPromptRows = 32;

struct SequenceRequest {
  std::vector<int32_t> prompt;  // not empty
  SamplingParams sampling;
  int64_t max_tokens = 16;                       // also ends where the context is full
  int64_t known_length = sched::kUnknownLength;  // of the answer, for policies that ask an oracle
  bool ignore_eos = false;
  std::vector<int32_t> stop_tokens;  // end the sequence as an end of text does, whatever ignore_eos says
  int64_t min_tokens = 0;  // neither kind of end comes before, unless a grammar has nothing else left
  int64_t logprobs = -1;   // so many alternatives with each token's log-probability; -1: none at all
  // The same of the prompt's tokens from the second on. Every row of the prompt is then computed once,
  // whatever the prefix cache holds; it is read in pieces of as many tokens as there are rows of logits.
  int64_t prompt_logprobs = -1;
  std::shared_ptr<Guide> guide;  // keeps the answer within a grammar; one sequence's own; may be null
  int64_t adapter = -1;          // the slot of one (Engine::set_adapter); -1: none
  uint64_t scope = 0;            // prefixes are shared only within one: a tenant, an adapter
  int32_t tenant = 0;            // those of several take turns (sched/fair_share.h)
  int32_t priority = 0;          // lower runs earlier, where the policy is `priority`
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
  // Of the prompt's next tokens, if asked for. Such an event has no token, and all of them come before the
  // first that has.
  std::vector<StepLogprobs> prompt_logprobs;
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
  int64_t computed_tokens = 0;    // rows of all steps
  int64_t prompt_tokens = 0;      // of those, tokens of prompts computed for the first time
  int64_t recomputed_tokens = 0;  // of those, computed before and dropped
  int64_t generated_tokens = 0;
  int64_t reused_tokens = 0;                        // of prompts, taken from other sequences
  int64_t drafted_tokens = 0, accepted_tokens = 0;  // guesses that were checked, and that held
  int64_t preemptions = 0;                          // a sequence ran, could run on, and was made to wait
  int64_t drops = 0, swaps_out = 0, swaps_in = 0;   // of sequences
  int64_t lost_swaps = 0;                           // by a file that failed; computed again
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

  bool idle() const { return slots_.empty(); }
  bool settling() const { return swap_ && swap_->busy(); }  // transfers are under way, of the cancelled too
  int64_t queued() const { return ledger_->state().waiting; }  // nothing of it is computed yet
  int64_t active() const { return static_cast<int64_t>(slots_.size()) - queued(); }
  int64_t context() const { return context_; }
  // Tokens of prompt and answer that one sequence may have: the context, or all of a smaller cache.
  int64_t longest() const { return std::min(context_, shape_.blocks * shape_.block); }
  int64_t free_blocks() const { return pool_->available(); }
  int64_t total_blocks() const { return pool_->total(); }
  int64_t kept_blocks() const { return pool_->kept(); }  // free, but for what they hold
  int64_t swap_blocks() const { return swap_ ? swap_->blocks() : 0; }
  int64_t free_swap_blocks() const { return swap_ ? swap_->free() : 0; }
  double swap_block_seconds() const { return swap_ ? swap_->block_seconds() : 0; }
  const sched::PolicySpec& policy() const { return options_.policy; }
  const EngineCounters& counters() const { return counters_; }
  const MemoryPlan& memory() const { return memory_; }
  const runtime::RunStats& stats() const { return executor_->stats(); }
  const plan::Plan& plan() const { return executor_->plan(); }
  // What the last step held, and how long it took; for cost models.
  const sched::StepSample& last_step() const { return last_step_; }
  // Reads an adapter for this model, from any thread; throws Error. Takes no slot.
  std::unique_ptr<Adapter> load_adapter(const std::string& folder) const;
  // Puts an adapter into a slot (null: empties it). What sequences of the slot computed before is not reused
  // after. Throws Error while a sequence uses the slot.
  void set_adapter(int64_t slot, const Adapter* adapter);

  // Runs steps of random content and fits their cost. Only while idle; takes about a second, and empties the
  // prefix cache.
  sched::StepCost measure_cost();

 private:
  struct Sequence {
    uint64_t id;
    SequenceRequest request;
    std::vector<int32_t> tokens;  // prompt and generated
    std::vector<int32_t> blocks;  // of the device
    int64_t reused = 0;           // tokens of the prompt computed by others
    int64_t known = 0;            // blocks that the pool knows
    int64_t reached = 0;          // most tokens that were computed; below, they are computed again
    int64_t limit = 0;            // tokens.size() may not pass this
    int64_t told = 0;             // of the prompt's rows: their successors' log-probabilities were told
    DraftLength length;
    std::vector<int32_t> draft;  // guesses that this step checks
    int64_t prompt_tokens() const { return static_cast<int64_t>(request.prompt.size()); }
    bool tells() const { return request.prompt_logprobs >= 0 && told < prompt_tokens() - 1; }
  };
  Sequence& at(sched::Slot slot) { return *sequences_[static_cast<size_t>(slot)]; }
  const sched::Sequence& state(sched::Slot slot) const {
    return ledger_->state().sequences[static_cast<size_t>(slot)];
  }
  double now() const;
  ir::Graph serve_graph(const models::ServeShape& shape) const;
  int64_t fit_memory();
  void make_scheduler();
  void settle(bool wait);
  void carry_out();
  void hold_blocks(const sched::Work& work, bool fresh);
  void reuse(sched::Slot slot);
  bool may_reuse(const Sequence& s) const;
  void trim();
  int64_t most_tokens(const sched::Work& w, int64_t rows);
  int64_t prompt_rows(const sched::Work& w);
  bool tell_prompt(Sequence& s, int64_t rows, const float* logits, std::vector<TokenEvent>& events);
  void draft();
  bool sample(const sched::Work& w, const float* logits, std::vector<TokenEvent>& events, int64_t& extra);
  void publish(sched::Slot slot);
  void copy_block(int32_t from, int32_t to, int64_t tokens);
  void end(sched::Slot slot);
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
  std::vector<KvSwap::Pool> caches_;  // each state of keys or values
  std::unique_ptr<BlockPool> pool_;
  std::unique_ptr<KvSwap> swap_;  // may be absent
  std::unique_ptr<sched::Ledger> ledger_;
  std::unique_ptr<sched::Policy> policy_;
  std::unique_ptr<StepInputs> inputs_;
  std::unique_ptr<Drafter> drafter_;  // may be absent
  std::vector<Drafter::Ask> asks_;
  MemoryPlan memory_;
  std::vector<models::Parameter> parameters_;
  std::vector<models::AdapterTarget> adapter_targets_;
  std::vector<uint64_t> adapter_versions_;  // by slot
  EngineCounters counters_;
  Sampler sampler_;
  TokenFilter filter_;
  sched::Decision decision_;
  sched::StepSample last_step_;
  std::vector<std::unique_ptr<Sequence>> sequences_;  // by slot; null: vacant
  std::unordered_map<uint64_t, sched::Slot> slots_;   // by id, those not cancelled
  std::vector<KvSwap::Ended> ended_;
  uint64_t next_id_ = 1;
};

// The serving shape that `options` give for a model, and what memory it takes (used by `hoist inspect` too).
models::ServeShape serve_shape(const io::ModelConfig& config, DType stored, const EngineOptions& options);

}  // namespace hoist::decode
