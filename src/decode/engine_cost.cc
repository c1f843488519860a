// Engine::measure_cost: what a step costs on this machine, for policies and simulators that count in time.
#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "decode/engine.h"

namespace hoist::decode {

sched::StepCost Engine::measure_cost() {
  HOIST_CHECK(idle(), "costs are measured while nothing runs");
  using Clock = std::chrono::steady_clock;
  auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  std::vector<int32_t> blocks(static_cast<size_t>(std::min(shape_.blocks, shape_.seq_blocks)));
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<int32_t>(i);
  const int64_t longest = std::min(context_, static_cast<int64_t>(blocks.size()) * shape_.block);
  std::vector<int32_t> tokens(static_cast<size_t>(std::min(longest, shape_.tokens)));
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<int32_t>(i * 7919 % static_cast<size_t>(model_.config.vocab));

  std::vector<sched::StepSample> samples;
  auto run = [&](const sched::StepLoad& load) {
    inputs_->set_lengths(*executor_);
    const auto begin = Clock::now();
    executor_->run();
    samples.push_back({load, std::max(1e-9, seconds(Clock::now() - begin))});
  };
  // `rows` sequences of `keys` tokens decode one each; all look at the same blocks, none at what they hold.
  auto decode = [&](int64_t rows, int64_t keys) {
    inputs_->clear();
    sched::StepLoad load;
    for (int64_t r = 0; r < rows; ++r) {
      inputs_->add(std::span(tokens).first(1), keys - 1, blocks, 1);
      load.add_decode(keys);
    }
    run(load);
  };
  auto prefill = [&](int64_t count, int64_t before) {
    inputs_->clear();
    sched::StepLoad load;
    inputs_->add(std::span(tokens).first(static_cast<size_t>(count)), before, blocks, 1);
    load.add_prefill(count, before);
    run(load);
  };

  decode(1, 1);  // the first run finds cold caches and pages
  samples.clear();
  const auto begin = Clock::now();
  constexpr double kBudget = 1.0;  // seconds; each size is tried at least once
  for (int round = 0; round < 5 && (round < 2 || seconds(Clock::now() - begin) < kBudget); ++round) {
    for (int64_t rows = 1; rows <= shape_.seqs; rows *= 2)
      for (int64_t keys : {int64_t{1}, std::min<int64_t>(longest, 1024)}) decode(rows, keys);
    for (int64_t count = 4; count <= static_cast<int64_t>(tokens.size()); count *= 4) {
      prefill(count, 0);
      if (longest - count >= count) prefill(count, longest - count >= 512 ? 512 : longest - count);
      if (samples.back().seconds > kBudget / 2) break;
    }
  }
  // What lay in the pools is overwritten.
  pool_ = std::make_unique<BlockPool>(shape_.blocks, shape_.block);
  return sched::fit_step_cost(samples);
}

}  // namespace hoist::decode
