#include "bench/encoder.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "bench/ceilings.h"
#include "bench/random_model.h"
#include "decode/encoder.h"
#include "sched/encoder_batch.h"

namespace hoist::bench {

namespace {

using Batches = std::vector<std::vector<size_t>>;

io::EncoderConfig encoder_shape(const EncoderBenchOptions& o) {
  io::EncoderConfig c;
  c.types = 2;
  if (o.shape == "bert-base") {
    c.vocab = 30522;
    c.hidden = 768;
    c.intermediate = 3072;
    c.layers = c.heads = 12;
    c.positions = 512;
  } else if (o.shape == "tiny") {
    c.vocab = 100;
    c.hidden = 32;
    c.intermediate = 64;
    c.layers = 2;
    c.heads = 4;
    c.positions = 64;
  } else {
    throw_invalid("--shape: found '" + o.shape + "', expected bert-base or tiny");
  }
  c.positions = std::max(c.positions, o.longest);
  return c;
}

Batches by_arrival(const std::vector<int64_t>& lengths, const sched::EncoderLimits& limits) {
  Batches out;
  int64_t tokens = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (out.empty() || static_cast<int64_t>(out.back().size()) == limits.max_seqs ||
        tokens + lengths[i] > limits.max_tokens) {
      out.emplace_back();
      tokens = 0;
    }
    out.back().push_back(i);
    tokens += lengths[i];
  }
  return out;
}

struct Pass {
  double seconds = 0, completion = 0;  // of all; mean over requests
};

class Runner {
 public:
  Runner(decode::Encoder& encoder, const std::vector<int64_t>& lengths, int64_t vocab) : encoder_(encoder) {
    for (size_t i = 0; i < lengths.size(); ++i) {
      decode::EncoderInput& input = inputs_.emplace_back();
      for (int64_t t = 0; t < lengths[i]; ++t)
        input.ids.push_back(static_cast<int32_t>((static_cast<int64_t>(i) * 31 + t * 7919 + 3) % vocab));
    }
  }
  Pass run(const Batches& batches) {
    Pass pass;
    const double start = now();
    for (const std::vector<size_t>& batch : batches) {
      std::vector<const decode::EncoderInput*> inputs;
      for (size_t i : batch) inputs.push_back(&inputs_[i]);
      encoder_.run(inputs, std::vector<decode::EncoderTask>(batch.size(), decode::EncoderTask::kEmbed),
                   results_);
      pass.seconds = now() - start;
      pass.completion += pass.seconds * static_cast<double>(batch.size());
    }
    pass.completion /= static_cast<double>(inputs_.size());
    return pass;
  }

 private:
  decode::Encoder& encoder_;
  std::vector<decode::EncoderInput> inputs_;
  std::vector<std::vector<float>> results_;
};

}  // namespace

std::vector<int64_t> request_lengths(const EncoderBenchOptions& o) {
  std::vector<int64_t> out;
  auto state = static_cast<uint64_t>(o.seed);
  for (int64_t i = 0; i < o.requests; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    out.push_back(o.shortest +
                  static_cast<int64_t>((state >> 33) % static_cast<uint64_t>(o.longest - o.shortest + 1)));
  }
  return out;
}

std::vector<Row> measure_encoder(const EncoderBenchOptions& o, FunctionRef<void(const std::string&)> note) {
  if (o.requests < 1 || o.requests > 1000000)
    throw_invalid("--requests: found " + std::to_string(o.requests) + ", expected 1..1000000");
  if (o.shortest < 1 || o.longest < o.shortest || o.longest > 65536)
    throw_invalid("--shortest, --longest: found " + std::to_string(o.shortest) + ".." +
                  std::to_string(o.longest) + ", expected 1..65536 in order");
  const std::vector<int64_t> lengths = request_lengths(o);
  decode::EncoderModel model;
  model.name = o.shape;
  model.config = encoder_shape(o);
  model.draw = draw_parameter;
  note("drawing the weights");
  decode::EncoderOptions options;
  options.threads = o.threads;
  options.batch_tokens = o.batch_tokens;
  options.batch_seqs = o.batch_seqs;
  decode::Encoder encoder(model, options);
  std::vector<sched::EncoderSample> samples;
  for (const decode::EncoderTiming& t : decode::time_encoder(encoder))
    samples.push_back({t.tokens, t.squares, t.seconds});
  const sched::EncoderCost cost = sched::fit_encoder_cost(samples);
  const sched::EncoderLimits limits{encoder.batch_tokens(), encoder.batch_seqs()};

  struct Order {
    const char* name;
    Batches batches;
    std::vector<double> seconds, completion;
  };
  std::vector<Order> orders;
  orders.push_back({"encoder.dp", sched::plan_batches(lengths, cost, limits), {}, {}});
  orders.push_back({"encoder.arrival", by_arrival(lengths, limits), {}, {}});
  if (o.single)
    orders.push_back({"encoder.single", by_arrival(lengths, {encoder.batch_tokens(), 1}), {}, {}});

  ThreadPoolOptions pool_options;
  pool_options.threads = o.threads;
  ThreadPool pool(pool_options);
  Ceilings ceilings(kernels::best_isa(), pool, o.memory_bytes);
  Work work;
  double tokens = 0;
  for (int64_t n : lengths) tokens += static_cast<double>(n);
  const io::EncoderConfig& c = model.config;
  work.ops = 2 * tokens * static_cast<double>(c.layers) *
             (4 * static_cast<double>(c.hidden) * static_cast<double>(c.hidden) +
              2 * static_cast<double>(c.hidden) * static_cast<double>(c.intermediate));
  Runner runner(encoder, lengths, c.vocab);
  std::vector<double> bound;
  std::vector<std::vector<double>> theirs(o.peers.size());
  runner.run({orders[1].batches.front()});  // warms up
  for (int round = 0; round < o.rounds; ++round) {
    bound.push_back(ceilings.seconds(work));
    for (size_t turn = 0; turn < orders.size(); ++turn) {
      // The machine's mood changes: whoever goes first goes last in the next round.
      Order& order = orders[round % 2 == 0 ? turn : orders.size() - 1 - turn];
      note(std::string(order.name) + ", round " + std::to_string(round + 1) + " of " +
           std::to_string(o.rounds));
      const Pass pass = runner.run(order.batches);
      order.seconds.push_back(pass.seconds);
      order.completion.push_back(pass.completion);
    }
    for (size_t i = 0; i < o.peers.size(); ++i)
      theirs[i].push_back(static_cast<double>(o.requests) / run_command_peer(o.peers[i]));
  }
  std::vector<Row> rows;
  Row row;
  row.shape = o.shape + " " + std::to_string(o.requests) + "x" + std::to_string(o.shortest) + ".." +
              std::to_string(o.longest);
  row.dtype = "f32";
  row.threads = pool.threads();
  for (const Order& order : orders) {
    Row r = row;
    r.name = order.name;
    r.unit = "requests/s";
    r.value = static_cast<double>(o.requests) / median(order.seconds);
    r.set_share(median_ratio(bound, order.seconds));
    r.note = std::to_string(order.batches.size()) + " batches";
    if (&order == &orders[0]) {
      char text[80];
      std::snprintf(text, sizeof text, ", %.3g ms + %.3g us + %.3g ns", cost.fixed * 1e3, cost.token * 1e6,
                    cost.square * 1e9);
      r.note += text;
    }
    if (&order == &orders[0])
      for (size_t i = 0; i < o.peers.size(); ++i)
        r.add_peer(o.peers[i].name, median_ratio(theirs[i], order.seconds));
    rows.push_back(r);
  }
  for (const Order& order : orders) {
    Row r = row;
    r.name = std::string(order.name) + ".completion";
    r.unit = "s";
    r.value = median(order.completion);
    rows.push_back(r);
  }
  return rows;
}

}  // namespace hoist::bench
