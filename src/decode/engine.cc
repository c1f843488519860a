#include "decode/engine.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace hoist::decode {

namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t kDefaultContext = 8192;

int64_t context_of(const io::ModelConfig& config, const EngineOptions& options) {
  int64_t context = options.context > 0 ? options.context : std::min(config.max_position, kDefaultContext);
  if (context > config.max_position)
    throw_invalid("context: found " + std::to_string(context) + ", expected at most the model's " +
                  std::to_string(config.max_position));
  return context;
}

}  // namespace

models::ServeShape serve_shape(const io::ModelConfig& config, DType stored, const EngineOptions& o) {
  models::ServeShape s;
  int64_t context = context_of(config, o);
  s.tokens = std::max(o.step_tokens, o.max_seqs);
  s.seqs = s.rows = o.max_seqs;
  s.block = o.block;
  s.seq_blocks = ceil_div(context, o.block);
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
  std::vector<models::Parameter> parameters = models::parameters(model.config, shape_.dtype, DType::f32);
  if (options.pack)
    parameters = models::in_panels(std::move(parameters), [&](const models::Parameter& p) {
      return options.weights_as_stored ? model.block_format(p) : Symbol();
    });
  const plan::Plan& plan = plans_->get(models::serve_graph(model.config, shape_, parameters)).plan;
  for (const plan::StateSlot& s : plan.states)
    (s.role == ir::Role::kCache ? memory_.cache : memory_.weights) += s.type.bytes();
  memory_.arena = plan.arena_bytes;
  memory_.other =
      4 * (4 * shape_.tokens + shape_.seqs * shape_.seq_blocks + shape_.rows) + 9 * model.config.vocab;
  states_ = std::make_unique<runtime::StateStore>(*device_);
  states_->declare(plan);
  load_weights(model, parameters, *states_);
  executor_ = std::make_unique<runtime::Executor>(
      plan, runtime::ExecutorContext{*device_, *threads_, *states_, {}, options.trace, nullptr});
  pool_ = std::make_unique<BlockPool>(shape_.blocks, shape_.block);
  for (const plan::StateSlot& s : plan.states)
    if (s.role == ir::Role::kCache)
      caches_.push_back({states_->data(s.name), s.type.bytes() / (shape_.blocks * shape_.block)});
  const size_t tokens = static_cast<size_t>(shape_.tokens);
  for (auto* v : {&ids_, &positions_, &slots_, &seqs_}) v->resize(tokens);
  tables_.resize(static_cast<size_t>(shape_.seqs * shape_.seq_blocks));
  rows_.resize(static_cast<size_t>(shape_.rows));
  executor_->bind_input("ids", ids_.data());
  executor_->bind_input("positions", positions_.data());
  executor_->bind_input("slots", slots_.data());
  executor_->bind_input("seqs", seqs_.data());
  executor_->bind_input("tables", tables_.data());
  executor_->bind_input("rows", rows_.data());
}

Engine::~Engine() = default;

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
  for (int32_t id : request.prompt)
    if (id < 0 || id >= model_.config.vocab)
      throw_invalid("prompt: found token id " + std::to_string(id) + ", expected 0.." +
                    std::to_string(model_.config.vocab - 1));
  Sequence s;
  s.id = next_id_++;
  s.limit = request.max_tokens > context_ - n ? context_ : n + request.max_tokens;
  if (ceil_div(s.limit, shape_.block) > shape_.blocks)
    throw_invalid("prompt and max_tokens: found " + std::to_string(s.limit) +
                  " tokens, expected at most the cache's " + std::to_string(shape_.blocks * shape_.block));
  s.tokens = request.prompt;
  s.computed = request.assumed;
  s.request = std::move(request);
  waiting_.push_back(std::move(s));
  return next_id_ - 1;
}

void Engine::cancel(uint64_t id) {
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it)
    if (it->id == id) {
      waiting_.erase(it);
      return;
    }
  for (auto it = running_.begin(); it != running_.end(); ++it)
    if ((*it)->id == id) {
      pool_->give((*it)->blocks);
      running_.erase(it);
      return;
    }
}

// First come, first served: nobody overtakes a sequence that waits for blocks.
void Engine::admit() {
  while (!waiting_.empty() && static_cast<int64_t>(running_.size()) < shape_.seqs) {
    Sequence& s = waiting_.front();
    // What is known of it is held before the rest is taken, which may cost others what they left.
    if (options_.prefix_cache && s.request.assumed == 0)
      pool_->match(s.request.scope,
                   std::span<const int32_t>(s.request.prompt).first(s.request.prompt.size() - 1), s.blocks);
    const int64_t had = static_cast<int64_t>(s.blocks.size());
    if (!pool_->take(ceil_div(s.limit, shape_.block) - had, s.blocks)) return pool_->give(s.blocks);
    running_.push_back(std::make_unique<Sequence>(std::move(s)));
    waiting_.pop_front();
    reuse(*running_.back());
  }
}

// Exchanges a prompt's blocks for known ones that hold more of it than was computed so far. The last token is
// always computed: its logits are wanted.
void Engine::reuse(Sequence& s) {
  if (!options_.prefix_cache || s.request.assumed > 0 || s.computed + 1 >= s.prompt_tokens()) return;
  const auto prompt = std::span<const int32_t>(s.request.prompt).first(s.request.prompt.size() - 1);
  std::vector<int32_t> found;
  const int64_t whole = pool_->match(s.request.scope, prompt, found);
  const auto rest = prompt.subspan(static_cast<size_t>(whole));
  const BlockPool::Beginning more = pool_->beginning(s.request.scope, found, rest);
  if (whole + more.tokens <= s.computed) return pool_->give(found);
  // The sequence's own first blocks go back; they may be known ones already, and then stay held by `found`.
  std::vector<int32_t> own(s.blocks.begin(), s.blocks.begin() + static_cast<std::ptrdiff_t>(found.size()));
  std::copy(found.begin(), found.end(), s.blocks.begin());
  pool_->give(own);
  // A block known in part is copied: what follows in it is this sequence's own.
  if (more.tokens > 0) copy_block(more.block, s.blocks[found.size()], more.tokens);
  const int64_t gained = whole + more.tokens - s.computed;
  s.computed += gained;
  s.reused += gained;
  s.known = static_cast<int64_t>(found.size());
  counters_.reused_tokens += gained;
}

void Engine::copy_block(int32_t from, int32_t to, int64_t tokens) {
  for (const auto& [data, bytes] : caches_)
    std::memcpy(data + to * shape_.block * bytes, data + from * shape_.block * bytes,
                static_cast<size_t>(tokens * bytes));
}

void Engine::publish(Sequence& s) {
  const int64_t full = s.computed / shape_.block;
  if (!options_.prefix_cache || s.request.assumed > 0 || full == s.known) return;
  pool_->publish(s.request.scope, s.tokens, std::span(s.blocks).first(static_cast<size_t>(full)));
  s.known = full;
}

void Engine::step(std::vector<TokenEvent>& events) {
  admit();
  if (running_.empty()) return;
  struct Piece {
    size_t sequence;
    int64_t count;
  };
  std::vector<Piece> pieces;
  int64_t budget = shape_.tokens;
  // Sequences that generate come first: one token each. Then prompts, in order of arrival.
  for (bool generating : {true, false})
    for (size_t i = 0; i < running_.size() && budget > 0; ++i) {
      Sequence& s = *running_[i];
      if (!generating) reuse(s);  // somebody before it may have computed what it needs
      int64_t left = static_cast<int64_t>(s.tokens.size()) - s.computed;
      bool prompt = s.computed + 1 < static_cast<int64_t>(s.tokens.size()) ||
                    s.tokens.size() == s.request.prompt.size();
      if (prompt == generating) continue;
      int64_t count = std::min(left, budget);
      pieces.push_back({i, count});
      budget -= count;
    }
  int64_t t = 0, row = 0;
  std::vector<size_t> row_sequence;
  for (size_t p = 0; p < pieces.size(); ++p) {
    Sequence& s = *running_[pieces[p].sequence];
    for (size_t k = 0; k < static_cast<size_t>(shape_.seq_blocks); ++k)
      tables_[p * static_cast<size_t>(shape_.seq_blocks) + k] = k < s.blocks.size() ? s.blocks[k] : 0;
    for (int64_t k = 0; k < pieces[p].count; ++k, ++t) {
      const size_t at = static_cast<size_t>(t);
      int64_t position = s.computed + k;
      ids_[at] = s.tokens[static_cast<size_t>(position)];
      positions_[at] = static_cast<int32_t>(position);
      slots_[at] = static_cast<int32_t>(
          s.blocks[static_cast<size_t>(position / shape_.block)] * shape_.block + position % shape_.block);
      seqs_[at] = static_cast<int32_t>(p);
    }
    counters_.prompt_tokens += std::clamp<int64_t>(s.prompt_tokens() - s.computed, 0, pieces[p].count);
    s.computed += pieces[p].count;
    if (s.computed == static_cast<int64_t>(s.tokens.size())) {
      rows_[static_cast<size_t>(row++)] = static_cast<int32_t>(t - 1);
      row_sequence.push_back(pieces[p].sequence);
    }
  }
  counters_.computed_tokens += t;
  ++counters_.steps;
  executor_->set_length("tokens", t);
  executor_->set_length("seqs", static_cast<int64_t>(pieces.size()));
  executor_->set_length("rows", row);
  executor_->run();

  for (const Piece& p : pieces) publish(*running_[p.sequence]);
  const kernels::TensorView logits = executor_->output("logits");
  const size_t vocab = static_cast<size_t>(model_.config.vocab);
  std::vector<size_t> finished;
  for (size_t r = 0; r < row_sequence.size(); ++r) {
    Sequence& s = *running_[row_sequence[r]];
    TokenEvent event;
    if (accept(s, {logits.as<const float>() + r * vocab, vocab}, event)) finished.push_back(row_sequence[r]);
    events.push_back(std::move(event));
  }
  std::sort(finished.rbegin(), finished.rend());
  for (size_t i : finished) {
    pool_->give(running_[i]->blocks);
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
  }
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
