// Rows that hold several samples: each sample is computed as if it were alone.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/tensors.h"
#include "passes/autodiff.h"
#include "plan/programs.h"

namespace hoist::testing {
namespace {

using ir::Graph;
using ir::Type;

// Samples of these lengths in one row of `seq`, padding behind.
Bindings row_of(const std::vector<std::vector<int>>& samples, int64_t seq) {
  Bindings in;
  const Type type(DType::i32, {{"batch", 1}, {"seq", seq}});
  HostTensor ids(type), targets(type), segments(type), positions(type);
  int64_t at = 0;
  int segment = 0;
  auto put = [&](int id, int target, size_t position) {
    set(ids, at, id);
    set(targets, at, target);
    set(segments, at, segment);
    set(positions, at, static_cast<double>(position));
    ++at;
  };
  for (const auto& s : samples) {
    for (size_t i = 0; i + 1 < s.size(); ++i) put(s[i], i % 2 ? s[i + 1] : -1, i);
    ++segment;
  }
  for (size_t i = 0; at < seq; ++i) put(0, -1, i);
  in.emplace("ids", ids);
  in.emplace("targets", targets);
  in.emplace("segments", segments);
  in.emplace("positions", positions);
  return in;
}

TEST(PackedRows, GiveEachSampleWhatItHasAlone) {
  const std::vector<std::vector<int>> samples = {{3, 7, 1, 9, 4}, {5, 5, 2, 8, 11, 6, 1}, {2, 20, 13}};
  constexpr int64_t kSeq = 16;
  for (io::Family family : {io::Family::kGpt2, io::Family::kLlama, io::Family::kQwen3}) {
    SCOPED_TRACE(std::string(io::family_name(family)));
    models::TrainShape shape{1, kSeq};
    shape.packed = true;
    Graph g = models::train_graph(tiny_config(family), shape, /*want_logits=*/true);
    const Bindings states = draw_states(g, 3);
    const Graph forward = g;
    g = passes::autodiff(g, "loss_sum");
    const plan::Plan plan = build_plan(g).plan;
    const Ran all = run_plan(plan, row_of(samples, kSeq), states);
    double loss = 0, weight = 0;
    Bindings sum;
    int64_t at = 0;
    for (const auto& s : samples) {
      const Ran one = run_plan(plan, row_of({s}, kSeq), states);
      loss += get(one.outputs.at("loss_sum"), 0);
      weight += get(one.outputs.at("weight_sum"), 0);
      for (const auto& [name, t] : one.outputs) {
        if (!name.starts_with("grad.")) continue;
        auto [it, fresh] = sum.emplace(name, t);
        for (int64_t i = 0; !fresh && i < t.type.elements(); ++i)
          set(it->second, i, get(it->second, i) + get(t, i));
      }
      const HostTensor &logits = all.outputs.at("logits"), &alone = one.outputs.at("logits");
      const int64_t vocab = logits.type.dims.back().size, n = static_cast<int64_t>(s.size()) - 1;
      for (int64_t i = 0; i < n * vocab; ++i)
        ASSERT_NEAR(get(logits, at * vocab + i), get(alone, i), 1e-5 * (1 + std::abs(get(alone, i))));
      at += n;
    }
    EXPECT_NEAR(get(all.outputs.at("loss_sum"), 0), loss, 1e-5 * loss);
    EXPECT_EQ(get(all.outputs.at("weight_sum"), 0), weight);
    // Absolute where a gradient is nothing but rounding (a bias of keys).
    for (const auto& [name, t] : sum) {
      double norm = 1e-3;
      for (int64_t i = 0; i < t.type.elements(); ++i) norm = std::max(norm, std::abs(get(t, i)));
      for (int64_t i = 0; i < t.type.elements(); ++i)
        ASSERT_NEAR(get(all.outputs.at(name), i), get(t, i), 1e-4 * norm) << name;
    }

    // What the others say changes no bit.
    auto changed = samples;
    for (int& id : changed[1]) id = (id + 5) % 24;
    const Ran other = run_plan(plan, row_of(changed, kSeq), states);
    const HostTensor &a = all.outputs.at("logits"), &b = other.outputs.at("logits");
    const int64_t vocab = a.type.dims.back().size;
    for (int64_t i = 0; i < 4 * vocab; ++i) ASSERT_EQ(get(a, i), get(b, i));
    for (int64_t i = 10 * vocab; i < 12 * vocab; ++i) ASSERT_EQ(get(a, i), get(b, i));
  }
}

}  // namespace
}  // namespace hoist::testing
