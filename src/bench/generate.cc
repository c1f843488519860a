#include "bench/generate.h"

#include <algorithm>

#include "base/error.h"
#include "bench/ceilings.h"
#include "bench/random_model.h"
#include "decode/engine.h"

namespace hoist::bench {

namespace {

void check(const GenerateOptions& o) {
  auto in_range = [](const char* flag, int64_t value, int64_t lo, int64_t hi) {
    if (value < lo || value > hi)
      throw_invalid(std::string(flag) + ": found " + std::to_string(value) + ", expected " +
                    std::to_string(lo) + ".." + std::to_string(hi));
  };
  in_range("--prompt", o.prompt, 1, 1 << 20);
  in_range("--tokens", o.tokens, 2, 1 << 20);
  in_range("--streams", o.streams, 1, 4096);
  in_range("--context", o.context, 0, 1 << 22);
  in_range("--step-tokens", o.step_tokens, 1, 1 << 16);
}

decode::SequenceRequest request(int64_t prompt, int64_t vocab, int64_t tokens, int64_t assumed) {
  decode::SequenceRequest r;
  for (int64_t i = 0; i < prompt; ++i) r.prompt.push_back(static_cast<int32_t>((i * 7919 + 3) % vocab));
  r.sampling.temperature = 0;
  r.max_tokens = tokens;
  r.ignore_eos = true;
  r.assumed = assumed;
  return r;
}

// Steps until nothing is left; seconds of each step.
std::vector<double> drain(decode::Engine& engine) {
  std::vector<double> seconds;
  std::vector<decode::TokenEvent> events;
  while (!engine.idle()) {
    events.clear();
    const double start = now();
    engine.step(events);
    seconds.push_back(now() - start);
    for (const decode::TokenEvent& e : events)
      if (e.finish == decode::Finish::kError) throw Error(ErrorCode::kCorrupt, "bench generate: " + e.error);
  }
  return seconds;
}

Arithmetic arithmetic_of(const WeightStorage& s) {
  if (!s.format.empty()) return Arithmetic::kI8;
  return s.dtype == DType::bf16 ? Arithmetic::kBf16 : Arithmetic::kF32;
}

}  // namespace

std::vector<Row> measure_generate(const GenerateOptions& o, FunctionRef<void(const std::string&)> note) {
  check(o);
  const std::optional<DType> cache = dtype_from_name(o.cache);
  if (!cache) throw_invalid("--cache: found '" + o.cache + "', expected a dtype such as f32");
  const int64_t before = o.context > 0 ? o.context : o.prompt;
  const int64_t longest = std::max(o.prompt + 1, before + o.tokens);
  note("drawing the weights");
  const decode::Model model =
      o.model.empty() ? random_model(o.shape, o.quant, longest) : decode::open_model(o.model);
  const WeightStorage storage =
      o.model.empty() ? weight_storage(o.quant) : WeightStorage{model.stored_dtype(), {}};
  decode::EngineOptions options;
  options.threads = o.threads;
  options.max_seqs = o.streams;
  options.step_tokens = o.step_tokens;
  options.context = longest;
  options.cache = *cache;
  options.prefix_cache = false;  // every turn computes its prompts
  options.cache_tokens = o.streams * (longest + options.block);
  decode::Engine engine(model, options);
  ThreadPoolOptions pool_options;
  pool_options.threads = o.threads;
  ThreadPool pool(pool_options);
  Ceilings ceilings(kernels::best_isa(), pool, o.memory_bytes);

  const ModelCost cost = model_cost(model.config, storage);
  const double streams = static_cast<double>(o.streams), n = static_cast<double>(o.prompt);
  Row prompt, decode;
  prompt.name = "prompt";
  decode.name = "decode";
  for (Row* r : {&prompt, &decode}) {
    r->dtype = storage.format.empty() ? std::string(dtype_name(storage.dtype)) : storage.format.str();
    r->unit = "tokens/s";
    r->threads = pool.threads();
  }
  prompt.shape = model.name + " " + std::to_string(o.streams) + "x" + std::to_string(o.prompt);
  decode.shape = model.name + " " + std::to_string(o.streams) + "@" + std::to_string(before);
  Work prompt_work, decode_work;
  prompt_work.arithmetic = arithmetic_of(storage);
  prompt_work.ops = 2 * streams * (cost.layers * n + cost.head);
  // The cache grows by a token per step: its mean length counts.
  const double mean_length = static_cast<double>(before) + static_cast<double>(o.tokens) / 2;
  decode_work.read =
      cost.weight_bytes +
      streams * mean_length * static_cast<double>(models::cache_bytes_per_token(model.config, *cache));

  // A model that the caches hold is not bound by memory.
  if (decode_work.read < static_cast<double>(cache_bytes())) decode_work.read = 0;

  std::vector<double> prompt_bound, decode_bound, prompt_seconds, decode_seconds;
  std::vector<std::vector<double>> theirs(o.peers.size());
  // A round's ceiling is taken before and after: a long run may see the machine change.
  auto around = [&](const Work& work, std::vector<double>& bounds, auto&& body) {
    const double before = ceilings.seconds(work);
    body();
    bounds.push_back((before + ceilings.seconds(work)) / 2);
  };
  for (int round = -1; round < o.rounds; ++round) {  // the first one warms up and does not count
    note("round " + std::to_string(round + 1) + " of " + std::to_string(o.rounds));
    around(prompt_work, prompt_bound, [&] {
      for (int64_t s = 0; s < o.streams; ++s) engine.add(request(o.prompt, model.config.vocab, 1, 0));
      double total = 0;
      for (double t : drain(engine)) total += t;
      prompt_seconds.push_back(total);
    });
    around(decode_work, decode_bound, [&] {
      for (int64_t s = 0; s < o.streams; ++s)
        engine.add(request(before, model.config.vocab, o.tokens, before - 1));
      std::vector<double> steps = drain(engine);
      steps.erase(steps.begin());
      decode_seconds.push_back(median(std::move(steps)));
    });
    if (round < 0) {
      for (auto* v : {&prompt_bound, &prompt_seconds, &decode_bound, &decode_seconds}) v->clear();
      continue;
    }
    for (size_t i = 0; i < o.peers.size(); ++i) {
      note("round " + std::to_string(round + 1) + " of " + std::to_string(o.rounds) + ": " + o.peers[i].name);
      theirs[i].push_back(run_command_peer(o.peers[i]));
    }
  }
  prompt.value = streams * n / median(prompt_seconds);
  prompt.set_share(median_ratio(prompt_bound, prompt_seconds));
  decode.value = streams / median(decode_seconds);
  decode.set_share(median_ratio(decode_bound, decode_seconds));
  for (size_t i = 0; i < o.peers.size(); ++i) {
    const bool of_prompt = o.peers[i].row == "prompt";
    // Both as seconds per token.
    std::vector<double> mine, other;
    for (size_t r = 0; r < theirs[i].size(); ++r) {
      mine.push_back(of_prompt ? prompt_seconds[r] / (streams * n) : decode_seconds[r] / streams);
      other.push_back(1 / theirs[i][r]);
    }
    (of_prompt ? prompt : decode).add_peer(o.peers[i].name, median_ratio(other, mine));
  }
  return {prompt, decode};
}

}  // namespace hoist::bench
