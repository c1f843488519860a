#include "decode/engine.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/check.h"
#include "base/error.h"

namespace hoist::decode {

namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t kDefaultContext = 8192;
constexpr int64_t kLeastContext = 256;                // of a fitted pool, in tokens
constexpr int64_t kProcessBytes = int64_t{64} << 20;  // code, tokenizer, connections, allocator

int64_t context_of(const io::ModelConfig& config, const EngineOptions& options) {
  const int64_t longest = config.longest_context();
  int64_t context = options.context > 0 ? options.context : std::min(config.usual_context(), kDefaultContext);
  if (context > longest)
    throw_invalid("context: found " + std::to_string(context) + ", expected at most the model's " +
                  std::to_string(longest));
  return context;
}

// Bytes of a plan by what they are for.
MemoryPlan memory_of(const plan::Plan& plan) {
  MemoryPlan m;
  for (const plan::StateSlot& s : plan.states)
    (s.role == ir::Role::kCache ? m.cache : m.weights) += s.type.bytes();
  m.arena = plan.arena_bytes;
  return m;
}

}  // namespace

models::ServeShape serve_shape(const io::ModelConfig& config, DType stored, const EngineOptions& o) {
  models::ServeShape s;
  int64_t context = context_of(config, o);
  s.tokens = std::max(o.step_tokens, o.max_seqs);
  s.seqs = s.rows = o.max_seqs;
  // A sequence that guesses wants the logits of each guess.
  if (o.speculate > 0) s.rows = std::min(s.tokens, o.max_seqs * (1 + o.speculate));
  s.rows = std::max(s.rows, std::min(s.tokens, o.prompt_rows));
  s.block = o.block;
  s.seq_blocks = ceil_div(context, o.block);
  s.context = context;
  int64_t tokens = o.cache_tokens;
  if (tokens <= 0) {
    int64_t afford = Topology::detect().memory_bytes / 4 /
                     std::max<int64_t>(1, models::cache_bytes_per_token(config, o.cache));
    tokens = std::max(context, std::min(o.max_seqs * context, afford));
  }
  s.blocks = std::max(ceil_div(tokens, o.block), int64_t{1});
  s.dtype = o.weights_as_stored ? stored : DType::f32;
  s.cache = o.cache;
  return s;
}

Engine::Engine(const Model& model, const EngineOptions& options) : model_(model), options_(options) {
  context_ = context_of(model.config, options);
  shape_ = serve_shape(model.config, model.stored_dtype(), options);
  ThreadPoolOptions pool;
  pool.threads = options.threads;
  threads_ = std::make_unique<ThreadPool>(pool);
  device_ = device::make_cpu_device();
  options_.build.compile.threads = threads_->threads();
  plans_ = std::make_unique<runtime::PlanCache>(kernels::cpu_table(kernels::best_isa()), options_.build);
  parameters_ = models::parameters(model.config, shape_.dtype, DType::f32);
  if (options.pack)
    parameters_ = models::in_panels(std::move(parameters_), [&](const models::Parameter& p) {
      return options.weights_as_stored ? model.block_format(p) : Symbol();
    });
  if (options.memory > 0) shape_.blocks = fit_memory();
  const plan::Plan& plan = plans_->get(serve_graph(shape_)).plan;
  inputs_ = std::make_unique<StepInputs>(shape_, model.config, options.adapters.slots);
  memory_ = memory_of(plan);
  memory_.other = inputs_->bytes() + 9 * model.config.vocab;
  if (options.swap_folder.empty()) memory_.other += options.swap_bytes;
  states_ = std::make_unique<runtime::StateStore>(*device_);
  states_->declare(plan);
  load_weights(model, parameters_, *states_);
  if (options.adapters.slots > 0) {
    adapter_targets_ = models::adapter_targets(parameters_, options.adapters);
    adapter_versions_.resize(static_cast<size_t>(options.adapters.slots));
    for (int64_t slot = 0; slot < options.adapters.slots; ++slot) set_adapter(slot, nullptr);
  }
  executor_ = std::make_unique<runtime::Executor>(
      plan, runtime::ExecutorContext{*device_, *threads_, *states_, {}, options.trace, nullptr});
  inputs_->bind(*executor_);
  for (const plan::StateSlot& s : plan.states)
    if (s.role == ir::Role::kCache)
      caches_.push_back({states_->data(s.name), s.type.bytes() / shape_.blocks});
  make_scheduler();
  if (options_.speculate > 0) {
    EngineOptions of_draft = options_;
    of_draft.context = context_;
    drafter_ = options_.draft ? make_model_drafter(model, *options_.draft, of_draft) : make_prompt_lookup();
  }
}

Engine::~Engine() = default;

double Engine::now() const {
  if (options_.clock) return options_.clock();
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

ir::Graph Engine::serve_graph(const models::ServeShape& shape) const {
  ir::Graph g = models::serve_graph(model_.config, shape, parameters_);
  return options_.adapters.slots > 0 ? models::add_adapters(g, parameters_, options_.adapters) : g;
}

std::unique_ptr<Adapter> Engine::load_adapter(const std::string& folder) const {
  if (options_.adapters.slots == 0) throw_invalid(folder + ": this server has no room for adapters");
  return decode::load_adapter(folder, parameters_, options_.adapters);
}

void Engine::set_adapter(int64_t slot, const Adapter* adapter) {
  HOIST_CHECK(slot >= 0 && slot < options_.adapters.slots, "no such adapter slot");
  for (const auto& [id, s] : slots_)
    if (at(s).request.adapter == slot)
      throw Error(ErrorCode::kUnavailable, "adapter slot " + std::to_string(slot) + " is in use");
  for (const models::AdapterTarget& t : adapter_targets_)
    fill_adapter_slot(adapter, t, slot, reinterpret_cast<float*>(states_->data(t.down)),
                      reinterpret_cast<float*>(states_->data(t.up)));
  ++adapter_versions_[static_cast<size_t>(slot)];
}

// Blocks of the KV pool that `memory` has room for beside all else. Cuts the context to them.
int64_t Engine::fit_memory() {
  models::ServeShape least = shape_;
  least.blocks = 1;
  const plan::Plan& plan = plans_->get(serve_graph(least)).plan;
  const MemoryPlan m = memory_of(plan);
  const int64_t swap = options_.swap_folder.empty() ? options_.swap_bytes : 0;
  const int64_t needed = m.weights + m.arena +
                         StepInputs(shape_, model_.config, options_.adapters.slots).bytes() + swap +
                         kProcessBytes;
  const int64_t blocks = (options_.memory - needed) / m.cache,
                least_context = std::min(kLeastContext, context_);
  if (options_.memory < needed || blocks * shape_.block < least_context)
    throw Error(ErrorCode::kResourceExhausted,
                "memory: found " + std::to_string(options_.memory) + " bytes, expected at least " +
                    std::to_string(needed + ceil_div(least_context, shape_.block) * m.cache) + ": " +
                    std::to_string(m.weights) + " for weights, " + std::to_string(m.arena) +
                    " of work space, " + std::to_string(swap + kProcessBytes) + " for the rest, " +
                    std::to_string(m.cache) + " for every " + std::to_string(shape_.block) +
                    " tokens of keys and values");
  const int64_t wanted = options_.cache_tokens > 0 ? ceil_div(options_.cache_tokens, shape_.block)
                                                   : shape_.seqs * shape_.seq_blocks;
  const int64_t fitted = std::min(blocks, wanted);
  if (fitted * shape_.block < context_) {
    if (options_.context > 0)
      throw Error(ErrorCode::kResourceExhausted,
                  "context: found " + std::to_string(options_.context) + ", expected at most the " +
                      std::to_string(fitted * shape_.block) + " tokens that the memory has room for");
    context_ = shape_.context = fitted * shape_.block;
    shape_.seq_blocks = fitted;
  }
  return fitted;
}

void Engine::make_scheduler() {
  pool_ = std::make_unique<BlockPool>(shape_.blocks, shape_.block);
  int64_t bytes = 0;
  for (const KvSwap::Pool& c : caches_) bytes += c.block_bytes;
  const int64_t swap_blocks = options_.swap_bytes / std::max<int64_t>(1, bytes);
  if (swap_blocks > 0 && !caches_.empty())
    swap_ =
        std::make_unique<KvSwap>(caches_, std::min<int64_t>(swap_blocks, INT32_MAX), options_.swap_folder);
  sched::Limits limits;
  limits.max_seqs = shape_.seqs;
  limits.step_tokens = shape_.tokens;
  limits.block = shape_.block;
  auto make_ledger = [&] {
    ledger_ =
        std::make_unique<sched::Ledger>(limits, options_.cost, shape_.blocks, swap_ ? swap_->blocks() : 0,
                                        swap_ ? swap_->block_seconds() : 0);
  };
  make_ledger();
  // Those without queues never look at the cost of a step; of reading a prompt again they do, to bound it.
  if (options_.cost.row_seconds(1) == 0 && options_.policy.name != "fcfs") {
    options_.cost = measure_cost();
    make_ledger();
  }
  policy_ = sched::make_policy(options_.policy, options_.cost);
}

uint64_t Engine::add(SequenceRequest request) {
  request.sampling.check();
  const int64_t n = static_cast<int64_t>(request.prompt.size());
  if (n == 0) throw_invalid("prompt: found no tokens, expected at least one");
  if (n >= context_)
    throw_invalid("prompt: found " + std::to_string(n) + " tokens, expected fewer than the context of " +
                  std::to_string(context_));
  if (request.max_tokens < 1)
    throw_invalid("max_tokens: found " + std::to_string(request.max_tokens) + ", expected at least 1");
  if (request.guide && request.guide->mask_words() * 64 >= static_cast<size_t>(model_.config.vocab) + 64)
    throw_invalid("guide: found a vocabulary of more tokens than the model has");
  if (request.assumed < 0 || request.assumed >= n)
    throw_invalid("assumed: found " + std::to_string(request.assumed) +
                  ", expected fewer than the prompt's " + std::to_string(n) + " tokens");
  if (request.assumed > 0 && request.prompt_logprobs >= 0)
    throw_invalid("assumed: found together with prompt_logprobs, whose rows are all computed");
  for (int32_t id : request.prompt)
    if (id < 0 || id >= model_.config.vocab)
      throw_invalid("prompt: found token id " + std::to_string(id) + ", expected 0.." +
                    std::to_string(model_.config.vocab - 1));
  if (request.adapter < -1 || request.adapter >= options_.adapters.slots)
    throw_invalid("adapter: found slot " + std::to_string(request.adapter) + ", expected one of " +
                  std::to_string(options_.adapters.slots));
  // Keys and values are of one adapter, as it was when they were computed.
  if (request.adapter >= 0) {
    const uint64_t version = adapter_versions_[static_cast<size_t>(request.adapter)];
    request.scope = (request.scope * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(request.adapter) + 1) *
                        0xff51afd7ed558ccdu +
                    version;
  }
  auto s = std::make_unique<Sequence>();
  s->limit = request.max_tokens > context_ - n ? context_ : n + request.max_tokens;
  sched::Request r;
  r.id = s->id = next_id_;
  r.arrival = now();
  r.prompt_tokens = n;
  r.max_tokens = s->limit - n;
  r.output_tokens = request.known_length;
  r.tenant = request.tenant;
  r.priority = request.priority;
  ledger_->set_now(r.arrival);
  if (sched::admission(ledger_->state(), r) == sched::Refusal::kTooLong)
    throw_invalid("prompt and max_tokens: found " + std::to_string(s->limit) +
                  " tokens, expected at most the cache's " + std::to_string(shape_.blocks * shape_.block));
  s->tokens = request.prompt;
  s->request = std::move(request);
  const sched::Slot slot = ledger_->add(r);
  if (sequences_.size() <= static_cast<size_t>(slot)) sequences_.resize(static_cast<size_t>(slot) + 1);
  sequences_[static_cast<size_t>(slot)] = std::move(s);
  slots_[next_id_] = slot;
  policy_->add(ledger_->state(), slot);
  return next_id_++;
}

void Engine::cancel(uint64_t id) {
  if (const auto it = slots_.find(id); it != slots_.end()) end(it->second);
}

// Finished or cancelled. One whose keys and values are on their way keeps its place until they have arrived.
void Engine::end(sched::Slot slot) {
  Sequence& s = at(slot);
  const sched::KvPlace place = state(slot).place;
  slots_.erase(s.id);
  policy_->remove(slot);
  ledger_->remove(slot);
  if (place == sched::KvPlace::kLeaving || place == sched::KvPlace::kArriving) return;
  if (place == sched::KvPlace::kHost) swap_->discard(s.id);
  pool_->give(s.blocks);
  sequences_[static_cast<size_t>(slot)].reset();
}

// Transfers that ended; with `wait`, at least one of those under way.
void Engine::settle(bool wait) {
  if (!swap_) return;
  ended_.clear();
  swap_->ended(ended_, wait);
  for (const KvSwap::Ended& e : ended_) {
    size_t i = 0;
    while (!sequences_[i] || sequences_[i]->id != e.key) ++i;
    const sched::Slot slot = static_cast<sched::Slot>(i);
    const bool live = state(slot).live;
    ledger_->end_transfer(slot);
    if (!e.in || e.failed || !live) pool_->give(at(slot).blocks);
    if (!live) {
      swap_->discard(e.key);
      sequences_[i].reset();
    } else if (e.failed) {
      ledger_->drop(slot);
      ++counters_.lost_swaps;
    }
  }
}

// The decision up to the step itself (sched/state.h: Decision).
void Engine::carry_out() {
  counters_.preemptions += static_cast<int64_t>(decision_.preempted.size());
  for (sched::Slot slot : decision_.drop) {
    ledger_->drop(slot);
    pool_->give(at(slot).blocks);
    at(slot).known = 0;
    ++counters_.drops;
  }
  for (sched::Slot slot : decision_.swap_out) {
    ledger_->start_out(slot);
    swap_->start_out(at(slot).id, at(slot).blocks);
    at(slot).known = 0;
    ++counters_.swaps_out;
  }
  const auto wait_for_all = [&] {
    while (swap_ && swap_->busy()) settle(true);
  };
  if (decision_.wait_for_swaps) wait_for_all();
  for (sched::Slot slot : decision_.swap_in) {
    // Blocks for it are taken before those of the step's work, as the ledger counts them.
    const int64_t blocks = state(slot).blocks;
    ledger_->start_in(slot);
    HOIST_CHECK(pool_->take(blocks, at(slot).blocks), "the pool and the ledger disagree");
    swap_->start_in(at(slot).id, at(slot).blocks);
    ++counters_.swaps_in;
  }
  if (decision_.wait_for_swaps) {
    wait_for_all();
    // Where a swap was lost, the sequence has nothing to go on from, and the plan no longer holds.
    for (const sched::Work& w : decision_.work)
      if (state(w.slot).computed + w.tokens > state(w.slot).target() ||
          (w.yields && state(w.slot).left() != w.tokens)) {
        decision_.work.clear();
        return;
      }
  }
  std::vector<bool> fresh;
  for (const sched::Work& w : decision_.work) fresh.push_back(state(w.slot).place == sched::KvPlace::kNone);
  ledger_->begin(decision_.work);
  for (size_t i = 0; i < decision_.work.size(); ++i) hold_blocks(decision_.work[i], fresh[i]);
  trim();
}

// The pool counts a block once that the ledger counts for each who holds it: there is always room.
void Engine::hold_blocks(const sched::Work& w, bool fresh) {
  Sequence& s = at(w.slot);
  if (fresh && s.request.assumed > 0)
    ledger_->reuse(w.slot, s.request.assumed);
  else if (fresh && may_reuse(s))
    // What is known of it is held before the rest is taken, which may cost others what they left.
    pool_->match(s.request.scope, std::span<const int32_t>(s.tokens).first(s.tokens.size() - 1), s.blocks);
  const int64_t had = static_cast<int64_t>(s.blocks.size());
  HOIST_CHECK(pool_->take(w.blocks - had, s.blocks), "the pool and the ledger disagree");
  if (!w.decode) reuse(w.slot);  // also somebody before it may meanwhile have computed what it needs
}

// Exchanges a sequence's blocks for known ones that hold more of it than was computed so far. The last token
// is always computed: its logits are wanted.
void Engine::reuse(sched::Slot slot) {
  Sequence& s = at(slot);
  const int64_t computed = state(slot).computed;
  if (!may_reuse(s) || state(slot).left() < 2) return;
  const auto tokens = std::span<const int32_t>(s.tokens).first(s.tokens.size() - 1);
  std::vector<int32_t> found;
  const int64_t whole = pool_->match(s.request.scope, tokens, found);
  const auto rest = tokens.subspan(static_cast<size_t>(whole));
  const BlockPool::Beginning more = pool_->beginning(s.request.scope, found, rest);
  if (whole + more.tokens <= computed) return pool_->give(found);
  // The sequence's own first blocks go back; they may be known ones already, and then stay held by `found`.
  std::vector<int32_t> own(s.blocks.begin(), s.blocks.begin() + static_cast<std::ptrdiff_t>(found.size()));
  std::copy(found.begin(), found.end(), s.blocks.begin());
  pool_->give(own);
  // A block known in part is copied: what follows in it is this sequence's own.
  if (more.tokens > 0) copy_block(more.block, s.blocks[found.size()], more.tokens);
  const int64_t gained = whole + more.tokens - computed;
  ledger_->reuse(slot, gained);
  s.known = static_cast<int64_t>(found.size());
  // What it computed itself and lost is not counted again.
  const int64_t news =
      std::max<int64_t>(0, std::min(whole + more.tokens, s.prompt_tokens()) - std::max(computed, s.reached));
  s.reused += news;
  counters_.reused_tokens += news;
}

// Guesses for sequences that decode, as far as the step has room for them: tokens, rows and free blocks.
void Engine::draft() {
  if (!drafter_) return;
  int64_t tokens = shape_.tokens, rows = shape_.rows;
  for (const sched::Work& w : decision_.work) {
    tokens -= w.tokens;
    rows -= w.yields + prompt_rows(w);
  }
  asks_.clear();
  for (const sched::Work& w : decision_.work) {
    Sequence& s = at(w.slot);
    s.draft.clear();
    // The last token before the limit ends the sequence, so no guess follows it.
    const int64_t room = s.limit - static_cast<int64_t>(s.tokens.size()) - 1;
    const int64_t most = std::min({s.length.most(options_.speculate), room, tokens, rows});
    if (!w.decode || most < 1) {
      s.length.skipped();
      continue;
    }
    tokens -= most;
    rows -= most;
    asks_.push_back({s.id, s.request.scope, s.tokens, most, {}});
  }
  if (asks_.empty()) return;
  drafter_->propose(asks_);
  for (Drafter::Ask& a : asks_) {
    const sched::Slot slot = slots_.at(a.id);
    Sequence& s = at(slot);
    const int64_t held = state(slot).blocks;
    const int64_t blocks =
        std::max(held, ceil_div(static_cast<int64_t>(s.tokens.size() + a.draft.size()), shape_.block));
    if (!ledger_->grow(slot, blocks)) continue;
    HOIST_CHECK(pool_->take(blocks - held, s.blocks), "the pool and the ledger disagree");
    s.draft = std::move(a.draft);
  }
}

void Engine::copy_block(int32_t from, int32_t to, int64_t tokens) {
  for (const KvSwap::Pool& c : caches_)
    std::memcpy(c.data + to * c.block_bytes, c.data + from * c.block_bytes,
                static_cast<size_t>(c.block_bytes / shape_.block * tokens));
}

void Engine::publish(sched::Slot slot) {
  Sequence& s = at(slot);
  const int64_t full = state(slot).computed / shape_.block;
  if (!options_.prefix_cache || s.request.assumed > 0 || full == s.known) return;
  pool_->publish(s.request.scope, s.tokens, std::span(s.blocks).first(static_cast<size_t>(full)));
  s.known = full;
}

void Engine::step(std::vector<TokenEvent>& events) {
  settle(false);
  if (idle()) return;
  ledger_->set_now(now());
  policy_->plan(ledger_->state(), decision_);
  carry_out();
  if (decision_.work.empty()) {
    HOIST_CHECK(!decision_.drop.empty() || (swap_ && swap_->busy()) || counters_.lost_swaps > 0,
                "the policy runs nothing and waits for nothing");
    settle(true);
    return;
  }
  draft();
  inputs_->clear();
  last_step_.load = {};
  for (const sched::Work& w : decision_.work) {
    Sequence& s = at(w.slot);
    // The guesses stand behind what was said while the step's inputs are made.
    s.tokens.insert(s.tokens.end(), s.draft.begin(), s.draft.end());
    const int64_t guesses = static_cast<int64_t>(s.draft.size());
    const int64_t first = state(w.slot).computed, until = first + w.tokens;
    inputs_->add(
        std::span(s.tokens).subspan(static_cast<size_t>(first), static_cast<size_t>(w.tokens + guesses)),
        first, s.blocks, prompt_rows(w) + (w.yields ? 1 + guesses : 0), s.request.adapter);
    s.tokens.resize(s.tokens.size() - s.draft.size());
    if (w.decode)
      for (int64_t g = 0; g <= guesses; ++g) last_step_.load.add_decode(until + g);
    else
      last_step_.load.add_prefill(w.tokens, first);
    counters_.drafted_tokens += guesses;
    const int64_t again = std::clamp<int64_t>(s.reached - first, 0, w.tokens);
    counters_.recomputed_tokens += again;
    counters_.prompt_tokens += std::clamp<int64_t>(s.prompt_tokens() - first - again, 0, w.tokens - again);
    s.reached = std::max(s.reached, until);
  }
  counters_.computed_tokens += inputs_->tokens();
  ++counters_.steps;
  inputs_->set_lengths(*executor_);
  executor_->run();
  const float* logits = executor_->output("logits").as<const float>();
  std::vector<sched::Slot> finished;
  for (sched::Work& w : decision_.work) {
    const int64_t told = prompt_rows(w);
    const bool good = told == 0 || tell_prompt(at(w.slot), told, logits, events);
    logits += told * model_.config.vocab;
    if (!good || (w.yields && sample(w, logits, events, w.extra))) finished.push_back(w.slot);
    if (w.yields) logits += (1 + static_cast<int64_t>(at(w.slot).draft.size())) * model_.config.vocab;
  }
  const double end_of_step = now();
  last_step_.seconds = end_of_step - ledger_->state().now;
  ledger_->set_now(end_of_step);
  ledger_->end(decision_.work);
  for (const sched::Work& w : decision_.work) publish(w.slot);
  policy_->ran(ledger_->state(), decision_.work, last_step_.seconds);
  for (sched::Slot slot : finished) end(slot);
}

// Samples at a piece's wanted rows, the next one only as long as the guess that it follows was right; true
// when the sequence is finished. `extra`: guesses that held.
bool Engine::sample(const sched::Work& w, const float* logits, std::vector<TokenEvent>& events,
                    int64_t& extra) {
  Sequence& s = at(w.slot);
  const size_t vocab = static_cast<size_t>(model_.config.vocab);
  bool last = false;
  extra = 0;
  for (size_t row = 0;; ++row) {
    TokenEvent event;
    last = accept(s, {logits + row * vocab, vocab}, event);
    const int32_t token = event.token;
    if (token != kNoToken) ++counters_.generated_tokens;
    events.push_back(std::move(event));
    if (last || row == s.draft.size() || token != s.draft[row]) break;
    ++extra;
  }
  if (!s.draft.empty()) s.length.tried(static_cast<int64_t>(s.draft.size()), extra);
  counters_.accepted_tokens += extra;
  s.reached += extra;
  return last;
}

// The next token; kNoToken where no logit is usable. Throws Error for a grammar that cannot be followed.
int32_t Engine::choose(Sequence& s, std::span<const float> logits, int64_t generated) {
  const SequenceRequest& r = s.request;
  std::vector<int32_t> banned;
  if (generated < r.min_tokens) {
    banned = r.stop_tokens;
    if (!r.ignore_eos) banned.insert(banned.end(), model_.eos_ids.begin(), model_.eos_ids.end());
  }
  const auto left = static_cast<uint64_t>(s.limit - static_cast<int64_t>(s.tokens.size()));
  const int32_t token = sampler_.sample(logits, s.tokens, r.sampling, generated,
                                        filter_.allowed(r.guide.get(), left, banned, model_.config.vocab));
  if (r.guide && token != kNoToken) r.guide->accept(token);
  return token;
}

// Samples the next token of a sequence; true when it is finished.
bool Engine::accept(Sequence& s, std::span<const float> logits, TokenEvent& event) {
  const SequenceRequest& r = s.request;
  event.id = s.id;
  event.prompt_tokens = s.prompt_tokens();
  event.reused = s.reused;
  int64_t generated = static_cast<int64_t>(s.tokens.size()) - s.prompt_tokens();
  if (r.on_logits) r.on_logits(logits);
  event.generated = generated;
  int32_t token = kNoToken;
  try {
    token = choose(s, logits, generated);
    if (token == kNoToken)
      event.error = "the model's output is not a number at position " + std::to_string(s.tokens.size());
  } catch (const Error& e) {
    event.error = e.what();
    token = kNoToken;
  }
  if (token == kNoToken) {
    event.finish = Finish::kError;
    return true;
  }
  ++event.generated;
  if ((model_.is_eos(token) && !r.ignore_eos) ||
      std::find(r.stop_tokens.begin(), r.stop_tokens.end(), token) != r.stop_tokens.end()) {
    event.finish = Finish::kStop;
    return true;
  }
  if (r.logprobs >= 0) event.logprobs = step_logprobs(logits, token, r.logprobs);
  event.token = token;
  s.tokens.push_back(token);
  if (r.guide && r.guide->done()) {  // nothing but an end could follow
    event.finish = Finish::kStop;
    return true;
  }
  if (static_cast<int64_t>(s.tokens.size()) < s.limit) return false;
  event.finish = Finish::kLength;
  return true;
}

}  // namespace hoist::decode
