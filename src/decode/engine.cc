#include "decode/engine.h"

#include <algorithm>

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
  pool_ = std::make_unique<BlockPool>(shape_.blocks);
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
    if (!pool_->take(ceil_div(s.limit, shape_.block), s.blocks)) return;
    running_.push_back(std::make_unique<Sequence>(std::move(s)));
    waiting_.pop_front();
  }
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
      const Sequence& s = *running_[i];
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
    s.computed += pieces[p].count;
    if (s.computed == static_cast<int64_t>(s.tokens.size())) {
      rows_[static_cast<size_t>(row++)] = static_cast<int32_t>(t - 1);
      row_sequence.push_back(pieces[p].sequence);
    }
  }
  executor_->set_length("tokens", t);
  executor_->set_length("seqs", static_cast<int64_t>(pieces.size()));
  executor_->set_length("rows", row);
  executor_->run();

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

// Samples the next token of a sequence; true when it is finished.
bool Engine::accept(Sequence& s, std::span<const float> logits, TokenEvent& event) {
  event.id = s.id;
  event.prompt_tokens = s.prompt_tokens();
  int64_t generated = static_cast<int64_t>(s.tokens.size()) - s.prompt_tokens();
  if (s.request.on_logits) s.request.on_logits(logits);
  int32_t token = sampler_.sample(logits, s.tokens, s.request.sampling, generated);
  event.generated = generated;
  if (token == kNoToken) {
    event.finish = Finish::kError;
    event.error = "the model's output is not a number at position " + std::to_string(s.tokens.size());
    return true;
  }
  ++event.generated;
  if (model_.is_eos(token) && !s.request.ignore_eos) {
    event.finish = Finish::kStop;
    return true;
  }
  event.token = token;
  s.tokens.push_back(token);
  if (static_cast<int64_t>(s.tokens.size()) < s.limit) return false;
  event.finish = Finish::kLength;
  return true;
}

}  // namespace hoist::decode
