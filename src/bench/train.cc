#include "bench/train.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "bench/ceilings.h"
#include "bench/random_model.h"
#include "passes/pipeline.h"
#include "train/ranks.h"

namespace hoist::bench {

namespace {

// One optimizer step over a random batch, again and again.
class Stepper {
 public:
  Stepper(const io::ModelConfig& config, const models::TrainShape& shape, int threads)
      : ranks_(rank_options(threads)) {
    passes::PassRunner runner({});
    passes::OptimizerSpec spec;
    const passes::TrainGraphs graphs =
        passes::training_passes(models::train_graph(config, shape), spec, 1, runner);
    program_ = ranks_.add(graphs.step);
    ranks_.prepare();
    for (const models::Parameter& p : models::parameters(config, shape.dtype, shape.dtype)) {
      draw_parameter(p, ranks_.direct(p.name));
      if (shape.dtype == DType::f32) continue;
      models::Parameter master = p;
      master.type = p.type.with_dtype(DType::f32);
      draw_parameter(master, ranks_.direct(passes::master_name(p.name)));
    }
    const int64_t n = shape.batch * shape.seq;
    for (int64_t i = 0; i <= n; ++i) ids_.push_back(static_cast<int32_t>((i * 7919 + 3) % config.vocab));
    ranks_.set_input(program_, "ids", ids_.data());
    ranks_.set_input(program_, "targets", ids_.data() + 1);
    ranks_.set_input(program_, "lr", &rate_);
    ranks_.set_input(program_, "step", &step_);
  }

  double run() {
    ++step_;
    const double start = now();
    ranks_.run(program_);
    const double seconds = now() - start;
    const float loss = *ranks_.output(program_, "loss").as<const float>();
    if (!std::isfinite(loss) || *ranks_.output(program_, "ok").as<const float>() == 0)
      throw Error(ErrorCode::kCorrupt, "bench train: the loss is not a number");
    return seconds;
  }

 private:
  static train::RanksOptions rank_options(int threads) {
    train::RanksOptions o;
    o.threads = threads;
    return o;
  }
  train::Ranks ranks_;
  int program_ = -1;
  std::vector<int32_t> ids_;
  float rate_ = 1e-4f, step_ = 0;
};

}  // namespace

Row measure_train(const TrainOptions& o, FunctionRef<void(const std::string&)> note) {
  if (o.dtype != "f32" && o.dtype != "bf16")
    throw_invalid("--dtype: found '" + o.dtype + "', expected f32 or bf16");
  if (o.batch < 1 || o.batch > 4096 || o.seq < 1 || o.seq > (1 << 16))
    throw_invalid("--batch, --seq: found " + std::to_string(o.batch) + " x " + std::to_string(o.seq) +
                  ", expected 1..4096 x 1..65536");
  const io::ModelConfig config = shape_config(o.shape, o.seq);
  models::TrainShape shape;
  shape.batch = o.batch;
  shape.seq = o.seq;
  shape.dtype = o.dtype == "bf16" ? DType::bf16 : DType::f32;
  note("drawing the weights");
  Stepper stepper(config, shape, o.threads);
  ThreadPoolOptions pool_options;
  pool_options.threads = o.threads;
  ThreadPool pool(pool_options);
  Ceilings ceilings(kernels::best_isa(), pool, o.memory_bytes);

  const ModelCost cost = model_cost(config, {shape.dtype, {}});
  const double tokens = static_cast<double>(o.batch * o.seq),
               width = static_cast<double>(dtype_size(shape.dtype));
  Work products, moves;
  products.arithmetic = shape.dtype == DType::bf16 ? Arithmetic::kBf16 : Arithmetic::kF32;
  products.ops = 6 * tokens * (cost.layers + cost.head);
  // AdamW reads gradient, moments and master (or the weight itself), and writes all but the gradient, the
  // narrow weight too where there is one. A norm reads x and writes y; its gradient reads x and dy and writes
  // dx.
  moves.read = cost.parameters * 16 + 3 * tokens * cost.norm_width * width;
  moves.written = cost.parameters * (12 + (width < 4 ? width : 0)) + 2 * tokens * cost.norm_width * width;

  Row row;
  row.name = "train";
  row.shape = o.shape + " " + std::to_string(o.batch) + "x" + std::to_string(o.seq);
  row.dtype = o.dtype;
  row.unit = "tokens/s";
  row.threads = pool.threads();
  std::vector<double> bound, mine;
  std::vector<std::vector<double>> theirs(o.peers.size());
  stepper.run();  // warms up
  for (int round = 0; round < o.rounds; ++round) {
    note("round " + std::to_string(round + 1) + " of " + std::to_string(o.rounds));
    auto ceiling = [&] { return ceilings.seconds(products) + ceilings.seconds(moves); };
    const double before = ceiling();
    mine.push_back(stepper.run());
    bound.push_back((before + ceiling()) / 2);
    for (size_t i = 0; i < o.peers.size(); ++i) theirs[i].push_back(tokens / run_command_peer(o.peers[i]));
  }
  row.value = tokens / median(mine);
  row.set_share(median_ratio(bound, mine));
  for (size_t i = 0; i < o.peers.size(); ++i) row.add_peer(o.peers[i].name, median_ratio(theirs[i], mine));
  return row;
}

}  // namespace hoist::bench
