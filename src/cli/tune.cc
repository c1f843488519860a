// hoist tune: finds how products are best cut on this machine, and keeps it for the processes to come.
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <set>

#include "autotune/schedule_file.h"
#include "autotune/tune.h"
#include "base/error.h"
#include "bench/random_model.h"
#include "cli/options.h"
#include "decode/model.h"
#include "hub/store.h"
#include "io/json_value.h"

namespace hoist::cli {

namespace {

using autotune::GemmKey;
using autotune::GemmLayout;
using autotune::Problem;
using autotune::TuneResult;
using Clock = std::chrono::steady_clock;

constexpr int64_t kMostSize = int64_t{1} << 24;

struct Flags {
  std::vector<std::string> shapes;
  std::string model, rows = "1,8,256", dtype = "f32", layout = "panels", isa, schedules;
  int threads = 0, rounds = 11;
  double turn = 0.2;
  bool exhaustive = false, json = false, dry_run = false;
};

std::vector<int64_t> numbers(const std::string& text, char separator, const std::string& flag,
                             const char* expected) {
  std::vector<int64_t> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    const std::string part = text.substr(at, end - at);
    int64_t value = 0;
    const bool digits =
        !part.empty() && part.size() <= 8 && part.find_first_not_of("0123456789") == part.npos;
    if (digits) value = std::stoll(part);
    if (value < 1 || value > kMostSize) throw_invalid(flag + ": found '" + text + "', expected " + expected);
    out.push_back(value);
    at = end + 1;
  }
  return out;
}

// [out, in] of each different linear layer.
std::vector<std::pair<int64_t, int64_t>> linear_layers(const std::string& model) {
  io::ModelConfig c;
  if (model == "llama-1.1b" || model == "gpt2-124m" || model == "tiny")
    c = bench::shape_config(model);
  else
    c = decode::open_model(hub::resolve_model(model)).config;
  std::vector<std::pair<int64_t, int64_t>> out;
  auto add = [&](int64_t n, int64_t k) {
    for (const auto& seen : out)
      if (seen == std::pair{n, k}) return;
    out.emplace_back(n, k);
  };
  add(c.heads * c.head_dim, c.hidden);     // q
  add(c.kv_heads * c.head_dim, c.hidden);  // k, v
  add(c.hidden, c.heads * c.head_dim);     // out
  add(c.intermediate, c.hidden);           // up, gate
  add(c.hidden, c.intermediate);           // down
  add(c.vocab, c.hidden);                  // the head
  if (c.experts > 0) {
    add(c.expert_intermediate, c.hidden);
    add(c.hidden, c.expert_intermediate);
  }
  return out;
}

kernels::Isa instruction_set(const std::string& name) {
  if (name.empty()) return kernels::best_isa();
  for (kernels::Isa i :
       {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512, kernels::Isa::kAvx512Dot})
    if (kernels::isa_name(i) == name) {
      if (!kernels::isa_available(i)) throw_unsupported("--isa: this machine has no " + name);
      return i;
    }
  throw_invalid("--isa: found '" + name + "', expected portable, avx2, avx512 or avx512dot");
}

std::vector<Problem> problems(const Flags& f, int threads) {
  Problem p;
  p.threads = threads;
  p.isa = instruction_set(f.isa);
  const auto type = dtype_from_name(f.dtype);
  if (!type || (*type != DType::f32 && *type != DType::bf16))
    throw_invalid("--dtype: found '" + f.dtype + "', expected f32 or bf16");
  p.key.x = p.key.w = *type;
  if (!kernels::cpu::find_layout(f.layout, &p.key.layout))
    throw_invalid("--layout: found '" + f.layout + "', expected panels, nt, nn, tn or tt");
  std::vector<Problem> out;
  auto add = [&](int64_t m, int64_t n, int64_t k) {
    p.m = m;
    p.key.n = n;
    p.key.k = k;
    const double bytes = 4.0 * (static_cast<double>(m) * static_cast<double>(k) +
                                static_cast<double>(n) * static_cast<double>(k) +
                                static_cast<double>(m) * static_cast<double>(n));
    if (bytes > 64e9)
      throw_invalid("--shape: " + p.text() + " needs " + human_bytes(static_cast<int64_t>(bytes)) +
                    ", expected at most 64 GB");
    out.push_back(p);
  };
  for (const std::string& text : f.shapes) {
    const auto s = numbers(text, 'x', "--shape", "ROWSxOUTxIN such as 256x768x3072");
    if (s.size() != 3)
      throw_invalid("--shape: found '" + text + "', expected ROWSxOUTxIN such as 256x768x3072");
    add(s[0], s[1], s[2]);
  }
  if (!f.model.empty())
    for (const auto& [n, k] : linear_layers(f.model))
      for (int64_t m : numbers(f.rows, ',', "--rows", "numbers such as 1,8,256")) add(m, n, k);
  if (out.empty()) throw_invalid("tune: nothing to tune; give --shape ROWSxOUTxIN or --model");
  return out;
}

class Progress {
 public:
  Progress(size_t problems) : shown_(isatty(2) != 0), problems_(problems) {}
  void begin(size_t at, const std::string& text) {
    at_ = at;
    text_ = text;
    begun_ = Clock::now();
  }
  // Time left is of this shape, and of those after it as if they took as long as those before.
  void show(int64_t done, int64_t all) {
    const Clock::time_point now = Clock::now();
    if (!shown_ || now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    const double spent = std::chrono::duration<double>(now - begun_).count();
    const double left = spent / static_cast<double>(done) * static_cast<double>(all - done);
    const double before = std::chrono::duration<double>(begun_ - start_).count();
    const double each = at_ > 0 ? before / static_cast<double>(at_) : spent + left;
    std::fprintf(stderr, "\r\033[K[%zu/%zu] %s: %lld of %lld turns, %.0f s left", at_ + 1, problems_,
                 text_.c_str(), static_cast<long long>(done), static_cast<long long>(all),
                 left + each * static_cast<double>(problems_ - at_ - 1));
    std::fflush(stderr);
  }
  void clear() const {
    if (shown_) std::fprintf(stderr, "\r\033[K");
  }

 private:
  bool shown_;
  size_t problems_, at_ = 0;
  std::string text_;
  Clock::time_point start_ = Clock::now(), begun_ = start_, last_{};
};

void print(const TuneResult& r) {
  std::printf("%-30s %9.1f us  default %9.1f us  %5.2fx  model %9.1f us  %lld of %lld tried, %.1f s\n",
              r.problem.text().c_str(), r.seconds * 1e6, r.default_seconds * 1e6,
              r.default_seconds / r.seconds, r.predicted * 1e6, static_cast<long long>(r.trials),
              static_cast<long long>(r.space), r.spent);
  std::printf("  %s\n", r.schedule == autotune::GemmSchedule{} ? "the default" : r.schedule.text().c_str());
  if (r.exhaustive)
    std::printf("  of the whole space %+.1f %% from the best (%.1f us: %s); model's rank correlation %.2f\n",
                r.exhaustive->gap * 100, r.exhaustive->best_seconds * 1e6, r.exhaustive->best.text().c_str(),
                r.exhaustive->rank_correlation);
  std::fflush(stdout);
}

io::JsonValue to_json(const TuneResult& r) {
  io::JsonValue j = {{"rows", r.problem.m},
                     {"out", r.problem.key.n},
                     {"in", r.problem.key.k},
                     {"dtype", dtype_name(r.problem.key.w)},
                     {"layout", kernels::cpu::layout_name(r.problem.key.layout)},
                     {"threads", r.problem.threads},
                     {"isa", kernels::isa_name(r.problem.isa)},
                     {"schedule", r.schedule.text()},
                     {"predicted_us", r.predicted * 1e6},
                     {"measured_us", r.seconds * 1e6},
                     {"default_us", r.default_seconds * 1e6},
                     {"gain", r.default_seconds / r.seconds},
                     {"space", r.space},
                     {"trials", r.trials},
                     {"seconds", r.spent},
                     {"rank_correlation", r.rank_correlation}};
  if (r.exhaustive)
    j["exhaustive"] = {{"best", r.exhaustive->best.text()},
                       {"best_us", r.exhaustive->best_seconds * 1e6},
                       {"chosen_us", r.exhaustive->chosen_seconds * 1e6},
                       {"gap", r.exhaustive->gap},
                       {"rank_correlation", r.exhaustive->rank_correlation}};
  if (r.exhaustive)
    for (const autotune::Trial& t : r.exhaustive->all)
      j["exhaustive"]["all"].push_back({{"schedule", t.schedule.text()},
                                        {"predicted_us", t.predicted * 1e6},
                                        {"measured_us", t.seconds * 1e6}});
  return j;
}

void summary(const std::vector<TuneResult>& all) {
  std::vector<double> gaps;
  double log_sum = 0, share = 0, gain = 0;
  for (const TuneResult& r : all) {
    gain += std::log(r.default_seconds / r.seconds);
    if (!r.exhaustive) continue;
    gaps.push_back(r.exhaustive->gap);
    log_sum += std::log1p(r.exhaustive->gap);
    share = std::max(share, static_cast<double>(r.trials) / static_cast<double>(r.space));
  }
  std::printf("%zu shapes: %.3fx the default (geometric mean)\n", all.size(),
              std::exp(gain / static_cast<double>(all.size())));
  if (gaps.empty()) return;
  std::sort(gaps.begin(), gaps.end());
  std::printf(
      "from the best of the space: geometric mean %+.2f %%, median %+.2f %%, worst %+.2f %%; at most "
      "%.1f %% of a space tried\n",
      std::expm1(log_sum / static_cast<double>(gaps.size())) * 100, gaps[gaps.size() / 2] * 100,
      gaps.back() * 100, share * 100);
}

void run(const Flags& f) {
  if (f.threads < 0 || f.threads > 4096)
    throw_invalid("--threads: found " + std::to_string(f.threads) + ", expected 0..4096");
  if (f.rounds < 1 || f.rounds > 1000)
    throw_invalid("--rounds: found " + std::to_string(f.rounds) + ", expected 1..1000");
  if (!(f.turn >= 0 && f.turn <= 1000))
    throw_invalid("--turn: found " + std::to_string(f.turn) + ", expected 0..1000 (milliseconds)");
  ThreadPoolOptions pool_options;
  pool_options.threads = f.threads;
  ThreadPool pool(pool_options);
  const std::vector<Problem> list = problems(f, pool.threads());
  const std::string path = f.schedules.empty() ? autotune::default_schedules_path() : f.schedules;
  if (path.empty() && !f.dry_run)
    throw_invalid(
        "--schedules: no place to keep results (HOME is not set, or HOIST_SCHEDULES=off); give a path");
  const autotune::Machine machine = autotune::measure_machine(list[0].isa, pool);
  autotune::TuneOptions options;
  options.rounds = f.rounds;
  options.turn_seconds = f.turn * 1e-3;
  options.exhaustive = f.exhaustive;
  Progress progress(list.size());
  std::vector<TuneResult> results;
  std::vector<autotune::ScheduleEntry> entries;
  io::JsonValue out = io::JsonValue::array();
  const std::string cpu = autotune::cpu_name();
  for (size_t i = 0; i < list.size(); ++i) {
    progress.begin(i, list[i].text());
    results.push_back(autotune::tune(list[i], machine, pool, options,
                                     [&](int64_t done, int64_t all) { progress.show(done, all); }));
    const TuneResult& r = results.back();
    progress.clear();
    if (f.json)
      out.push_back(to_json(r));
    else
      print(r);
    entries.push_back({cpu, std::string(kernels::isa_name(r.problem.isa)), r.problem.key, r.problem.m,
                       r.problem.threads, r.schedule, r.seconds, r.default_seconds});
    // After each: who stops a long run keeps what was found.
    if (!f.dry_run) autotune::save_schedules(path, {entries.back()});
  }
  if (f.json) {
    std::printf("%s\n", out.dump(1).c_str());
    return;
  }
  summary(results);
  if (!f.dry_run) std::printf("kept in %s\n", path.c_str());
}

}  // namespace

void add_tune(Command root) {
  auto f = std::make_shared<Flags>();
  Command app = root.command("tune", "Find how matrix products are best cut on this machine");
  app.add_option("--shape", f->shapes, "A product to tune: ROWSxOUTxIN; may be given several times")
      .repeated();
  app.option("--model", f->model, "Tune a model's linear layers: a folder or .gguf, llama-1.1b or gpt2-124m");
  app.option("--rows", f->rows, "With --model: tokens computed at once (1: one stream, 256: a prompt)");
  app.option("--dtype", f->dtype, "Of activations and weights: f32 or bf16");
  app.option(
      "--layout", f->layout,
      "panels: weights packed when loaded (generate, serve); nt: [out, in] as they lie; nn: [in, out]; "
      "tn, tt: "
      "activations lie as [in, rows]");
  app.option("--threads", f->threads, "Threads; 0: one per core");
  app.option("--isa", f->isa, "portable, avx2, avx512 or avx512dot; empty: the best of this machine");
  app.option("--rounds", f->rounds, "Turns of each schedule; figures are medians");
  app.option("--turn", f->turn, "Milliseconds of one turn at least");
  app.option("--schedules", f->schedules,
             "File to keep results in (default: hoist/schedules.json in the user's cache folder)");
  app.flag("--exhaustive", f->exhaustive,
           "Then time the whole space too, and say how far the choice is from its best");
  app.flag("--dry-run", f->dry_run, "Keep nothing");
  app.flag("--json", f->json, "Print an array of results as JSON");
  app.footer(
      "A schedule says how a product is cut: columns packed at once, rows packed at once, which loop is "
      "inside,\n"
      "what threads share out, which operand is cut into slivers, prefetch. Results are the same bits under "
      "every\n"
      "one; only time differs. A model of the machine ranks them all, the best few are timed in turns with "
      "the\n"
      "default (at most a twentieth of the space), and the default stays unless another is 0.5 % faster.\n"
      "Results are kept per CPU, instruction set and number of threads; generate, serve, train and bench "
      "read "
      "them\n"
      "when they start. A number of rows that was not tuned takes the nearest within a factor of two.\n"
      "HOIST_SCHEDULES names another file; off: none is read. Block formats (q4_k and so on) are not tuned.\n"
      "Let nothing else run meanwhile.\n\n"
      "Examples:\n"
      "  hoist tune --model llama-1.1b --dtype bf16 --rows 1,8,256\n"
      "  hoist tune --shape 256x768x3072 --layout nt --dry-run --exhaustive");
  app.callback([f] { run(*f); });
}

}  // namespace hoist::cli
