// hoist train: a run from a recipe, with a progress bar, resumable at any moment.
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>

#include "base/error.h"
#include "cli/options.h"
#include "train/digits_trainer.h"
#include "train/trainer.h"

namespace hoist::cli {

namespace {

std::atomic<bool> g_stop{false};  // set by the signal handler, which can reach nothing else

std::atomic<bool> g_save{false};

void on_save(int) { g_save = true; }

void on_signal(int) {
  if (g_stop.exchange(true)) _exit(130);  // the second time: at once; the newest checkpoint stands
}

struct TrainOptions {
  std::string recipe, trace, memory;
  std::vector<std::string> overrides;
  bool keys = false, json = false, dry_run = false;
};

std::string clock_text(double seconds) {
  if (!(seconds >= 0) || seconds > 359999) return "--:--";
  int64_t s = static_cast<int64_t>(seconds + 0.5);
  char text[32];
  if (s >= 3600)
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", static_cast<long long>(s / 3600),
                  static_cast<long long>(s / 60 % 60), static_cast<long long>(s % 60));
  else
    std::snprintf(text, sizeof text, "%lld:%02lld", static_cast<long long>(s / 60),
                  static_cast<long long>(s % 60));
  return text;
}

// Data are anybody's: what could steer a terminal is shown, not sent.
std::string printable(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const unsigned next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0u;
    const bool c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0;  // U+0080 to U+009F
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f || c1) {
      char code[16];
      std::snprintf(code, sizeof code, "\\x%02x", c1 ? next : byte);
      out += code;
      i += c1;
    } else {
      out += text[i];
    }
  }
  return out;
}

// A bar on a terminal, a line now and then in a file.
class Progress {
 public:
  Progress() : terminal_(isatty(2) != 0) {}

  void note(const std::string& text) {
    clear();
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  void preparing(const char* what, int64_t done, int64_t total) {
    if (!terminal_ || total <= 0) return;
    draw(what, static_cast<double>(done) / static_cast<double>(total), "");
    if (done >= total) clear();
  }
  void step(const train::StepResult& r, int64_t steps, double rate, double left) {
    smoothed_ =
        smoothed_ == 0 ? static_cast<double>(r.loss) : 0.95 * smoothed_ + 0.05 * static_cast<double>(r.loss);
    char text[160];
    std::snprintf(text, sizeof text, "step %lld/%lld  loss %.4f  %.0f tokens/s  %s left%s",
                  static_cast<long long>(r.step), static_cast<long long>(steps), smoothed_, rate,
                  clock_text(left).c_str(), r.applied ? "" : "  (not finite: skipped)");
    if (terminal_)
      draw("", static_cast<double>(r.step) / static_cast<double>(steps), text);
    else if (r.step == 1 || r.step == steps || r.step % std::max<int64_t>(1, steps / 20) == 0)
      std::fprintf(stderr, "%s\n", text);
  }

 private:
  void draw(const char* label, double share, const std::string& text) {
    constexpr int kWidth = 24;
    int full = static_cast<int>(share * kWidth + 0.5);
    std::string bar(static_cast<size_t>(full), '=');
    bar.resize(kWidth, ' ');
    std::fprintf(stderr, "\r\033[K%s%s[%s] %3d%%  %s", label, *label ? " " : "", bar.c_str(),
                 static_cast<int>(share * 100), text.c_str());
    std::fflush(stderr);
    drawn_ = true;
  }
  void clear() {
    if (drawn_) std::fprintf(stderr, "\r\033[K");
    drawn_ = false;
  }
  bool terminal_, drawn_ = false;
  double smoothed_ = 0;
};

// The first samples, tokens with loss in green on a terminal and in [[ ]] elsewhere.
void show_samples(const train::Trainer& trainer) {
  const bool colour = isatty(1) != 0 && !std::getenv("NO_COLOR");
  const text::Tokenizer& tokenizer = trainer.tokenizer();
  int number = 0;
  for (const data::TokenSample& sample : trainer.first_samples()) {
    std::printf("%ssample %d: %zu tokens\n", number ? "\n" : "", number + 1, sample.ids.size());
    ++number;
    for (size_t i = 0; i < sample.ids.size();) {
      size_t end = i;
      while (end < sample.ids.size() && sample.trained[end] == sample.trained[i]) ++end;
      const std::string text =
          printable(tokenizer.decode(std::span(sample.ids).subspan(i, end - i), /*skip_special=*/false));
      const bool loss = sample.trained[i] != 0;
      if (colour)
        std::printf("%s%s\033[0m", loss ? "\033[1;32m" : "\033[2m", text.c_str());
      else
        std::printf("%s%s%s", loss ? "[[" : "", text.c_str(), loss ? "]]" : "");
      i = end;
    }
    std::printf("\n");
  }
  if (number) std::printf("\n%s carries loss\n", colour ? "\033[1;32mgreen\033[0m" : "[[ ]]");
}

void run_digits(const TrainOptions& o, const train::Recipe& recipe, const train::TrainObserver& observer,
                Progress& progress) {
  runtime::Trace trace;
  train::DigitsTrainer trainer(recipe, observer, o.trace.empty() ? nullptr : &trace);
  progress.note("model: " + human_count(trainer.parameter_count()) + " parameters");
  if (o.dry_run) return;
  const bool finished = trainer.run(g_stop);
  if (!o.trace.empty()) trace.write(o.trace);
  if (!finished) throw Error(ErrorCode::kUnavailable, "interrupted");
  progress.note("saved " + recipe.folder + "/model.safetensors and accuracy.json");
}

void run(const TrainOptions& o) {
  if (o.keys) {
    std::printf("%s", train::recipe_help().c_str());
    return;
  }
  if (o.recipe.empty())
    throw_invalid("hoist train: expected a recipe; `hoist train --help` shows an example");
  std::vector<std::string> overrides = o.overrides;
  if (!o.memory.empty()) overrides.push_back("memory.budget=" + o.memory);
  train::Recipe recipe = train::load_recipe(o.recipe, overrides);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGUSR1, on_save);
  Progress progress;
  train::TrainObserver observer;
  observer.note = [&](const std::string& text) { progress.note(text); };
  observer.progress = [&](const char* what, int64_t done, int64_t total) {
    progress.preparing(what, done, total);
  };
  observer.step = [&](const train::StepResult& r, int64_t steps, double rate, double left) {
    progress.step(r, steps, rate, left);
  };
  observer.evaluation = [&](int64_t step, double loss) {
    char text[80];
    std::snprintf(text, sizeof text, "step %lld: held-out loss %.4f", static_cast<long long>(step), loss);
    if (!std::isnan(loss)) progress.note(text);
  };
  if (recipe.task == "digits") return run_digits(o, recipe, observer, progress);
  runtime::Trace trace;
  train::Trainer trainer(recipe, observer, o.trace.empty() ? nullptr : &trace);
  const train::MemoryEstimate& m = trainer.memory();
  progress.note("model: " + human_count(models::parameter_count(trainer.config())) +
                " parameters; memory planned: " + human_bytes(m.total()) + " (weights and optimizer " +
                human_bytes(m.states) + ", activations and gradients " + human_bytes(m.arena) + ", tokens " +
                human_bytes(m.data) + ")");
  if (m.budget > 0)
    progress.note("memory budget: " + human_bytes(m.budget) + "; on disk " + human_bytes(m.disk) +
                  ", of which a step reads " + human_bytes(m.disk_read) + " and writes " +
                  human_bytes(m.disk_written));
  if (o.dry_run) return show_samples(trainer);
  bool finished = trainer.run(g_stop, &g_save);
  if (!o.trace.empty()) trace.write(o.trace);
  if (!finished) throw Error(ErrorCode::kUnavailable, "interrupted");
  progress.note("saved " + trainer.model_folder() + " and " + recipe.folder + "/report.html");
}

}  // namespace

void add_train(Command root) {
  auto o = std::make_shared<TrainOptions>();
  Command app = root.command("train", "Train a model from a recipe; run again to resume");
  app.add_option("recipe", o->recipe, "Recipe file (TOML)").envname("HOIST_RECIPE");
  app.add_option("overrides", o->overrides,
                 "key=value pairs that replace the recipe's: lr=1e-3, train.steps=500");
  app.flag("--keys", o->keys, "List every key of a recipe with its default and meaning");
  app.option("--memory", o->memory,
             "Keep the process to this much memory, such as 2GiB; what does not fit moves to disk and back");
  app.flag("--dry-run", o->dry_run,
           "Read the data, plan the memory, show where loss lies in the first samples; train nothing");
  app.option("--trace", o->trace, "Write a Chrome trace of every instruction to this file");
  app.footer(
      "Checkpoints, metrics.jsonl, report.html and the finished model go to output.folder. Ctrl-C saves and "
      "ends; SIGUSR1 saves and goes on.\n"
      "Examples:\n  hoist train recipes/start.toml\n  hoist train recipes/start.toml steps=200 lr=1e-3 "
      "output.folder=out/mine");
  app.callback([o] { run(*o); });
}

}  // namespace hoist::cli
