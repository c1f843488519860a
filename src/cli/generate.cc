// hoist generate: text from a model folder or a GGUF file.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "cli/options.h"
#include "cli/sampling_flags.h"
#include "decode/engine.h"
#include "decode/text_stream.h"
#include "hub/store.h"
#include "io/json_value.h"

namespace hoist::cli {

namespace {

struct GenerateOptions {
  std::string model, prompt, prompt_file, trace;
  int64_t count = 200;
  SamplingFlags sampling;
  std::vector<std::string> stop;
  std::vector<int32_t> prompt_ids;
  bool json = false, logits = false, exact = false, ignore_eos = false, no_special = false;
  int threads = 0;
  int64_t context = 0, step_tokens = 256, speculate = 0;
};

std::string read_prompt(const GenerateOptions& o) {
  if (o.prompt_file.empty()) return o.prompt;
  std::FILE* f = o.prompt_file == "-" ? stdin : std::fopen(o.prompt_file.c_str(), "rb");
  if (!f) throw_io("--prompt-file " + o.prompt_file, errno);
  std::string text;
  char buffer[1 << 16];
  while (size_t n = std::fread(buffer, 1, sizeof buffer, f)) {
    text.append(buffer, n);
    if (text.size() > (64u << 20)) throw_invalid("--prompt-file: found more than 64 MiB, expected less");
  }
  if (f != stdin) std::fclose(f);
  return text;
}

void run(const GenerateOptions& o) {
  using Clock = std::chrono::steady_clock;
  if (o.count < 1) throw_invalid("-n: found " + std::to_string(o.count) + ", expected at least 1");
  decode::Model model = decode::open_model(hub::resolve_model(o.model));
  std::vector<int32_t> prompt = o.prompt_ids;  // the engine checks them against the vocabulary
  if (prompt.empty()) prompt = decode::encode_prompt(model, read_prompt(o), !o.no_special);

  runtime::Trace trace;
  decode::EngineOptions options;
  options.threads = o.threads;
  options.max_seqs = 1;
  options.step_tokens = o.step_tokens;
  const int64_t n = static_cast<int64_t>(prompt.size());
  int64_t limit = o.context > 0 ? o.context : model.config.usual_context();
  options.context = std::min(limit, model.config.longest_context());
  if (o.count < options.context - n) options.context = n + o.count;
  options.cache_tokens = options.context;
  options.weights_as_stored = !o.exact;
  options.speculate = o.speculate;
  if (!o.trace.empty()) options.trace = &trace;
  decode::Engine engine(model, options);

  decode::SequenceRequest request;
  request.prompt = prompt;
  request.sampling = o.sampling.params(model.generation, 1.0);
  request.max_tokens = o.count;
  request.ignore_eos = o.ignore_eos;
  std::vector<float> last_logits;
  if (o.logits)
    request.on_logits = [&](std::span<const float> row) {
      if (last_logits.empty()) last_logits.assign(row.begin(), row.end());
    };
  auto start = Clock::now();
  uint64_t id = engine.add(std::move(request));
  decode::TextStream stream(*model.tokenizer, o.stop);
  std::vector<int32_t> ids;
  std::string text;
  std::string reason = "length";
  auto show = [&](const std::string& piece) {
    text += piece;
    if (!o.json && !piece.empty()) {
      std::fwrite(piece.data(), 1, piece.size(), stdout);
      std::fflush(stdout);
    }
  };
  if (!o.json) {
    std::string echo = model.tokenizer->decode(prompt, true);
    std::fwrite(echo.data(), 1, echo.size(), stdout);
    std::fflush(stdout);
  }
  Clock::time_point first{};
  std::vector<decode::TokenEvent> events;
  bool done = false;
  while (!done) {
    events.clear();
    engine.step(events);
    for (const decode::TokenEvent& e : events) {
      if (done) break;  // a step may bring several tokens
      if (first == Clock::time_point{}) first = Clock::now();
      if (e.token != decode::kNoToken) {
        ids.push_back(e.token);
        show(stream.feed(e.token));
      }
      if (e.finish == decode::Finish::kError) throw Error(ErrorCode::kCorrupt, o.model + ": " + e.error);
      if (stream.stopped()) {
        reason = "stop";
        engine.cancel(id);
        done = true;
      } else if (e.finish != decode::Finish::kNone) {
        reason = e.finish == decode::Finish::kStop ? "stop" : "length";
        show(stream.finish());
        done = true;
      }
    }
  }
  auto end = Clock::now();
  double prompt_seconds = std::chrono::duration<double>(first - start).count();
  double decode_seconds = std::chrono::duration<double>(end - first).count();
  if (!o.trace.empty()) trace.write(o.trace);
  if (o.json) {
    io::JsonValue out;
    out["prompt_ids"] = prompt;
    out["ids"] = ids;
    out["text"] = text;
    out["finish_reason"] = reason;
    out["prompt_seconds"] = prompt_seconds;
    out["decode_seconds"] = decode_seconds;
    if (o.logits) out["logits"] = last_logits;
    std::string line = out.dump();
    std::printf("%s\n", line.c_str());
    return;
  }
  std::printf("\n");
  if (isatty(2)) {
    double rate =
        decode_seconds > 0 ? static_cast<double>(ids.size() - (ids.empty() ? 0 : 1)) / decode_seconds : 0;
    std::fprintf(stderr, "[%zu prompt tokens in %.2f s, then %zu at %.1f tokens/s]\n", prompt.size(),
                 prompt_seconds, ids.size(), rate);
  }
}

}  // namespace

void add_generate(Command root) {
  auto o = std::make_shared<GenerateOptions>();
  Command app = root.command("generate", "Continue a prompt with a model");
  app.add_option("model", o->model, "Model folder (config.json, *.safetensors, tokenizer.json) or .gguf file")
      .required()
      .envname("HOIST_MODEL");
  app.option("-p,--prompt", o->prompt, "Text to continue");
  app.option("--prompt-file", o->prompt_file, "Read the prompt from a file; - is standard input");
  app.add_option("--prompt-ids", o->prompt_ids,
                 "The prompt as token ids, 1,403,407: nothing is added to them")
      .comma_separated()
      .excludes("--prompt")
      .excludes("--prompt-file");
  app.option("-n,--max-tokens", o->count, "Most tokens to generate");
  o->sampling.add_to(app);
  app.add_option("--stop", o->stop, "End before this text; may be given several times").repeated();
  app.flag("--ignore-eos", o->ignore_eos, "Go on after the model's end-of-text token");
  app.flag("--no-special", o->no_special,
           "Do not add the tokenizer's special tokens (such as <s>) to the prompt");
  app.flag("--json", o->json, "Print one JSON object: prompt_ids, ids, text, ...");
  app.flag("--exact", o->exact,
           "Compute in float32 throughout: 16-bit and block weights are widened when they are loaded, and no "
           "activation is rounded to fit them");
  app.flag("--logits", o->logits, "With --json: the logits after the prompt");
  app.option("--threads", o->threads, "Threads; 0: one per core");
  app.option("--context", o->context, "Longest sequence in tokens; 0: the model's own");
  app.option("--step-tokens", o->step_tokens, "Prompt tokens computed at once");
  app.option("--speculate", o->speculate,
             "Tokens guessed ahead from what was said before, to check several in one step; the text stays "
             "the same")
      .range(int64_t{0}, int64_t{64});
  app.option("--trace", o->trace, "Write a Chrome trace of every instruction to this file");
  app.footer(
      "Example:\n  hoist generate path/to/model -p \"Once upon a time\" -n 100 --temperature 0.7 --top-p "
      "0.9");
  app.callback([o] { run(*o); });
}

}  // namespace hoist::cli
