// Attention over a ragged batch - segments one behind the other on one flat axis - gives each segment the
// bits it has alone, and agrees with the reference.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/run_op.h"
#include "ops/attention.h"

namespace hoist::kernels {
namespace {

constexpr int64_t kHeads = 2, kGroup = 2, kDim = 20;

struct Sequences {
  std::vector<int64_t> lengths;
  bool causal = false;
  int64_t window = 0;
  bool ramp = true;  // positions count up by one
};

Tensor ids(const char* axis, const std::vector<int32_t>& values) {
  Tensor t(ir::Type(DType::i32, {{axis, static_cast<int64_t>(values.size())}}));
  std::memcpy(t.data(), values.data(), values.size() * 4);
  return t;
}

Tensor part(const Tensor& whole, int64_t begin, int64_t rows) {
  ir::Type type = whole.type;
  const int64_t width = whole.elements() / whole.type.dims[0].size * dtype_size(type.dtype);
  type.dims[0].size = rows;
  Tensor t(type);
  std::memcpy(t.data(), whole.data() + begin * width, static_cast<size_t>(rows * width));
  return t;
}

OpCall call(const Sequences& s, const Tensor& q, const Tensor& k, const Tensor& v) {
  ops::AttentionAttrs attrs;
  attrs.q_axis = "tokens", attrs.k_axis = "keys";
  attrs.causal = s.causal, attrs.window = s.window;
  attrs.scale = 1 / std::sqrt(static_cast<double>(kDim));
  attrs.has_segments = true;
  std::vector<int32_t> positions, segments;
  int32_t segment = 3;
  for (int64_t n : s.lengths) {
    for (int64_t i = 0; i < n; ++i) {
      positions.push_back(static_cast<int32_t>(s.ramp ? i + 2 : i * 7 % 11));
      segments.push_back(segment);
    }
    segment += 2;
  }
  return {&ops::kAttention,
          ir::Attrs::of(attrs),
          {q, k, v, ids("tokens", positions), ids("keys", positions), ids("tokens", segments),
           ids("keys", segments)}};
}

void check(const Sequences& s, DType dtype) {
  int64_t tokens = 0;
  for (int64_t n : s.lengths) tokens += n;
  const Tensor
      q = random_tensor(
          ir::Type(dtype, {{"tokens", tokens}, {"kv_heads", kHeads}, {"group", kGroup}, {"head_dim", kDim}}),
          1),
      k = random_tensor(ir::Type(dtype, {{"keys", tokens}, {"kv_heads", kHeads}, {"head_dim", kDim}}), 2),
      v = random_tensor(ir::Type(dtype, {{"keys", tokens}, {"kv_heads", kHeads}, {"head_dim", kDim}}), 3);
  OpRunner reference(call(s, q, k, v), ref_table(), 1);
  ASSERT_TRUE(reference.found());
  reference.run();
  for (Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512}) {
    if (!isa_available(isa)) continue;
    OpRunner batch(call(s, q, k, v), cpu_table(isa), 2);
    ASSERT_TRUE(batch.found());
    batch.run();
    for (int64_t i = 0; i < batch.results()[0].elements(); ++i)
      ASSERT_NEAR(batch.results()[0].get(i), reference.results()[0].get(i), dtype == DType::f32 ? 2e-5 : 3e-2)
          << i;
    int64_t begin = 0;
    for (int64_t n : s.lengths) {
      Sequences one = s;
      one.lengths = {n};
      OpRunner alone(call(one, part(q, begin, n), part(k, begin, n), part(v, begin, n)), cpu_table(isa), 1);
      alone.run();
      for (size_t r : {0, 1})
        ASSERT_EQ(part(batch.results()[r], begin, n).bytes(), alone.results()[r].bytes())
            << isa_name(isa) << " result " << r << " of the sequence at " << begin;
      begin += n;
    }
  }
}

TEST(RaggedAttention, EachSegmentHasTheBitsItHasAlone) {
  const std::vector<std::vector<int64_t>> batches = {
      {1, 1, 1}, {70, 3, 64, 1, 129}, {5, 200, 17, 63, 65}, {300}};
  for (const auto& lengths : batches)
    for (const bool causal : {false, true})
      for (const int64_t window : {int64_t{0}, int64_t{9}})
        for (const bool ramp : {true, false}) {
          check({lengths, causal, window, ramp}, DType::f32);
          check({lengths, causal, window, ramp}, DType::bf16);
        }
}

}  // namespace
}  // namespace hoist::kernels
