#include "train/digits_trainer.h"

#include <chrono>
#include <cstring>

#include "base/error.h"
#include "base/rng.h"
#include "data/digits.h"
#include "io/files.h"
#include "io/json_value.h"
#include "io/safetensors.h"
#include "passes/pipeline.h"
#include "train/optimizer_recipe.h"

namespace hoist::train {

using Clock = std::chrono::steady_clock;
using io::JsonValue;

namespace {

constexpr int64_t kPixels = data::kDigitSize * data::kDigitSize;

// The held-out set is drawn with indices that no training set reaches.
constexpr int64_t kHeldOut = int64_t{1} << 40;

void draw(uint64_t seed, int64_t first, int64_t count, std::vector<float>& pixels,
          std::vector<int32_t>& labels) {
  pixels.resize(static_cast<size_t>(count * kPixels));
  labels.resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    labels[static_cast<size_t>(i)] =
        data::draw_digit(seed, first + i, &pixels[static_cast<size_t>(i * kPixels)]);
}

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

DigitsTrainer::DigitsTrainer(const Recipe& recipe, TrainObserver observer, runtime::Trace* trace)
    : recipe_(recipe), observer_(std::move(observer)) {
  const auto seed = static_cast<uint64_t>(recipe_.seed);
  draw(seed, 0, recipe_.pictures, pictures_, picture_labels_);
  draw(seed, kHeldOut, recipe_.held_out, held_out_, held_out_labels_);
  if (observer_.note)
    observer_.note("digits: " + std::to_string(recipe_.pictures) + " to train on, " +
                   std::to_string(recipe_.held_out) + " held out");
  config_.size = data::kDigitSize;
  config_.width = recipe_.maps;
  config_.batch = recipe_.batch;
  const std::vector<models::Parameter> parameters = models::parameters(config_);

  passes::OptimizerSpec spec = optimizer_spec(recipe_);
  if (spec.kind == passes::Optimizer::kMuon || spec.ema > 0 || spec.scale_growth > 0 || recipe_.memory() > 0)
    throw_invalid(
        "model.task = digits: expected another train.optimizer than muon, no train.ema, no train.loss_scale "
        "and no memory.budget");
  spec.groups.clear();
  for (const models::Parameter& p : parameters)
    spec.groups.push_back({p.name, 0, p.bias ? 0.0 : recipe_.decay, 1.0});
  RanksOptions options;
  options.threads = static_cast<int>(recipe_.threads);
  options.trace = trace;
  ranks_ = std::make_unique<Ranks>(options);
  passes::PassRunner runner(options.build.passes);
  step_program_ = ranks_->add(passes::training_passes(models::train_graph(config_), spec, 1, runner).step);
  eval_program_ = ranks_->add(models::evaluation_graph(config_));
  ranks_->prepare();
  images_.resize(static_cast<size_t>(config_.batch * kPixels));
  labels_.resize(static_cast<size_t>(config_.batch));
  for (int program : {step_program_, eval_program_}) {
    ranks_->set_input(program, "images", images_.data());
    ranks_->set_input(program, "labels", labels_.data());
  }
  ranks_->set_input(step_program_, "lr", &lr_input_);
  ranks_->set_input(step_program_, "step", &step_input_);

  std::vector<models::Parameter> states = models::running_statistics(config_);
  states.insert(states.end(), parameters.begin(), parameters.end());
  for (const models::Parameter& p : states) {
    const CounterRng rng(seed, stable_hash(p.name));
    std::vector<float> values(static_cast<size_t>(p.type.elements()),
                              p.init.kind == models::Init::Kind::kOnes ? 1.0f : 0.0f);
    if (p.init.kind == models::Init::Kind::kNormal)
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(rng.normal(i) * p.init.std);
    ranks_->write_state(p.name, values.data());
  }
}

// Each step's pictures are drawn from the set by the step's number.
StepResult DigitsTrainer::step() {
  const auto start = Clock::now();
  const CounterRng rng(static_cast<uint64_t>(recipe_.seed), stable_hash("digits.batch"));
  for (int64_t i = 0; i < config_.batch; ++i) {
    const auto at = static_cast<size_t>(
        rng.below(static_cast<uint64_t>(step_ * config_.batch + i), static_cast<uint64_t>(recipe_.pictures)));
    std::memcpy(&images_[static_cast<size_t>(i * kPixels)], &pictures_[at * kPixels],
                kPixels * sizeof(float));
    labels_[static_cast<size_t>(i)] = picture_labels_[at];
  }
  lr_input_ = static_cast<float>(recipe_.learning_rate(step_));
  step_input_ = static_cast<float>(step_ + 1);
  ranks_->run(step_program_);
  StepResult r;
  r.step = ++step_;
  r.lr = static_cast<double>(lr_input_);
  r.loss = *ranks_->output(step_program_, "loss").as<const float>();
  r.grad_norm = *ranks_->output(step_program_, "grad_norm").as<const float>();
  r.applied = *ranks_->output(step_program_, "ok").as<const float>() != 0;
  r.tokens = config_.batch;
  r.seconds = since(start);
  return r;
}

DigitsTrainer::Score DigitsTrainer::evaluate() {
  double loss = 0, weight = 0, correct = 0;
  for (int64_t first = 0; first < recipe_.held_out; first += config_.batch) {
    const int64_t count = std::min(config_.batch, recipe_.held_out - first);
    std::memcpy(images_.data(), &held_out_[static_cast<size_t>(first * kPixels)],
                static_cast<size_t>(count * kPixels) * sizeof(float));
    std::fill(labels_.begin(), labels_.end(), -1);
    std::copy_n(held_out_labels_.begin() + first, count, labels_.begin());
    ranks_->run(eval_program_);
    loss += static_cast<double>(*ranks_->output(eval_program_, "loss_sum").as<const float>());
    weight += static_cast<double>(*ranks_->output(eval_program_, "weight_sum").as<const float>());
    correct += static_cast<double>(*ranks_->output(eval_program_, "correct").as<const float>());
  }
  return {loss / weight, correct / weight};
}

int64_t DigitsTrainer::parameter_count() const {
  int64_t n = 0;
  for (const models::Parameter& p : models::parameters(config_)) n += p.type.elements();
  return n;
}

void DigitsTrainer::write_model(const Score& score) {
  std::vector<models::Parameter> states = models::parameters(config_);
  for (const models::Parameter& p : models::running_statistics(config_)) states.push_back(p);
  std::vector<io::TensorSpec> specs;
  for (const models::Parameter& p : states) specs.push_back({p.name, DType::f32, p.shape});
  io::SafetensorsWriter writer(io::join_path(recipe_.folder, "model.safetensors"), specs);
  for (const io::TensorInfo& t : writer.tensors()) {
    std::vector<float> values(static_cast<size_t>(t.elements()));
    ranks_->read_state(t.name, values.data());
    writer.write(t.name, values.data(), t.bytes());
  }
  writer.finish();
  const JsonValue summary = {{"task", "digits"},
                             {"steps", step_},
                             {"held_out", recipe_.held_out},
                             {"loss", score.loss},
                             {"accuracy", score.accuracy}};
  io::atomic_write(io::join_path(recipe_.folder, "accuracy.json"), summary.dump(2) + "\n");
}

bool DigitsTrainer::run(const std::atomic<bool>& stop) {
  io::make_dirs(recipe_.folder);
  const io::DirLock lock(recipe_.folder);
  io::atomic_write(io::join_path(recipe_.folder, "recipe.toml"), print(recipe_));
  std::string metrics;
  auto note = [&](const std::string& text) {
    if (observer_.note) observer_.note(text);
  };
  auto score_now = [&] {
    const Score s = evaluate();
    metrics +=
        JsonValue{{"kind", "eval"}, {"step", step_}, {"loss", s.loss}, {"accuracy", s.accuracy}}.dump() +
        "\n";
    char text[96];
    std::snprintf(text, sizeof text, "step %lld: held-out loss %.4f, accuracy %.2f %%",
                  static_cast<long long>(step_), s.loss, 100 * s.accuracy);
    note(text);
    return s;
  };
  double seconds = 0;
  while (step_ < recipe_.steps && !(recipe_.max_seconds > 0 && seconds >= recipe_.max_seconds)) {
    if (stop) return false;
    const StepResult r = step();
    seconds += r.seconds;
    if (step_ % recipe_.log_every == 0 || step_ == recipe_.steps)
      metrics += JsonValue{{"kind", "step"}, {"step", r.step},           {"loss", r.loss},
                           {"lr", r.lr},     {"grad_norm", r.grad_norm}, {"seconds", seconds}}
                     .dump() +
                 "\n";
    const double rate = static_cast<double>(step_ * config_.batch) / std::max(seconds, 1e-9);
    if (observer_.step)
      observer_.step(r, recipe_.steps, rate,
                     static_cast<double>((recipe_.steps - step_) * config_.batch) / rate);
    if (recipe_.eval_every > 0 && step_ % recipe_.eval_every == 0 && step_ < recipe_.steps) score_now();
  }
  const Score final_score = score_now();
  io::atomic_write(io::join_path(recipe_.folder, "metrics.jsonl"), metrics);
  write_model(final_score);
  return true;
}

}  // namespace hoist::train
