// paged_attention and kv_write: serving attention over pools of KV blocks.
//
// Consecutive tokens of one sequence share a tile, so that a prompt reads its keys once per tile; each row's
// bits are the same alone and in company (attention_tile.inc).
#include "ops/paged.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/attention_sizes.h"
#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

bool attention_supports(const ir::OpView& v) {
  return narrow_floats(v) && v.operands[1].dtype == v.operands[2].dtype && v.operands[0].dims[2].size <= 96;
}

// The starts of the tiles, then each worker's scratch.
int64_t tile_bytes(int64_t tokens) { return align64((tokens + 1) * 4); }
int64_t attention_workspace(const ir::OpView& v, int threads) {
  return tile_bytes(v.operands[0].dims[0].size) +
         threads * align64(attention_scratch_bytes(v.operands[1].dims[3].size, v.operands[2].dims[3].size));
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/paged.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/gemm_tile.inc"

#include "kernels/cpu/attention_tile.inc"

// pool[blocks, block, kv_heads, d], x[tokens, kv_heads, d], slot[tokens]
void kv_write(const KernelArgs& args) noexcept {
  const TensorView &pool = args.results[0], &x = args.operands[1];
  const int64_t base = args.attrs.as<ops::KvWriteAttrs>().base * pool.dims[1];
  const int64_t slots = pool.dims[0] * pool.dims[1], n = pool.dims[2] * pool.dims[3];
  const int32_t* slot = args.in<int32_t>(2);
  auto copy = [&](auto to, auto from) {
    using T = decltype(to);
    using S = decltype(from);
    // Not in parallel: among equal slots the last token wins, and the work is a copy of a few rows.
    for (int64_t i = 0; i < x.dims[0]; ++i) {
      const int64_t at = slot[i] - base;
      if (slot[i] < 0 || at < 0 || at >= slots) continue;
      const S* src = x.as<const S>() + i * n;
      T* dst = pool.as<T>() + at * n;
      for (int64_t j = 0; j < n; j += W) store_tail(dst + j, load_tail(src + j, n - j), n - j);
    }
  };
  with_type(pool.dtype, [&](auto to) { with_type(x.dtype, [&](auto from) { copy(to, from); }); });
}

struct Paged {
  const KernelArgs& args;
  const ops::PagedAttentionAttrs& a;
  int64_t heads, group, d, dv, block, pool_blocks, seq_blocks, seqs;
  const int32_t *table, *seq, *pos;

  explicit Paged(const KernelArgs& k)
      : args(k),
        a(k.attrs.as<ops::PagedAttentionAttrs>()),
        heads(k.operands[0].dims[1]),
        group(k.operands[0].dims[2]),
        d(k.operands[0].dims[3]),
        dv(k.operands[2].dims[3]),
        block(k.operands[1].dims[1]),
        pool_blocks(k.operands[1].dims[0]),
        seq_blocks(k.operands[3].dims[1]),
        seqs(k.operands[3].dims[0]),
        table(k.in<int32_t>(3)),
        seq(k.in<int32_t>(4)),
        pos(k.in<int32_t>(5)) {}

  // The token's sequence in this piece of the table, or -1.
  int64_t sequence(int64_t token) const {
    int64_t s = seq[token] - a.base;
    return seq[token] < 0 || s < 0 || s >= seqs ? -1 : s;
  }

  // Tokens [begin, end) of one sequence, one KV head.
  template <class QT, class KT>
  void tile(int64_t begin, int64_t end, int64_t head, const AttentionScratch& s) const {
    AttentionTile t;
    t.d = d;
    t.dv = dv;
    t.scale = static_cast<float>(a.scale);
    t.softcap = static_cast<float>(a.softcap);
    const QT* q[kTileRows];
    const int64_t sequence_row = sequence(begin), limit = seq_blocks * block;
    int64_t first = limit, last = 0;
    for (int64_t token = begin; token < end; ++token) {
      const int64_t hi = sequence_row < 0 ? 0 : std::clamp<int64_t>(int64_t{pos[token]} + 1, 0, limit);
      const int64_t lo = a.window ? std::max<int64_t>(0, int64_t{pos[token]} - a.window + 1) : 0;
      first = std::min(first, lo);
      last = std::max(last, hi);
      for (int64_t g = 0; g < group; ++g, ++t.rows) {
        q[t.rows] = args.in<QT>(0) + ((token * heads + head) * group + g) * d;
        t.lo[t.rows] = lo;
        t.hi[t.rows] = hi;
      }
    }
    begin_tile(t, q, s);
    const KT *k_pool = args.in<KT>(1), *v_pool = args.in<KT>(2);
    const KT* zeros = reinterpret_cast<const KT*>(s.zeros);
    // Rows of the block at b. Keys that no row sees are not read: their slots may hold anything.
    auto locate = [&](int64_t b, const KT** keys, const KT** values) {
      for (int64_t i = 0; i < kKeyBlock; ++i) {
        const int64_t p = b + i;
        const int64_t at = p >= first && p < last ? table[sequence_row * seq_blocks + p / block] : -1;
        const bool inside = at >= 0 && at < pool_blocks;
        const int64_t row = inside ? (at * block + p % block) * heads + head : 0;
        keys[i] = inside ? k_pool + row * d : zeros;
        values[i] = inside ? v_pool + row * dv : zeros;
      }
    };
    const KT *keys[2][kKeyBlock], *values[2][kKeyBlock];
    const int64_t start = first / kKeyBlock * kKeyBlock;
    if (start < last) locate(start, keys[0], values[0]);
    int now = 0;
    for (int64_t b = start; b < last; b += kKeyBlock, now ^= 1) {
      if (b + kKeyBlock < last) {  // the pool's rows are scattered: ask for the next ones early
        locate(b + kKeyBlock, keys[now ^ 1], values[now ^ 1]);
        constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(KT));
        for (int64_t i = 0; i < kKeyBlock; ++i) {
          for (int64_t j = 0; j < d; j += kLine) __builtin_prefetch(keys[now ^ 1][i] + j, 0, 2);
          for (int64_t j = 0; j < dv; j += kLine) __builtin_prefetch(values[now ^ 1][i] + j, 0, 2);
        }
      }
      attend_block(t, b, keys[now], values[now], s, [](int) { return static_cast<const float*>(nullptr); });
    }
    for (int r = 0; r < t.rows; ++r) {
      const int64_t token = begin + r / group, h = head * group + r % group;
      float sink = 0;
      if (a.has_sinks)
        with_type(args.operands[6].dtype,
                  [&](auto tag) { sink = load_n(args.in<decltype(tag)>(6) + h, 1)[0]; });
      QT* out = args.out<QT>(0) + (token * heads * group + h) * dv;
      if (sequence_row < 0 || pos[token] < 0) {
        for (int64_t i = 0; i < dv; i += W) store_tail(out + i, set(0), dv - i);
        continue;
      }
      finish_row(t, r, a.has_sinks ? &sink : nullptr, out);
    }
  }
};

void paged_attention(const KernelArgs& args) noexcept {
  const Paged p(args);
  const int64_t tokens = args.operands[0].dims[0];
  // Tiles: runs of tokens of one sequence, as many as fit.
  auto* starts = reinterpret_cast<int32_t*>(args.workspace);
  const int64_t most = std::max<int64_t>(1, kTileRows / std::max<int64_t>(1, p.group));
  int64_t tiles = 0;
  for (int64_t i = 0; i < tokens; ++i)
    if (i == 0 || p.seq[i] != p.seq[i - 1] || i - starts[tiles - 1] >= most)
      starts[tiles++] = static_cast<int32_t>(i);
  starts[tiles] = static_cast<int32_t>(tokens);
  // A few short sequences are done before another worker wakes up.
  int64_t products = 0;
  for (int64_t i = 0; i < tokens; ++i) products += (std::max(p.pos[i], 0) / kKeyBlock + 1) * kKeyBlock;
  products *= p.heads * (p.group + 4) * (p.d + p.dv);
  const int64_t grain = products < 400000 ? tiles * p.heads : 1;
  const int64_t bytes = align64(attention_scratch_bytes(p.d, p.dv));
  std::byte* scratch = args.workspace + tile_bytes(tokens);
  with_type(args.operands[0].dtype, [&](auto q_tag) {
    with_type(args.operands[1].dtype, [&](auto k_tag) {
      args.pool.parallel_for(tiles * p.heads, grain, [&](int64_t begin, int64_t end, int worker) {
        AttentionScratch s(scratch + worker * bytes, p.d, p.dv);
        std::memset(s.zeros, 0, static_cast<size_t>(std::max(p.d, p.dv)) * sizeof(float));
        for (int64_t i = begin; i < end; ++i)
          p.tile<decltype(q_tag), decltype(k_tag)>(starts[i / p.heads], starts[i / p.heads + 1], i % p.heads,
                                                   s);
      });
    });
  });
}

}  // namespace

void add_paged(KernelList& list) {
  static const Kernel kernels[] = {
      {"kv_write", HOIST_ISA_NAME, narrow_floats, kv_write},
      {"paged_attention", HOIST_ISA_NAME, attention_supports, paged_attention, nullptr, attention_workspace}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
