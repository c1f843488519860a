// hoist quantize: a model as one GGUF file, its weights in blocks of small integers or as plain floats.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/threads.h"
#include "cli/options.h"
#include "decode/quantize.h"
#include "hub/store.h"
#include "io/files.h"

namespace hoist::cli {

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string model, out;
  decode::QuantizeOptions quantize;
  bool force = false, dry_run = false, quiet = false;
  int threads = 0;
};

// One line that is written over, with what is left to wait; nothing when the output is no terminal.
class ProgressLine {
 public:
  explicit ProgressLine(bool shown) : shown_(shown) {}
  void show(int64_t done, int64_t all) {
    const Clock::time_point now = Clock::now();
    if (!shown_ || (done < all && now - last_ < std::chrono::milliseconds(200))) return;
    last_ = now;
    const double spent = std::chrono::duration<double>(now - start_).count();
    const double share = all > 0 ? static_cast<double>(done) / static_cast<double>(all) : 1;
    std::fprintf(stderr, "\r%3.0f %%  %s of %s read, %.0f s left   ", 100 * share, human_bytes(done).c_str(),
                 human_bytes(all).c_str(), share > 0 ? spent / share - spent : 0.0);
    if (done == all) std::fprintf(stderr, "\r%60s\r", "");
    std::fflush(stderr);
  }

 private:
  bool shown_;
  Clock::time_point start_ = Clock::now(), last_{};
};

std::string in_cases(const decode::QuantizePlan& plan) {
  struct Sum {
    int64_t tensors = 0, bytes = 0;
  };
  std::map<std::string, Sum> sums;
  for (const decode::QuantizeStep& step : plan.steps) {
    Sum& sum = sums[std::string(step.type->name)];
    ++sum.tensors;
    sum.bytes += step.bytes();
  }
  std::string out;
  for (const auto& [name, sum] : sums)
    out += "  " + name + std::string(name.size() < 6 ? 6 - name.size() : 0, ' ') +
           std::to_string(sum.tensors) + " tensors, " + human_bytes(sum.bytes) + "\n";
  return out;
}

void run(const Options& o) {
  const decode::Model model = decode::open_model(hub::resolve_model(o.model));
  const decode::QuantizePlan plan = decode::plan_quantize(model, o.quantize);
  const std::string path = o.out.empty() ? model.name + "-" + o.quantize.to + ".gguf" : o.out;
  if (!path.ends_with(".gguf"))
    throw_invalid("--out: found '" + path + "', expected a name that ends in .gguf");
  int fallbacks = 0;
  for (const decode::QuantizeStep& step : plan.steps) fallbacks += step.fallback;
  if (!o.quiet) {
    if (!plan.note.empty()) std::fprintf(stderr, "note: %s\n", plan.note.c_str());
    if (fallbacks > 0)
      std::fprintf(stderr,
                   "note: %d tensors have rows that are no whole number of %s blocks and take another format "
                   "(hoist inspect --tensors shows which)\n",
                   fallbacks, o.quantize.to.c_str());
  }
  if (o.dry_run) {
    for (const decode::QuantizeStep& step : plan.steps)
      std::printf("%-32s %-6s -> %-6s %12s%s\n", step.name.gguf.c_str(), step.source->dtype_text.c_str(),
                  std::string(step.type->name).c_str(), human_bytes(step.bytes()).c_str(),
                  step.fallback ? "  (rows are no whole blocks)" : "");
    std::printf("%s: would hold\n%s", path.c_str(), in_cases(plan).c_str());
    return;
  }
  if (io::path_exists(path) && !o.force)
    throw_invalid("--out: " + path + " is there already; give another name, or --force to replace it");
  // Parts of the source are read while the new file is written, but the rename would still lose the original.
  if (model.gguf)
    for (const auto& part : model.gguf->parts())
      if (io::path_exists(path) && io::RandomFile(path).identity() == part->identity())
        throw_invalid("--out: " + path + " is the file that is read; give another name");
  ThreadPoolOptions pool_options;
  pool_options.threads = o.threads;
  ThreadPool pool(pool_options);
  ProgressLine line(isatty(2) && !o.quiet);
  const Clock::time_point start = Clock::now();
  const io::FileDigest digest = decode::write_quantized(
      model, plan, path, pool, [&](int64_t done, int64_t all) { line.show(done, all); });
  if (!o.quiet)
    std::printf("%s: %s in %.1f s\n%s", path.c_str(), human_bytes(digest.bytes).c_str(),
                std::chrono::duration<double>(Clock::now() - start).count(), in_cases(plan).c_str());
}

}  // namespace

void add_quantize(Command root) {
  auto o = std::make_shared<Options>();
  Command app = root.command("quantize", "Write a model as one GGUF file, smaller and faster to run");
  app.add_option("model", o->model, "Model folder (config.json, *.safetensors, tokenizer.json) or .gguf file")
      .required()
      .envname("HOIST_MODEL");
  std::string formats;
  for (const std::string& name : decode::quantize_formats()) formats += (formats.empty() ? "" : ", ") + name;
  app.add_option("--to", o->quantize.to, "Format of the matrices: " + formats).required();
  app.option("-o,--out", o->out, "File to write (default: MODEL-FORMAT.gguf here)");
  app.option("--head", o->quantize.head,
             "Format of the matrix that gives the logits (default: q6_k, or the wanted one from q8_0 up)");
  app.option("--embedding", o->quantize.embedding, "Format of an embedding table that is not the head too");
  app.flag("--requantize", o->quantize.requantize, "Allow a source that is in blocks already: errors add up");
  app.flag("--force", o->force, "Replace the file if it is there");
  app.flag("--dry-run", o->dry_run, "Say what would be written, tensor by tensor, and write nothing");
  app.flag("--quiet", o->quiet, "Print nothing but errors");
  app.option("--threads", o->threads, "Threads; 0: one per core");
  app.footer(
      "Bits per weight and what they cost: q8_0 8.5 (as good as bf16), q6_k 6.6, q5_k 5.5, q4_k 4.5 (the "
      "usual\n"
      "choice), q4_0 4.5 (simpler, a little worse). Norms, biases and GPT-2's positions stay f32. Rows that "
      "are no\n"
      "multiple of 256 take q5_0 for q4_k, q5_1 for q5_k, q8_0 for q6_k; no multiple of 32: f16.\n"
      "The file holds the tokenizer too, and llama.cpp opens it.\n\n"
      "Examples:\n"
      "  hoist quantize path/to/model --to q4_k\n"
      "  hoist quantize path/to/model --to q8_0 -o model.gguf && hoist generate model.gguf -p \"Once\"");
  app.callback([o] { run(*o); });
}

}  // namespace hoist::cli
