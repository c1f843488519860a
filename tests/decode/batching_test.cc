// A sequence's logits are the same bits whatever shares its batch and however its prompt is cut (the law of
// order).
#include <gtest/gtest.h>

#include <cstring>

#include "base/rng.h"
#include "models/lm.h"
#include "plan/build.h"
#include "runtime/executor.h"

namespace hoist {
namespace {

constexpr int64_t kBlock = 16, kSeqBlocks = 12, kSeqs = 16;

io::ModelConfig tiny_config(io::Family family) {
  io::ModelConfig c = io::default_model_config(family);
  c.vocab = 211;
  c.hidden = 48;
  c.layers = 3;
  c.heads = 4;
  c.kv_heads = family == io::Family::kGpt2 ? 4 : 2;
  c.head_dim = family == io::Family::kQwen3 ? 16 : 12;
  c.intermediate = 100;
  c.max_position = 256;
  return c;
}

// Runs ragged steps on one model and one plan.
class Runner {
 public:
  Runner(const io::ModelConfig& config, const kernels::KernelTable& table, DType weights, int64_t capacity,
         int threads)
      : config_(config), device_(device::make_cpu_device()), states_(*device_) {
    models::ServeShape shape;
    shape.tokens = capacity;
    shape.seqs = shape.rows = kSeqs;
    shape.rows = capacity;
    shape.block = kBlock;
    shape.seq_blocks = kSeqBlocks;
    shape.blocks = kSeqs * kSeqBlocks;
    shape.dtype = weights;
    plan::BuildOptions options;
    options.compile.threads = threads;
    built_ = plan::build(models::serve_graph(config, shape), table, options);
    ThreadPoolOptions pool;
    pool.threads = threads;
    pool_ = std::make_unique<ThreadPool>(pool);
    executor_ =
        std::make_unique<runtime::Executor>(built_.plan, runtime::ExecutorContext{*device_, *pool_, states_});
    for (const models::Parameter& p : models::parameters(config, weights, DType::f32)) {
      CounterRng rng(7, stable_hash(p.name));
      for (int64_t i = 0; i < p.type.elements(); ++i) {
        float x = static_cast<float>(rng.normal(static_cast<uint64_t>(i)) * 0.2 +
                                     (p.init.kind == models::Init::Kind::kOnes ? 1 : 0));
        if (p.type.dtype == DType::f32)
          reinterpret_cast<float*>(states_.data(p.name))[i] = x;
        else
          reinterpret_cast<bf16*>(states_.data(p.name))[i] = to_bf16(x);
      }
    }
    tables_.resize(static_cast<size_t>(kSeqs * kSeqBlocks));
  }

  struct Piece {
    int sequence;  // its blocks are a fixed permutation of the pool
    int64_t begin, end;
    const std::vector<int32_t>* tokens;
  };
  // One step; returns the logits of every token, piece by piece.
  std::vector<std::vector<float>> step(const std::vector<Piece>& pieces) {
    std::vector<int32_t> ids, positions, slots, seqs, rows;
    for (size_t p = 0; p < pieces.size(); ++p) {
      for (int64_t k = 0; k < kSeqBlocks; ++k)
        tables_[p * static_cast<size_t>(kSeqBlocks) + static_cast<size_t>(k)] = block(pieces[p].sequence, k);
      for (int64_t i = pieces[p].begin; i < pieces[p].end; ++i) {
        rows.push_back(static_cast<int32_t>(ids.size()));
        ids.push_back((*pieces[p].tokens)[static_cast<size_t>(i)]);
        positions.push_back(static_cast<int32_t>(i));
        slots.push_back(block(pieces[p].sequence, i / kBlock) * static_cast<int32_t>(kBlock) +
                        static_cast<int32_t>(i % kBlock));
        seqs.push_back(static_cast<int32_t>(p));
      }
    }
    executor_->bind_input("ids", ids.data());
    executor_->bind_input("positions", positions.data());
    executor_->bind_input("slots", slots.data());
    executor_->bind_input("seqs", seqs.data());
    executor_->bind_input("tables", tables_.data());
    executor_->bind_input("rows", rows.data());
    executor_->set_length("tokens", static_cast<int64_t>(ids.size()));
    executor_->set_length("seqs", static_cast<int64_t>(pieces.size()));
    executor_->set_length("rows", static_cast<int64_t>(rows.size()));
    executor_->run();
    const float* logits = executor_->output("logits").as<const float>();
    std::vector<std::vector<float>> out;
    for (const Piece& p : pieces) {
      out.emplace_back(logits, logits + (p.end - p.begin) * config_.vocab);
      logits += (p.end - p.begin) * config_.vocab;
    }
    return out;
  }

 private:
  // Scattered over the pool, each block one sequence's (31 and the pool's size have no common factor).
  static int32_t block(int sequence, int64_t k) {
    return static_cast<int32_t>((sequence * kSeqBlocks + k) * 31 % (kSeqs * kSeqBlocks));
  }
  io::ModelConfig config_;
  std::unique_ptr<device::Device> device_;
  runtime::StateStore states_;
  plan::Built built_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<runtime::Executor> executor_;
  std::vector<int32_t> tables_;
};

std::vector<std::vector<int32_t>> prompts(int64_t vocab) {
  const int64_t lengths[kSeqs] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 48, 64, 65, 90, 100, 129};
  std::vector<std::vector<int32_t>> out;
  for (int s = 0; s < kSeqs; ++s) {
    CounterRng rng(3, static_cast<uint64_t>(s));
    out.emplace_back();
    for (int64_t i = 0; i < lengths[s]; ++i)
      out.back().push_back(
          static_cast<int32_t>(rng.below(static_cast<uint64_t>(i), static_cast<uint64_t>(vocab))));
  }
  return out;
}

void expect_same_bits(const std::vector<float>& got, const std::vector<float>& want,
                      const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  EXPECT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0) << what;
}

struct Case {
  io::Family family;
  DType weights;
  kernels::Isa isa;
};

class Batching : public testing::TestWithParam<Case> {};

TEST_P(Batching, PiecesAndNeighboursDoNotChangeBits) {
  if (!kernels::isa_available(GetParam().isa)) GTEST_SKIP() << "this machine lacks the instruction set";
  const io::ModelConfig config = tiny_config(GetParam().family);
  const kernels::KernelTable& table = kernels::cpu_table(GetParam().isa);
  const auto tokens = prompts(config.vocab);

  // Each alone, at once, on one thread.
  Runner alone(config, table, GetParam().weights, 160, 1);
  std::vector<std::vector<float>> want;
  for (int s = 0; s < kSeqs; ++s)
    want.push_back(alone.step({{s, 0, static_cast<int64_t>(tokens[static_cast<size_t>(s)].size()),
                                &tokens[static_cast<size_t>(s)]}})[0]);

  // Batches of 1 to 16 sequences of mixed lengths; prompts cut into pieces of 1, 7, 64 and all; two threads.
  for (int64_t piece : {int64_t{1}, int64_t{7}, int64_t{64}, int64_t{1000}}) {
    Runner runner(config, table, GetParam().weights, 1024, 2);
    for (int batch : {1, 2, 3, 5, 8, 13, 16}) {
      std::vector<std::vector<float>> got(static_cast<size_t>(batch));
      std::vector<int64_t> done(static_cast<size_t>(batch), 0);
      while (true) {
        std::vector<Runner::Piece> pieces;
        for (int s = 0; s < batch; ++s) {
          // The batch is taken from the long end, so that it mixes lengths.
          int which = kSeqs - batch + s;
          int64_t size = static_cast<int64_t>(tokens[static_cast<size_t>(which)].size()),
                  at = done[static_cast<size_t>(s)];
          if (at < size)
            pieces.push_back({which, at, std::min(at + piece, size), &tokens[static_cast<size_t>(which)]});
        }
        if (pieces.empty()) break;
        auto logits = runner.step(pieces);
        for (size_t p = 0; p < pieces.size(); ++p) {
          size_t s = static_cast<size_t>(pieces[p].sequence - (kSeqs - batch));
          got[s].insert(got[s].end(), logits[p].begin(), logits[p].end());
          done[s] = pieces[p].end;
        }
      }
      for (int s = 0; s < batch; ++s)
        expect_same_bits(got[static_cast<size_t>(s)], want[static_cast<size_t>(kSeqs - batch + s)],
                         "piece " + std::to_string(piece) + ", batch " + std::to_string(batch) +
                             ", sequence " + std::to_string(s));
    }
  }
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  return std::string(io::family_name(info.param.family)) + "_" + std::string(dtype_name(info.param.weights)) +
         "_" + std::string(kernels::isa_name(info.param.isa));
}

INSTANTIATE_TEST_SUITE_P(Models, Batching,
                         testing::Values(Case{io::Family::kLlama, DType::f32, kernels::Isa::kAvx512},
                                         Case{io::Family::kLlama, DType::bf16, kernels::Isa::kAvx512},
                                         Case{io::Family::kLlama, DType::f32, kernels::Isa::kAvx2},
                                         Case{io::Family::kLlama, DType::f32, kernels::Isa::kPortable},
                                         Case{io::Family::kQwen3, DType::f32, kernels::Isa::kAvx512},
                                         Case{io::Family::kGpt2, DType::f32, kernels::Isa::kAvx512},
                                         Case{io::Family::kGpt2, DType::bf16, kernels::Isa::kAvx2}),
                         case_name);

}  // namespace
}  // namespace hoist
