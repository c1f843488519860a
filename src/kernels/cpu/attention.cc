// attention forward: tiles of queries against blocks of 64 keys (attention_tile.inc); nothing of size Q x K
// is stored. Blocks that no query of a tile sees are not touched.
//
// bf16 queries, keys and values are multiplied by vdpbf16ps where the machine has it: scores are then sums of
// exact products as before, but probabilities are rounded to bf16 before they meet the values.
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

// The list of a ragged batch's tiles, at the start of the workspace.
int64_t tile_bytes(int64_t queries) { return align64(queries * static_cast<int64_t>(sizeof(RaggedTile))); }

void prepare(const ir::OpView& v, Prepared& prepared) {
  AttentionPlan plan;
  attention_plan(v, plan);
  plan.ragged = may_be_ragged(v);
  if (plan.ragged) plan.tile_bytes = tile_bytes(v.operands[0].dims[0].size);
  prepared.store(plan);
}

// One worker's: AttentionScratch, and behind it a tile's queries as floats.
int64_t worker_bytes(int64_t d, int64_t dv) {
  return align64(attention_scratch_bytes(d, dv)) + align64(kTileRows * d * 4);
}
int64_t workspace(const ir::OpView& v, int threads) {
  return (may_be_ragged(v) ? tile_bytes(v.operands[0].dims[0].size) : 0) +
         threads * worker_bytes(v.operands[1].dims.back().size, v.operands[2].dims.back().size);
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_DOT
#define HOIST_ISA_FILE "kernels/cpu/attention.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/attention_product.inc"

#include "kernels/cpu/attention_tile.inc"

#include "kernels/cpu/attention_mask.inc"

// n elements of x from `at` on as floats: where they lie, or in the buffer. Queries of 16 bits go this way:
// it costs little beside the keys, and spares a tile for every pair of types.
const float* float_row(const TensorView& x, int64_t at, int64_t n, float* buffer) {
  if (x.dtype == DType::f32) return x.as<const float>() + at;
  with_type(x.dtype, [&](auto tag) {
    const auto* from = x.as<const decltype(tag)>() + at;
    for (int64_t i = 0; i < n; i += W) store_tail(buffer + i, load_tail(from + i, n - i), n - i);
  });
  return buffer;
}

// Queries [begin, end) of one leading index and KV head.
template <class A, class KT>
void attend(const KernelArgs& args, const AttentionCall& c, const Visibility& see, int64_t l, int64_t head,
            int64_t begin, int64_t end, const AttentionScratch& s) {
  const AttentionSizes z(c.d, c.dv, c.a.scale, c.a.softcap);
  const float* q[kTileRows];
  int64_t lo[kTileRows], hi[kTileRows], first = see.keys, last = see.first;
  int rows = 0;
  int32_t top_pos = INT32_MIN, low_seg = INT32_MAX, top_seg = INT32_MIN;
  for (int64_t query = begin; query < end; ++query) {
    int64_t from, to;
    see.range(query, &from, &to);
    if (from < to) {
      first = std::min(first, from);
      last = std::max(last, to);
    }
    top_pos = std::max(top_pos, see.q_pos[query]);
    if (see.q_seg) {
      low_seg = std::min(low_seg, see.q_seg[query]);
      top_seg = std::max(top_seg, see.q_seg[query]);
    }
    for (int64_t g = 0; g < c.group; ++g, ++rows) {
      q[rows] = float_row(args.operands[0], c.q_row(l, query, head, g) * c.d, c.d, s.end + rows * c.d);
      lo[rows] = from;
      hi[rows] = to;
    }
  }
  pack_queries<A>(q, rows, c.d, s, s.q);
  begin_state(s.part, rows, z.columns);
  const KT* zeros = reinterpret_cast<const KT*>(s.zeros);
  BlockMask block{see, {}, {}};
  for (int64_t b = first - (first - see.first) % kKeyBlock; b < last; b += kKeyBlock) {
    if (see.masked() && !block.load_block(b, top_pos, low_seg, top_seg)) continue;
    const KT *keys[kKeyBlock], *values[kKeyBlock];
    for (int64_t i = 0; i < kKeyBlock; ++i) {
      const bool inside = b + i < last;
      const int64_t row = inside ? c.k_row(l, b + i, head) : 0;
      keys[i] = inside ? args.in<KT>(1) + row * c.d : zeros;
      values[i] = inside ? args.in<KT>(2) + row * c.dv : zeros;
    }
    pack_block<A, KT>(keys, values, static_cast<int>(std::min<int64_t>(kKeyBlock, last - b)), z, s, nullptr,
                      nullptr);
    attend_block<A>(z, s.part, rows, lo, hi, b, s.q, s, [&](int r, int& n, float* mask) -> const float* {
      if (!see.masked()) return nullptr;
      bool any = false;
      for (int i = 0; i < n; ++i) any |= block.row(begin + (r + i) / c.group, mask + i * kKeyBlock);
      if (!any) n = 0;
      return mask;
    });
  }
  const int sinks = ops::attention_slots(c.a, false).sinks;
  for (int r = 0; r < rows; ++r) {
    const int64_t g = r % c.group, row = c.q_row(l, begin + r / c.group, head, g);
    float sink = 0;
    if (sinks >= 0)
      with_type(args.operands[static_cast<size_t>(sinks)].dtype,
                [&](auto tag) { sink = load_n(args.in<decltype(tag)>(sinks) + head * c.group + g, 1)[0]; });
    with_type(args.results[0].dtype, [&](auto tag) {
      args.out<float>(1)[row] =
          finish_row(z, s.part.m[r], sum(load(s.part.l + r * W)), s.part.o + r * z.columns,
                     sinks >= 0 ? &sink : nullptr, args.out<decltype(tag)>(0) + row * c.dv);
    });
  }
}

template <class A, class KT>
void attend_all(const KernelArgs& args, const AttentionCall& c) {
  const int64_t bytes = worker_bytes(c.d, c.dv);
  const int64_t most = std::max<int64_t>(1, kTileRows / std::max<int64_t>(1, c.group)),
                tiles = (c.queries + most - 1) / most;
  std::byte* scratch = args.workspace;
  const auto work = [&](int64_t count, auto one) {
    args.pool.parallel_for(count, 1, [&](int64_t begin, int64_t end, int worker) {
      AttentionScratch s(scratch + worker * bytes, c.d, c.dv);
      std::memset(s.zeros, 0, static_cast<size_t>(std::max(c.d, c.dv)) * sizeof(float));
      for (int64_t i = begin; i < end; ++i) one(i, s);
    });
  };
  if (c.plan.ragged) {
    auto* list = reinterpret_cast<RaggedTile*>(scratch);
    scratch += c.plan.tile_bytes;
    const int64_t count = ragged_tiles(c, most, list);
    if (count >= 0) {
      work(count * c.heads, [&](int64_t i, const AttentionScratch& s) {
        const RaggedTile& t = list[i / c.heads];
        attend<A, KT>(args, c, Visibility(c, t.k_begin, t.k_end), 0, i % c.heads, t.q_begin, t.q_end, s);
      });
      return;
    }
  }
  work(c.leads * c.heads * tiles, [&](int64_t i, const AttentionScratch& s) {
    const int64_t from = i % tiles * most, l = i / tiles / c.heads;
    attend<A, KT>(args, c, Visibility(c, l), l, i / tiles % c.heads, from, std::min(c.queries, from + most),
                  s);
  });
}

void run(const KernelArgs& args) noexcept {
  const AttentionCall c(args);
  if (c.queries == 0) return;
  with_type(args.operands[1].dtype, [&](auto tag) {
    using KT = decltype(tag);
#if HOIST_ISA_IS_AVX512DOT
    if constexpr (std::is_same_v<KT, bf16>)
      if (args.operands[0].dtype == DType::bf16) return attend_all<Pairs, KT>(args, c);
#endif
    attend_all<Single, KT>(args, c);
  });
}

}  // namespace

void add_attention(KernelList& list) {
  static const Kernel kernel{"attention", HOIST_ISA_NAME, supports, run, prepare, workspace};
  list.push_back(&kernel);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
