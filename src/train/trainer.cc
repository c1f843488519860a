#include "train/trainer.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "data/corpus.h"
#include "io/checkpoint_dir.h"
#include "io/files.h"
#include "io/json.h"
#include "io/json_value.h"
#include "passes/pipeline.h"
#include "report/text.h"
#include "report/training_report.h"
#include "text/bpe_trainer.h"
#include "train/budget.h"
#include "train/optimizer_recipe.h"

namespace hoist::train {

using Clock = std::chrono::steady_clock;
using io::JsonValue;

namespace {

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

std::string hex_of(float x) {
  char text[16];
  std::snprintf(text, sizeof text, "%08x", std::bit_cast<uint32_t>(x));
  return text;
}

io::ModelConfig fresh_config(const Recipe& r, int64_t vocab) {
  io::Family family = io::Family::kLlama;
  for (io::Family f : {io::Family::kGpt2, io::Family::kQwen2, io::Family::kQwen3})
    if (io::family_name(f) == r.family) family = f;
  io::ModelConfig c = io::default_model_config(family);
  c.vocab = vocab;
  c.hidden = r.hidden;
  c.layers = r.layers;
  c.heads = r.heads;
  c.kv_heads = r.kv_heads > 0 ? r.kv_heads : r.heads;
  c.head_dim = r.hidden / r.heads;
  c.intermediate = r.intermediate > 0            ? r.intermediate
                   : family == io::Family::kGpt2 ? 4 * r.hidden
                                                 : round_up(r.hidden * 8 / 3, 32);
  c.max_position = r.context;
  c.tie_word_embeddings = r.tie;
  c.initializer_range = r.init_std;
  c.bos_id.reset();
  c.eos_ids.clear();
  c.eos_is_list = false;
  // Written and read back: every rule of config.json holds for what a recipe asks as well.
  return io::parse_model_config(io::write_model_config(c), "recipe [model]");
}

passes::Strategy strategy_of(const Recipe& r, const io::ModelConfig& config) {
  if (!r.strategy.empty()) return passes::parse_strategy(io::read_file(r.strategy, 1 << 20), r.strategy);
  passes::Strategy s = passes::data_and_tensor_parallel(static_cast<int>(r.data), static_cast<int>(r.tensor));
  // A vocabulary that does not divide stays whole on every rank; heads and MLP must divide.
  if (config.vocab % r.tensor)
    std::erase_if(s.rules, [](const passes::ShardRule& rule) { return rule.axis.name() == "vocab"; });
  return s;
}

}  // namespace

// The run's folder and its lock: two runs never write one folder.
class RunFolder {
 public:
  explicit RunFolder(const std::string& path) : path_(path), lock_(make(path)) {
    io::remove_leftovers(checkpoints());
  }
  std::string checkpoints() const { return io::join_path(path_, "checkpoints"); }
  std::string metrics() const { return io::join_path(path_, "metrics.jsonl"); }
  const std::string& path() const { return path_; }

 private:
  static const std::string& make(const std::string& path) {
    io::make_dirs(io::join_path(path, "checkpoints"));
    return path;
  }
  std::string path_;
  io::DirLock lock_;
};

Trainer::Trainer(const Recipe& recipe, TrainObserver observer, runtime::Trace* trace)
    : recipe_(recipe), observer_(std::move(observer)), trace_(trace) {
  folder_ = std::make_unique<RunFolder>(recipe_.folder);
  io::atomic_write(io::join_path(recipe_.folder, "recipe.toml"), print(recipe_));
  open_data();
  build();
  resume();
}

Trainer::~Trainer() = default;

std::string Trainer::model_folder() const { return io::join_path(recipe_.folder, "model"); }

void Trainer::open_data() {
  if (recipe_.format == "documents")
    open_documents();
  else
    open_samples();
}

// The config, and the files that stay with a model: those of model.from, or of the tokenizer's folder.
void Trainer::open_model() {
  if (recipe_.from.empty()) {
    config_ = fresh_config(recipe_, tokenizer_->vocab_size());
    if (auto id = tokenizer_->token_to_id("<|endoftext|>")) config_.eos_ids = {*id};
  } else {
    config_ = io::load_model_config(recipe_.from);
    if (recipe_.sequence() > config_.max_position)
      throw_invalid("train.seq: found " + std::to_string(recipe_.sequence()) +
                    ", expected at most the model's " + std::to_string(config_.max_position));
    if (tokenizer_->vocab_size() > config_.vocab)
      throw_invalid(recipe_.from + "/tokenizer.json: more token ids than config.json's vocab_size");
  }
  const std::string& folder = recipe_.from.empty() ? recipe_.tokenizer : recipe_.from;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"}) {
    const bool given = name == std::string_view("chat_template.jinja") && !recipe_.chat_template.empty();
    const std::string path = given ? recipe_.chat_template : io::join_path(folder, name);
    if (io::path_exists(path)) kept_files_.emplace_back(name, io::read_file(path, size_t{64} << 20));
  }
}

int32_t Trainer::end_of_text() const {
  return config_.eos_ids.empty() ? -1 : static_cast<int32_t>(config_.eos_ids[0]);
}

void Trainer::open_samples() {
  tokenizer_ = text::Tokenizer::load(recipe_.from.empty() ? recipe_.tokenizer : recipe_.from);
  open_model();
  int64_t total = 1;
  for (const std::string& pattern : recipe_.paths)
    for (const std::string& path : data::expand_glob(pattern)) total += io::file_size(path);
  samples_ = std::make_unique<SampleData>(
      recipe_, *tokenizer_, chat_template_of(recipe_), end_of_text(), observer_.note, [&](int64_t bytes) {
        // Compressed files hold more than their size.
        if (observer_.progress) observer_.progress("samples", std::min(bytes, total - 1), total);
      });
  if (observer_.progress) observer_.progress("samples", total, total);
  data_hash_ = samples_->hash();
}

std::vector<data::TokenSample> Trainer::first_samples() const {
  return samples_ ? samples_->first() : std::vector<data::TokenSample>{};
}

void Trainer::open_documents() {
  data::CorpusOptions options;
  options.paths = recipe_.paths;
  options.field = recipe_.field;
  options.validation = recipe_.validation;
  options.max_bytes = recipe_.max_bytes;
  data::Documents documents = data::read_documents(options);
  const data::CorpusReport& report = documents.report;
  if (observer_.note) {
    std::string text = "data: " + std::to_string(report.documents) + " documents, " +
                       std::to_string(report.bytes / 1000) + " kB";
    if (report.skipped_files)
      text += "; " + std::to_string(report.skipped_files) + " files skipped (empty, binary or not UTF-8)";
    if (report.truncated) text += "; stopped at data.max_bytes";
    observer_.note(text);
  }
  // The tokenizer: the model's own, a given one, or one made here and kept in the run's folder.
  const std::string own = io::join_path(recipe_.folder, "tokenizer.json");
  std::string source = !recipe_.from.empty() ? recipe_.from : recipe_.tokenizer;
  if (source == "char" || source == "bpe") {
    if (!io::path_exists(own)) {
      std::string json;
      if (source == "char") {
        std::string all;
        for (const auto* list : {&documents.train, &documents.validation})
          for (const std::string& d : *list) all += d;
        json = text::make_character_tokenizer(all);
      } else {
        text::BpeTrainerOptions bpe;
        bpe.vocab_size = static_cast<int32_t>(recipe_.vocab);
        if (recipe_.family == "qwen2" || recipe_.family == "qwen3") bpe.split = text::BpeSplit::kQwen2;
        if (observer_.progress)
          bpe.progress = [&](int32_t done, int32_t wanted) { observer_.progress("tokenizer", done, wanted); };
        json = text::train_bpe(documents.train, bpe);
      }
      io::atomic_write(own, json);
    }
    source = own;
  }
  tokenizer_ = text::Tokenizer::load(source);
  open_model();
  const int32_t end = end_of_text();
  auto tokenize = [&](std::vector<std::string>& list) {
    auto tokens = data::tokenize(list, *tokenizer_, config_.vocab, end, [&](int64_t done, int64_t total) {
      if (observer_.progress) observer_.progress("tokens", done, total);
    });
    list.clear();
    list.shrink_to_fit();
    return tokens;
  };
  train_tokens_ = tokenize(documents.train);
  validation_tokens_ = tokenize(documents.validation);
  io::Hasher hasher;
  hasher.add(train_tokens_.bytes(), train_tokens_.byte_count());
  hasher.add(validation_tokens_.bytes(), validation_tokens_.byte_count());
  data_hash_ = hasher.hex();
  if (observer_.note)
    observer_.note("tokens: " + std::to_string(train_tokens_.size()) + " to train on, " +
                   std::to_string(validation_tokens_.size()) + " held out; vocabulary " +
                   std::to_string(tokenizer_->vocab_size()));
}

void Trainer::build() {
  data::BatchShape batch{recipe_.batch * recipe_.accumulate, recipe_.sequence()};
  if (!samples_)
    batches_ = std::make_unique<data::Batches>(
        train_tokens_, batch, recipe_.sampling == "random" ? data::Sampling::kRandom : data::Sampling::kEpoch,
        static_cast<uint64_t>(recipe_.seed));
  models::TrainShape shape;
  shape.batch = recipe_.batch;
  shape.seq = recipe_.sequence();
  shape.dtype = recipe_.precision == "bf16" ? DType::bf16 : DType::f32;
  shape.train_biases = recipe_.biases;
  shape.packed = samples_ != nullptr;
  parameters_ = models::parameters(config_, shape.dtype, shape.dtype);
  passes::OptimizerSpec spec = optimizer_spec(recipe_);
  spec.groups = parameter_groups(recipe_, parameters_);

  RanksOptions options;
  options.strategy = strategy_of(recipe_, config_);
  options.threads = static_cast<int>(recipe_.threads);
  options.trace = trace_;
  const int64_t budget = memory_.budget = recipe_.memory();
  options.disk_folder = recipe_.disk_folder.empty() ? recipe_.folder : recipe_.disk_folder;
  passes::PassRunner runner(options.build.passes);
  ir::Graph model = models::train_graph(config_, shape);
  const passes::TrainGraphs graphs =
      passes::training_passes(model, spec, static_cast<int>(recipe_.accumulate), runner);
  model.name = "evaluate";
  if (recipe_.ema_evaluate) model = passes::with_averages(model);
  if (budget > 0) options.memory = budget_for_plans(budget, held_bytes());
  while (true) {
    ranks_ = std::make_unique<Ranks>(options);
    if (recipe_.accumulate == 1) {
      step_program_ = ranks_->add(graphs.step);
    } else {
      accumulate_program_ = ranks_->add(graphs.accumulate);
      apply_program_ = ranks_->add(graphs.apply);
    }
    eval_program_ = ranks_->add(model);
    if (budget == 0) break;
    // Plans take memory themselves, which is known once they are made.
    const int64_t left = budget_for_plans(budget, held_bytes());
    if (left >= options.memory) break;
    options.memory = left - (left >> 6);
  }
  ranks_->prepare();
  const size_t tokens = static_cast<size_t>(shape.batch * shape.seq);
  for (auto* input : {&ids_, &targets_, &segments_, &positions_}) input->resize(tokens);
  for (int program : {step_program_, accumulate_program_, eval_program_}) {
    if (program < 0) continue;
    ranks_->set_input(program, "ids", ids_.data());
    ranks_->set_input(program, "targets", targets_.data());
    if (!samples_) continue;
    ranks_->set_input(program, "segments", segments_.data());
    ranks_->set_input(program, "positions", positions_.data());
  }
  const int last = step_program_ >= 0 ? step_program_ : apply_program_;
  ranks_->set_input(last, "lr", &lr_input_);
  ranks_->set_input(last, "step", &step_input_);
  memory_.states = ranks_->state_bytes() * ranks_->size();
  memory_.arena = ranks_->arena_bytes() * ranks_->size();
  memory_.disk = ranks_->disk_bytes() * ranks_->size();
  for (const int program : {step_program_, apply_program_, accumulate_program_}) {
    if (program < 0 || !ranks_->plan(program).staging) continue;
    const int64_t times = (program == accumulate_program_ ? recipe_.accumulate : 1) * ranks_->size();
    memory_.disk_read += times * ranks_->plan(program).staging->bytes_read;
    memory_.disk_written += times * ranks_->plan(program).staging->bytes_written;
  }
  memory_.data = static_cast<int64_t>(train_tokens_.byte_count() + validation_tokens_.byte_count());
}

void Trainer::start() {
  if (recipe_.from.empty())
    initialize();
  else
    load_model_weights(recipe_.from, config_, parameters_, *ranks_);
  if (!recipe_.loss_scale) return;
  const auto scale = static_cast<float>(passes::kFirstLossScale);
  ranks_->write_state(passes::kLossScaleState, &scale);
}

// Fresh weights: each element is a function of (seed, parameter, index), whatever the number of ranks.
void Trainer::initialize() {
  const std::vector<std::string> names = ranks_->state_names();
  const std::set<std::string> known(names.begin(), names.end());
  std::vector<std::byte> buffer;
  for (const models::Parameter& p : parameters_) {
    CounterRng rng(static_cast<uint64_t>(recipe_.seed), stable_hash(p.name));
    auto draw = [&](int64_t i) {
      if (p.init.kind == models::Init::Kind::kNormal)
        return static_cast<float>(rng.normal(static_cast<uint64_t>(i)) * p.init.std);
      return p.init.kind == models::Init::Kind::kOnes ? 1.0f : 0.0f;
    };
    auto fill = [&](const std::string& state, DType dtype) {
      std::byte* to = ranks_->direct(state);
      if (!to) {
        buffer.resize(static_cast<size_t>(p.type.elements() * dtype_size(dtype)));
        to = buffer.data();
      }
      for (int64_t i = 0; i < p.type.elements(); ++i) {
        if (dtype == DType::f32)
          reinterpret_cast<float*>(to)[i] = draw(i);
        else
          reinterpret_cast<bf16*>(to)[i] = to_bf16(draw(i));
      }
      if (to == buffer.data()) ranks_->write_state(state, to);
    };
    fill(p.name, p.type.dtype);
    for (const std::string& wide : {passes::master_name(p.name), passes::ema_name(p.name)})
      if (known.count(wide)) fill(wide, DType::f32);
  }
}

// The resume_key of the recipe that made a checkpoint, with keys that did not exist then at their defaults.
static std::string made_by(const CheckpointInfo& info, const std::string& path) try {
  return resume_key(parse_recipe(info.recipe, path, {}));
} catch (const Error&) {
  return info.recipe;
}

void Trainer::resume() {
  io::NewestCheckpoint newest = io::find_newest_checkpoint(folder_->checkpoints());
  for (const auto& s : newest.skipped)
    if (observer_.note) observer_.note("skipped checkpoint " + s.path + ": " + s.reason);
  if (!newest.found) {
    start();
    truncate_metrics();
    return;
  }
  CheckpointInfo info = read_checkpoint_info(newest.found->path);
  if (made_by(info, newest.found->path) != resume_key(recipe_))
    throw_invalid(newest.found->path +
                  ": made by another recipe than this one; give output.folder another name, or remove " +
                  recipe_.folder + " to start again");
  if (info.data_hash != data_hash_)
    throw_invalid(newest.found->path +
                  ": made from other training text than data.paths holds now; give output.folder another "
                  "name, or remove " +
                  recipe_.folder + " to start again");
  load_checkpoint(newest.found->path, config_, parameters_, *ranks_);
  step_ = info.step;
  truncate_metrics();
  if (observer_.note) observer_.note("resumed from " + newest.found->path);
}

StepResult Trainer::step() {
  auto start = Clock::now();
  StepResult result;
  lr_input_ = static_cast<float>(recipe_.learning_rate(step_));
  step_input_ = static_cast<float>(step_ + 1);
  int last = step_program_;
  auto fill = [&](int64_t first) {
    if (samples_)
      samples_->fill(step_ * recipe_.batch * recipe_.accumulate + first, recipe_.batch, row_inputs(0));
    else
      batches_->fill(step_, first, recipe_.batch, ids_.data(), targets_.data());
  };
  if (step_program_ >= 0) {
    fill(0);
  } else {
    for (int64_t m = 0; m < recipe_.accumulate; ++m) {
      fill(m * recipe_.batch);
      ranks_->run(accumulate_program_);
    }
    last = apply_program_;
  }
  ranks_->run(last);
  ++step_;
  result.step = step_;
  result.lr = static_cast<double>(lr_input_);
  result.loss = *ranks_->output(last, "loss").as<const float>();
  result.grad_norm = *ranks_->output(last, "grad_norm").as<const float>();
  result.applied = *ranks_->output(last, "ok").as<const float>() != 0;
  result.tokens = recipe_.batch * recipe_.accumulate * recipe_.sequence();
  result.seconds = since(start);
  return result;
}

data::PackedRow Trainer::row_inputs(int64_t row) {
  const auto at = static_cast<size_t>(row * recipe_.sequence());
  return {&ids_[at], &targets_[at], &segments_[at], &positions_[at]};
}

// Held-out window or row `index` into row `row` of the inputs.
void Trainer::fill_evaluation(int64_t index, int64_t row) {
  const data::PackedRow to = row_inputs(row);
  if (samples_) return samples_->fill_evaluation(index, to);
  data::evaluation_window(validation_tokens_, recipe_.sequence(), index, to.ids, to.targets);
}

double Trainer::evaluate(int64_t batches) {
  const int64_t windows = samples_ ? samples_->evaluation_rows()
                                   : data::evaluation_windows(validation_tokens_, recipe_.sequence());
  if (windows == 0) return std::nan("");
  int64_t count = (windows + recipe_.batch - 1) / recipe_.batch;
  // A part of the text is taken evenly from all of it.
  const int64_t stride = batches > 0 && batches < count ? count / batches : 1;
  if (batches > 0) count = std::min(count, batches);
  double loss = 0, weight = 0;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t r = 0; r < recipe_.batch; ++r) fill_evaluation(i * stride * recipe_.batch + r, r);
    ranks_->run(eval_program_);
    loss += static_cast<double>(*ranks_->output(eval_program_, "loss_sum").as<const float>());
    weight += static_cast<double>(*ranks_->output(eval_program_, "weight_sum").as<const float>());
  }
  return loss / weight;
}

CheckpointParts Trainer::parts() const { return {config_, *tokenizer_, parameters_, *ranks_, kept_files_}; }

void Trainer::save() {
  save_checkpoint(folder_->checkpoints(), parts(), {step_, resume_key(recipe_), data_hash_});
  io::rotate_checkpoints(folder_->checkpoints(), static_cast<int>(recipe_.keep));
  if (recipe_.ema > 0) save_model(recipe_.folder, "model-ema", parts(), /*averages=*/true);
}

void Patience::look(double loss) {
  if (loss < best) {
    best = loss;
    since_best = 0;
  } else {
    ++since_best;
  }
}

// Whether a line of metrics.jsonl is whole and of a step up to `last`; takes its "seconds" and its held-out
// loss if it has them.
static bool is_kept(const std::string& line, int64_t last, double& seconds, Patience& patience) try {
  const io::JsonDocument document = io::JsonDocument::parse(line, "metrics.jsonl");
  const io::Json root = document.root();
  const auto step = root.is_object() ? root.find("step") : std::nullopt;
  if (!step || step->type() != io::JsonType::kInt || step->as_int() > last) return false;
  constexpr double kMost = std::numeric_limits<double>::max();
  if (const auto spent = root.find("seconds"); spent && spent->is_number())
    seconds = spent->as_double(0, kMost);
  const auto kind = root.find("kind");
  if (kind && kind->is_string() && kind->as_string() == "eval" && !root.find("whole")) {
    const auto loss = root.find("loss");
    patience.look(loss && loss->is_number() ? loss->as_double(-kMost, kMost) : std::nan(""));
  }
  return true;
} catch (const Error&) {
  return false;
}

// Lines of steps that a resumed run will take again are dropped, and so is a line cut short by a kill.
void Trainer::truncate_metrics() {
  if (!io::path_exists(folder_->metrics())) return;
  std::string text = io::read_file(folder_->metrics(), size_t{1} << 31), kept;
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find('\n', at);
    if (end == std::string::npos) break;
    std::string line = text.substr(at, end - at);
    at = end + 1;
    if (!is_kept(line, step_, trained_seconds_, patience_)) continue;
    kept += line + "\n";
  }
  io::atomic_write(folder_->metrics(), kept);
}

void Trainer::log(const std::string& line) {
  std::FILE* f = std::fopen(folder_->metrics().c_str(), "ab");
  if (!f) throw_io("cannot write " + folder_->metrics(), errno);
  std::string text = line + "\n";
  bool ok = std::fwrite(text.data(), 1, text.size(), f) == text.size();
  if (std::fclose(f) != 0 || !ok) throw_io("cannot write " + folder_->metrics(), errno);
}

bool Trainer::run(const std::atomic<bool>& stop, std::atomic<bool>* save_now) {
  bool saved_here = true;
  const double waited_before = ranks_->disk_stats().waited;
  double rate = 0;  // tokens per second, smoothed
  auto out_of_time = [&] { return recipe_.max_seconds > 0 && trained_seconds_ >= recipe_.max_seconds; };
  auto out_of_patience = [&] { return recipe_.patience > 0 && patience_.since_best >= recipe_.patience; };
  while (step_ < recipe_.steps && !out_of_time() && !out_of_patience()) {
    if (stop) {
      if (!saved_here) save();
      if (observer_.note)
        observer_.note("stopped at step " + std::to_string(step_) + "; run the same command again to go on");
      return false;
    }
    StepResult r = step();
    saved_here = false;
    trained_seconds_ += r.seconds;
    double now = static_cast<double>(r.tokens) / std::max(r.seconds, 1e-9);
    rate = rate == 0 ? now : 0.95 * rate + 0.05 * now;
    if (step_ % recipe_.log_every == 0 || step_ == recipe_.steps) {
      JsonValue line = {{"kind", "step"},
                        {"step", r.step},
                        {"loss", r.loss},
                        {"loss_hex", hex_of(r.loss)},
                        {"lr", r.lr},
                        {"grad_norm", r.grad_norm},
                        {"tokens", r.step * r.tokens},
                        {"tokens_per_second", rate},
                        {"seconds", trained_seconds_}};
      if (!r.applied) line["applied"] = false;
      log(line.dump());
    }
    double left = static_cast<double>(recipe_.steps - step_) * static_cast<double>(r.tokens) / rate;
    if (recipe_.max_seconds > 0) left = std::min(left, recipe_.max_seconds - trained_seconds_);
    if (observer_.step) observer_.step(r, recipe_.steps, rate, left);
    if (recipe_.eval_every > 0 && step_ % recipe_.eval_every == 0 && step_ < recipe_.steps) {
      double loss = evaluate(recipe_.eval_batches);
      log(JsonValue{{"kind", "eval"}, {"step", step_}, {"loss", loss}}.dump());
      patience_.look(loss);
      if (observer_.evaluation) observer_.evaluation(step_, loss);
    }
    const bool asked = save_now && save_now->exchange(false);
    if (asked || (recipe_.checkpoint_every > 0 && step_ % recipe_.checkpoint_every == 0)) {
      save();
      saved_here = true;
      if (asked && observer_.note) observer_.note("saved a checkpoint at step " + std::to_string(step_));
    }
  }
  if (out_of_patience() && step_ < recipe_.steps && observer_.note)
    observer_.note("stopped early at step " + std::to_string(step_) + ": the held-out loss was lowest " +
                   std::to_string(patience_.since_best) + " evaluations ago");
  if (memory_.budget > 0 && observer_.note && trained_seconds_ > 0) {
    char text[80];
    std::snprintf(text, sizeof text, "waited for the disk %.1f of %.1f s",
                  ranks_->disk_stats().waited - waited_before, trained_seconds_);
    observer_.note(text);
  }
  if (!saved_here) save();
  double loss = evaluate(0);
  log(JsonValue{{"kind", "eval"}, {"step", step_}, {"loss", loss}, {"whole", true}}.dump());
  if (observer_.evaluation) observer_.evaluation(step_, loss);
  save_model(recipe_.folder, "model", parts());
  write_report();
  return true;
}

void Trainer::write_report() {
  report::TrainingReport r = report::read_metrics(folder_->metrics());
  r.title = "Training report: " + recipe_.folder;
  r.facts = {{"Model", std::string(io::family_name(config_.family)) + ", " +
                           report::grouped(models::parameter_count(config_)) + " parameters"},
             {"Training tokens", report::grouped(samples_ ? samples_->train_tokens() : train_tokens_.size())},
             {"Held-out tokens",
              report::grouped(samples_ ? samples_->validation_tokens() : validation_tokens_.size())},
             {"Training time", report::duration(trained_seconds_)},
             {"Precision", recipe_.precision},
             {"Ranks", std::to_string(ranks_->size())},
             {"Memory planned", std::to_string(memory_.total() / 1000000) + " MB"}};
  r.recipe = print(recipe_);
  io::atomic_write(io::join_path(recipe_.folder, "report.html"), report::render(r));
}

}  // namespace hoist::train
