// attention forward: tiles of queries against blocks of 64 keys (attention_tile.inc); nothing of size Q x K
// is stored.
#include <cmath>
#include <limits>

#include "kernels/cpu/attention_call.h"
#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

bool supports(const ir::OpView& v) {
  AttentionPlan plan;
  const ir::Type& q = v.operands[0];
  return narrow_floats(v) && !v.attrs_as<ops::AttentionAttrs>().has_bias &&
         v.operands[1].dtype == v.operands[2].dtype && q.dims[q.rank() - 2].size <= 96 &&
         attention_plan(v, plan);
}

void prepare(const ir::OpView& v, Prepared& prepared) {
  AttentionPlan plan;
  attention_plan(v, plan);
  prepared.store(plan);
}

int64_t workspace(const ir::OpView& v, int threads) {
  return threads *
         align64(attention_scratch_bytes(v.operands[1].dims.back().size, v.operands[2].dims.back().size));
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/attention.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/gemm_tile.inc"

#include "kernels/cpu/attention_tile.inc"

// Queries [begin, end) of one leading index and KV head.
template <class QT, class KT>
void attend(const KernelArgs& args, const AttentionCall& c, int64_t l, int64_t head, int64_t begin,
            int64_t end, const AttentionScratch& s) {
  const Visibility see(c, l);
  AttentionTile t;
  t.d = c.d;
  t.dv = c.dv;
  t.scale = static_cast<float>(c.a.scale);
  t.softcap = static_cast<float>(c.a.softcap);
  t.dense = true;
  const QT* q[kTileRows];
  int64_t first = c.keys, last = 0;
  for (int64_t query = begin; query < end; ++query) {
    int64_t lo, hi;
    see.range(query, &lo, &hi);
    if (lo < hi) {
      first = std::min(first, lo);
      last = std::max(last, hi);
    }
    for (int64_t g = 0; g < c.group; ++g, ++t.rows) {
      q[t.rows] = args.in<QT>(0) + c.q_row(l, query, head, g) * c.d;
      t.lo[t.rows] = lo;
      t.hi[t.rows] = hi;
    }
  }
  begin_tile(t, q, s);
  const KT* zeros = reinterpret_cast<const KT*>(s.zeros);
  alignas(64) float mask[kKeyBlock];
  for (int64_t b = first / kKeyBlock * kKeyBlock; b < last; b += kKeyBlock) {
    const KT *keys[kKeyBlock], *values[kKeyBlock];
    for (int64_t i = 0; i < kKeyBlock; ++i) {
      const bool inside = b + i < c.keys;
      const int64_t row = inside ? c.k_row(l, b + i, head) : 0;
      keys[i] = inside ? args.in<KT>(1) + row * c.d : zeros;
      values[i] = inside ? args.in<KT>(2) + row * c.dv : zeros;
    }
    attend_block(t, b, keys, values, s, [&](int r) -> const float* {
      if (!see.masked()) return nullptr;
      see.mask(begin + r / c.group, b, mask);
      return mask;
    });
  }
  const int sinks = ops::attention_slots(c.a, false).sinks;
  for (int r = 0; r < t.rows; ++r) {
    const int64_t g = r % c.group, row = c.q_row(l, begin + r / c.group, head, g);
    float sink = 0;
    if (sinks >= 0)
      with_type(args.operands[static_cast<size_t>(sinks)].dtype,
                [&](auto tag) { sink = load_n(args.in<decltype(tag)>(sinks) + head * c.group + g, 1)[0]; });
    args.out<float>(1)[row] = finish_row(t, r, sinks >= 0 ? &sink : nullptr, args.out<QT>(0) + row * c.dv);
  }
}

void run(const KernelArgs& args) noexcept {
  const AttentionCall c(args);
  if (c.queries == 0) return;
  const int64_t bytes = align64(attention_scratch_bytes(c.d, c.dv));
  const int64_t most = std::max<int64_t>(1, kTileRows / std::max<int64_t>(1, c.group)),
                tiles = (c.queries + most - 1) / most;
  const int64_t step = (c.queries + tiles - 1) / tiles;
  with_type(args.operands[0].dtype, [&](auto q_tag) {
    with_type(args.operands[1].dtype, [&](auto k_tag) {
      args.pool.parallel_for(c.leads * c.heads * tiles, 1, [&](int64_t begin, int64_t end, int worker) {
        AttentionScratch s(args.workspace + worker * bytes, c.d, c.dv);
        std::memset(s.zeros, 0, static_cast<size_t>(std::max(c.d, c.dv)) * sizeof(float));
        for (int64_t i = begin; i < end; ++i) {
          const int64_t from = i % tiles * step, to = std::min(c.queries, from + step);
          if (from < to)
            attend<decltype(q_tag), decltype(k_tag)>(args, c, i / tiles / c.heads, i / tiles % c.heads, from,
                                                     to, s);
        }
      });
    });
  });
}

}  // namespace

void add_attention(KernelList& list) {
  static const Kernel kernel{"attention", HOIST_ISA_NAME, supports, run, prepare, workspace};
  list.push_back(&kernel);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
