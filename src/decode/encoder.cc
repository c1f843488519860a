#include "decode/encoder.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "decode/model.h"
#include "decode/packed_weights.h"
#include "io/files.h"

namespace hoist::decode {

namespace {

std::string prefix_of(const io::EncoderConfig& config, const io::CheckpointFiles& files) {
  const char* family = config.family == io::EncoderFamily::kBert      ? "bert."
                       : config.family == io::EncoderFamily::kRoberta ? "roberta."
                                                                      : "distilbert.";
  return files.find(std::string(family) + "embeddings.word_embeddings.weight") ? family : "";
}

// Heads stand beside the body; only BERT's pooler is part of it.
bool in_body(const std::string& name) {
  return name.starts_with("embeddings.") || name.starts_with("encoder.") ||
         name.starts_with("transformer.") || name.starts_with("pooler.");
}

// Files of the first years call a norm's weights gamma and beta.
std::string older_name(const std::string& name) {
  for (const auto& [now, then] :
       {std::pair<std::string_view, std::string_view>{"LayerNorm.weight", "LayerNorm.gamma"},
        {"LayerNorm.bias", "LayerNorm.beta"}})
    if (name.ends_with(now)) return name.substr(0, name.size() - now.size()) + std::string(then);
  return name;
}

// Points each parameter at its tensor, and refuses tensors that no parameter comes from.
void name_tensors(const EncoderModel& model, std::vector<models::Parameter>& parameters) {
  std::set<std::string> used;
  for (models::Parameter& p : parameters) {
    if (in_body(p.tensor)) p.tensor = model.prefix + p.tensor;
    if (!model.files->find(p.tensor)) {
      const std::string older = older_name(p.tensor);
      if (model.files->find(older)) p.tensor = older;
    }
    used.insert(p.tensor);
  }
  for (const auto& e : model.files->tensors()) {
    std::string_view name = e.info->name;
    if (used.count(std::string(name))) continue;
    if (!model.prefix.empty() && name.starts_with(model.prefix)) name.remove_prefix(model.prefix.size());
    if (!models::ignorable_tensor(model.config, std::string(name)) &&
        !(name.starts_with("classifier.") && !model.config.classifies))
      throw_unsupported(e.file->path() + ": tensor '" + e.info->name + "' has no place in a " +
                        model.config.model_type + " model of this configuration");
  }
}

DType stored_dtype(const EncoderModel& model) {
  if (!model.files) return DType::f32;
  int64_t bytes[2] = {0, 0};
  for (const auto& e : model.files->tensors())
    if (e.info->dtype) bytes[*e.info->dtype == DType::bf16] += e.info->bytes();
  return bytes[1] > bytes[0] ? DType::bf16 : DType::f32;
}

void load(const EncoderModel& model, std::vector<models::Parameter> parameters, runtime::StateStore& states) {
  if (model.draw) return draw_weights(model.draw, parameters, states);
  name_tensors(model, parameters);
  load_weights(
      io::ModelConfig{}, *model.files, parameters,
      [&](const models::Parameter& p) { return states.data(p.name); }, true);
}

}  // namespace

int64_t EncoderModel::max_tokens() const {
  const int64_t most = config.max_tokens();
  return pooling.max_tokens ? std::min(most, *pooling.max_tokens) : most;
}

EncoderModel open_encoder(const std::string& path) {
  EncoderModel m;
  m.folder = path;
  m.name = io::base_name(path);
  m.config = io::load_encoder_config(path);
  m.pooling = io::load_pooling_config(path);
  const std::string tokens = io::join_path(path, "tokenizer.json");
  m.tokenizer = text::Tokenizer::load(tokens);
  if (m.tokenizer->vocab_size() > m.config.vocab)
    throw_invalid(tokens + ": found " + std::to_string(m.tokenizer->vocab_size()) +
                  " token ids, expected at most the " + std::to_string(m.config.vocab) +
                  " rows of the model");
  m.files = std::make_unique<io::CheckpointFiles>(path);
  m.prefix = prefix_of(m.config, *m.files);
  return m;
}

Encoder::Encoder(const EncoderModel& model, const EncoderOptions& options) : model_(model) {
  max_tokens_ = model.max_tokens();
  shape_.tokens = std::max(options.batch_tokens, max_tokens_);
  shape_.seqs = std::min(std::max<int64_t>(1, options.batch_seqs), shape_.tokens);
  shape_.dtype = options.weights_as_stored ? stored_dtype(model) : DType::f32;
  ThreadPoolOptions pool;
  pool.threads = options.threads;
  threads_ = std::make_unique<ThreadPool>(pool);
  device_ = device::make_cpu_device();
  plan::BuildOptions build = options.build;
  build.compile.threads = threads_->threads();
  plans_ = std::make_unique<runtime::PlanCache>(kernels::cpu_table(kernels::best_isa()), build);
  std::vector<models::Parameter> parameters = models::parameters(model.config, shape_.dtype);
  if (options.pack)
    parameters = models::in_panels(std::move(parameters), [](const models::Parameter&) { return Symbol(); });
  const plan::Plan& plan = plans_->get(models::encoder_graph(model.config, shape_, parameters)).plan;
  for (const plan::StateSlot& s : plan.states) memory_.weights += s.type.bytes();
  memory_.arena = plan.arena_bytes;
  memory_.other = 4 * (4 * shape_.tokens + shape_.seqs);
  states_ = std::make_unique<runtime::StateStore>(*device_);
  states_->declare(plan);
  load(model, parameters, *states_);
  executor_ =
      std::make_unique<runtime::Executor>(plan, runtime::ExecutorContext{*device_, *threads_, *states_});
  for (auto* v : {&ids_, &positions_, &segments_, &types_}) v->resize(static_cast<size_t>(shape_.tokens));
  first_.resize(static_cast<size_t>(shape_.seqs));
  executor_->bind_input("ids", ids_.data());
  executor_->bind_input("positions", positions_.data());
  executor_->bind_input("segments", segments_.data());
  if (model.config.types > 0) executor_->bind_input("types", types_.data());
  if (model.config.classifies) executor_->bind_input("first", first_.data());
}

Encoder::~Encoder() = default;

int64_t Encoder::width(EncoderTask task) const {
  return task == EncoderTask::kEmbed ? model_.config.hidden
                                     : static_cast<int64_t>(model_.config.labels.size());
}

void Encoder::check(const EncoderInput& input, EncoderTask task) const {
  const auto n = static_cast<int64_t>(input.ids.size());
  if (n == 0) throw_invalid("input: found no tokens, expected at least one");
  if (n > max_tokens_)
    throw_invalid("input: found " + std::to_string(n) + " tokens, expected at most " +
                  std::to_string(max_tokens_));
  for (int32_t id : input.ids)
    if (id < 0 || id >= model_.config.vocab)
      throw_invalid("input: found token id " + std::to_string(id) + ", expected 0.." +
                    std::to_string(model_.config.vocab - 1));
  if (!input.types.empty() && input.types.size() != input.ids.size())
    throw_invalid("input: found " + std::to_string(input.types.size()) + " token types for " +
                  std::to_string(n) + " tokens");
  // A model with one type, or none, takes every token as of that one.
  if (model_.config.types > 1)
    for (int32_t type : input.types)
      if (type < 0 || type >= model_.config.types)
        throw_invalid("input: found token type " + std::to_string(type) + ", expected 0.." +
                      std::to_string(model_.config.types - 1));
  if (task == EncoderTask::kClassify && width(task) == 0)
    throw_unsupported("this model has no classification head");
}

void Encoder::run(std::span<const EncoderInput* const> batch, std::span<const EncoderTask> tasks,
                  std::vector<std::vector<float>>& results) {
  results.assign(batch.size(), {});
  if (batch.empty()) return;
  HOIST_CHECK(batch.size() == tasks.size() && static_cast<int64_t>(batch.size()) <= shape_.seqs,
              "more sequences than a batch holds");
  size_t t = 0;
  for (size_t s = 0; s < batch.size(); ++s) {
    const EncoderInput& input = *batch[s];
    HOIST_CHECK(t + input.ids.size() <= ids_.size(), "more tokens than a batch holds");
    first_[s] = static_cast<int32_t>(t);
    for (size_t i = 0; i < input.ids.size(); ++i, ++t) {
      ids_[t] = input.ids[i];
      positions_[t] = static_cast<int32_t>(model_.config.first_position + static_cast<int64_t>(i));
      segments_[t] = static_cast<int32_t>(s);
      types_[t] = model_.config.types > 1 && !input.types.empty() ? input.types[i] : 0;
    }
  }
  executor_->set_length("tokens", static_cast<int64_t>(t));
  executor_->set_length("keys", static_cast<int64_t>(t));
  if (model_.config.classifies) executor_->set_length("seqs", static_cast<int64_t>(batch.size()));
  executor_->run();
  const float* hidden = executor_->output("hidden").as<const float>();
  const float* logits = model_.config.classifies ? executor_->output("logits").as<const float>() : nullptr;
  for (size_t s = 0; s < batch.size(); ++s) {
    const auto n = static_cast<size_t>(width(tasks[s]));
    if (tasks[s] == EncoderTask::kClassify) {
      results[s].assign(logits + s * n, logits + (s + 1) * n);
    } else {
      pool(hidden + static_cast<size_t>(first_[s]) * n, static_cast<int64_t>(batch[s]->ids.size()),
           results[s]);
    }
  }
}

void Encoder::pool(const float* hidden, int64_t tokens, std::vector<float>& out) const {
  const auto n = static_cast<size_t>(model_.config.hidden);
  out.assign(hidden, hidden + n);
  if (model_.pooling.pooling != io::Pooling::kCls) {
    const bool mean = model_.pooling.pooling == io::Pooling::kMean;
    for (int64_t t = 1; t < tokens; ++t) {
      const float* row = hidden + static_cast<size_t>(t) * n;
      for (size_t i = 0; i < n; ++i) out[i] = mean ? out[i] + row[i] : std::max(out[i], row[i]);
    }
    if (mean)
      for (float& x : out) x /= static_cast<float>(tokens);
  }
  if (!model_.pooling.normalize) return;
  double square = 0;
  for (float x : out) square += static_cast<double>(x) * static_cast<double>(x);
  const auto scale = static_cast<float>(1.0 / std::max(std::sqrt(square), 1e-12));
  for (float& x : out) x *= scale;
}

std::vector<EncoderTiming> time_encoder(Encoder& encoder) {
  struct Shape {
    int64_t sequences, length;
  };
  // By work, until the time is up; the first few in any case.
  static constexpr Shape kShapes[] = {{1, 4},  {1, 32},  {8, 8},   {1, 16},  {4, 32},  {1, 128}, {3, 64},
                                      {4, 64}, {1, 256}, {2, 256}, {16, 32}, {1, 512}, {16, 64}, {2, 512}};
  constexpr double kBudget = 1.5;
  constexpr size_t kFewest = 4;
  const auto clock = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  const double begin = clock();
  std::vector<EncoderTiming> timings;
  std::vector<std::vector<float>> results;
  for (const Shape& shape : kShapes) {
    const double spent = clock() - begin;
    if (spent > kBudget && timings.size() >= kFewest) break;
    const int64_t length = std::min(shape.length, encoder.max_tokens()),
                  sequences =
                      std::min({shape.sequences, encoder.batch_seqs(), encoder.batch_tokens() / length});
    EncoderInput input;
    input.ids.assign(static_cast<size_t>(length), 0);
    const std::vector<const EncoderInput*> batch(static_cast<size_t>(sequences), &input);
    const std::vector<EncoderTask> tasks(batch.size(), EncoderTask::kEmbed);
    double best = 0;
    for (int turn = 0; turn < 3; ++turn) {  // the first finds cold caches
      const double start = clock();
      encoder.run(batch, tasks, results);
      const double seconds = clock() - start;
      if (turn == 0 || seconds < best) best = seconds;
      if (turn == 1 && best > kBudget / 10) break;
    }
    const int64_t tokens = sequences * length;
    timings.push_back(
        {tokens, static_cast<double>(tokens) * static_cast<double>(length), std::max(best, 1e-9)});
  }
  return timings;
}

}  // namespace hoist::decode
