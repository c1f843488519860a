// paged_attention and kv_write: serving attention over pools of KV blocks.
//
// Consecutive tokens of one sequence share a tile, so that a prompt reads its keys once per tile; each row's
// bits are the same alone and in company (attention_tile.inc).
#include "ops/paged.h"

#include <atomic>
#include <cmath>
#include <limits>

#include "kernels/cpu/attention_sizes.h"
#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/paged_work.h"
#include "kernels/cpu/simd.h"
#include "ops/kv_row.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

bool attention_supports(const ir::OpView& v) {
  return narrow_floats(v) && v.operands[1].dtype == v.operands[2].dtype &&
         v.operands[0].dims[2].size <= kTileRows;
}

// The workspace: tiles, items, counters, parts of split tiles, then each worker's scratch.
struct Layout {
  int64_t tiles, items, counters, parts, scratch, bytes;
  int64_t worker;  // bytes of one worker's scratch
  int64_t tile_limit, item_limit, part_floats;
};
Layout layout(const ir::Type& q, const ir::Type& v, const ir::Type& table, int threads) {
  Layout w{};
  const int64_t tokens = std::max<int64_t>(q.dims[0].size, 1), heads = std::max<int64_t>(q.dims[1].size, 1),
                group = std::max<int64_t>(q.dims[2].size, 1),
                dv = v.dtype == DType::i8 ? q.dims[3].size : v.dims[3].size;
  const int64_t context = table.dims[1].size * v.dims[1].size, splits = context / kSplit + 2;
  // Splitting pays while there are few tokens; a prompt has tiles enough. One token may always be split.
  const int64_t one = splits * heads * group * (wide_columns(dv) + 2);
  w.part_floats =
      threads < 2 ? 0 : std::max(one, std::min<int64_t>(one * std::min<int64_t>(tokens, 16), 4 << 20));
  w.tile_limit = tokens;
  w.item_limit = heads * (tokens + (threads < 2 ? 0 : std::min<int64_t>(tokens, 32) * splits));
  int64_t at = 0;
  auto take = [&](int64_t bytes) {
    const int64_t start = at;
    at += align64(bytes);
    return start;
  };
  w.tiles = take(w.tile_limit * static_cast<int64_t>(sizeof(PagedTile)));
  w.items = take(w.item_limit * static_cast<int64_t>(sizeof(PagedItem)));
  w.counters = take(w.tile_limit * heads * 4);
  w.parts = take(w.part_floats * 4);
  w.scratch = at;
  w.worker = align64(attention_scratch_bytes(q.dims[3].size, dv));
  if (v.dtype == DType::i8) w.worker += align64(kKeyBlock * 2 * q.dims[3].size * 4);  // rows as floats
  w.bytes = at + threads * w.worker;
  return w;
}

struct PagedPlan {
  Layout layout;
};
void attention_prepare(const ir::OpView& v, Prepared& prepared) {
  // Offsets do not depend on the number of threads, but limits do: with one, tiles are not split.
  prepared.store(PagedPlan{layout(v.operands[0], v.operands[2], v.operands[3], 2)});
}
int64_t attention_workspace(const ir::OpView& v, int threads) {
  return layout(v.operands[0], v.operands[2], v.operands[3], std::max(threads, 2)).bytes;
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_DOT
#define HOIST_ISA_FILE "kernels/cpu/paged.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/attention_product.inc"

#include "kernels/cpu/attention_tile.inc"

#if HOIST_ISA_IS_AVX512
#include "kernels/cpu/attention_few.inc"
#endif

#include "kernels/cpu/kv_row.inc"

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
  if (pool.dtype == DType::i8) {
    const int64_t width = x.dims[2], heads = pool.dims[2];
    with_type(x.dtype, [&](auto from) {
      for (int64_t i = 0; i < x.dims[0]; ++i) {
        const int64_t at = slot[i] - base;
        if (slot[i] < 0 || at < 0 || at >= slots) continue;
        for (int64_t h = 0; h < heads; ++h)
          write_kv_row(x.as<const decltype(from)>() + (i * heads + h) * width, width,
                       pool.as<int8_t>() + (at * heads + h) * pool.dims[3]);
      }
    });
    return;
  }
  with_type(pool.dtype, [&](auto to) { with_type(x.dtype, [&](auto from) { copy(to, from); }); });
}

// What a pool's rows are read as: int8 rows are unpacked.
template <class KT>
using RowOf = std::conditional_t<std::is_same_v<KT, int8_t>, float, KT>;

struct Paged {
  const KernelArgs& args;
  const ops::PagedAttentionAttrs& a;
  int64_t heads, group, d, dv, block, pool_blocks, seq_blocks, seqs;
  const int32_t *table, *seq, *pos;
  AttentionSizes z;
  const PagedTile* tiles;
  float* parts;
  int32_t* counters;

  Paged(const KernelArgs& k, const Layout& w)
      : args(k),
        a(k.attrs.as<ops::PagedAttentionAttrs>()),
        heads(k.operands[0].dims[1]),
        group(k.operands[0].dims[2]),
        d(k.operands[0].dims[3]),
        dv(k.operands[2].dtype == DType::i8 ? d : k.operands[2].dims[3]),
        block(k.operands[1].dims[1]),
        pool_blocks(k.operands[1].dims[0]),
        seq_blocks(k.operands[3].dims[1]),
        seqs(k.operands[3].dims[0]),
        table(k.in<int32_t>(3)),
        seq(k.in<int32_t>(4)),
        pos(k.in<int32_t>(5)),
        z(d, dv, a.scale, a.softcap),
        tiles(reinterpret_cast<const PagedTile*>(k.workspace + w.tiles)),
        parts(reinterpret_cast<float*>(k.workspace + w.parts)),
        counters(reinterpret_cast<int32_t*>(k.workspace + w.counters)) {}

  // The token's sequence in this piece of the table, or -1.
  int64_t sequence(int64_t token) const {
    int64_t s = seq[token] - a.base;
    return seq[token] < 0 || s < 0 || s >= seqs ? -1 : s;
  }
  void range(int64_t token, int64_t* lo, int64_t* hi) const {
    const int64_t limit = seq_blocks * block;
    *hi = sequence(token) < 0 ? 0 : std::clamp<int64_t>(int64_t{pos[token]} + 1, 0, limit);
    *lo = a.window ? std::clamp<int64_t>(int64_t{pos[token]} - a.window + 1, 0, *hi) : 0;
  }

  // Runs of tokens of one sequence at consecutive positions, as many as fit a tile.
  int64_t make_tiles(PagedTile* out) const {
    const int64_t tokens = args.operands[0].dims[0], most = tile_tokens(group);
    int64_t count = 0;
    for (int64_t i = 0; i < tokens; ++i) {
      if (i == 0 || seq[i] != seq[i - 1] || int64_t{pos[i]} != int64_t{pos[i - 1]} + 1 ||
          i - out[count - 1].begin >= most) {
        out[count] = {};
        out[count].begin = static_cast<int32_t>(i);
        out[count].first = INT64_MAX;
        ++count;
      }
      PagedTile& t = out[count - 1];
      int64_t lo, hi;
      range(i, &lo, &hi);
      t.end = static_cast<int32_t>(i + 1);
      if (lo < hi) {
        t.first = std::min(t.first, lo);
        t.last = std::max(t.last, hi);
      }
    }
    for (int64_t i = 0; i < count; ++i)
      if (out[i].last == 0) out[i].first = 0;
    return count;
  }

  // Rows of a tile's heads in the parts: [split][head][row], each dv padded, maximum, sum.
  float* part(const PagedTile& t, int64_t split, int64_t head) const {
    const int64_t rows = (t.end - t.begin) * group;
    return parts + t.parts + (split * heads + head) * rows * (z.columns + 2);
  }

  template <class QT>
  void finish(const PagedTile& t, int64_t head, int r, float m, float l, const float* o) const {
    const int64_t token = t.begin + r / group, h = head * group + r % group;
    QT* out = args.out<QT>(0) + (token * heads * group + h) * dv;
    if (sequence(token) < 0 || pos[token] < 0) {
      for (int64_t i = 0; i < dv; i += W) store_tail(out + i, set(0), dv - i);
      return;
    }
    float sink = 0;
    if (a.has_sinks)
      with_type(args.operands[6].dtype,
                [&](auto tag) { sink = load_n(args.in<decltype(tag)>(6) + h, 1)[0]; });
    finish_row(z, m, l, o, a.has_sinks ? &sink : nullptr, out);
  }

  // Where the keys and values of one block of 64 positions lie, for the first head of an item. Keys that no
  // row sees are not read, their slots may hold anything: they point to zeros.
  template <class KT>
  struct Rows {
    const KT *keys[kKeyBlock], *values[kKeyBlock];
  };
  template <class KT>
  void locate(const PagedTile& t, int64_t b, int64_t head, const KT* zeros, Rows<KT>& out) const {
    const int32_t* blocks = table + sequence(t.begin) * seq_blocks;
    const int64_t k_row = args.operands[1].dims[3], v_row = args.operands[2].dims[3];
    int64_t i = 0;
    auto hide = [&](int64_t end) {
      for (; i < end; ++i) out.keys[i] = out.values[i] = zeros;
    };
    hide(std::clamp<int64_t>(t.first - b, 0, kKeyBlock));
    const int64_t last = std::clamp<int64_t>(t.last - b, 0, kKeyBlock);
    while (i < last) {
      const int64_t at = blocks[(b + i) / block], offset = (b + i) % block,
                    end = std::min(i + block - offset, last);
      if (at < 0 || at >= pool_blocks) {
        hide(end);
        continue;
      }
      const int64_t row = (at * block + offset) * heads + head;
      const KT *k = args.in<KT>(1) + row * k_row, *v = args.in<KT>(2) + row * v_row;
      for (; i < end; ++i, k += heads * k_row, v += heads * v_row) {
        out.keys[i] = k;
        out.values[i] = v;
      }
    }
    hide(kKeyBlock);
  }
  // The same rows of a later head. Zeros stay zeros: there are enough of them.
  template <class KT>
  void move_to(const Rows<KT>& rows, int64_t head, Rows<KT>& out) const {
    const int64_t k = head * args.operands[1].dims[3], v = head * args.operands[2].dims[3];
    for (int i = 0; i < kKeyBlock; ++i) out.keys[i] = rows.keys[i] + k;
    for (int i = 0; i < kKeyBlock; ++i) out.values[i] = rows.values[i] + v;
  }

  // An int8 block's rows as T, and the pointers to them. The next block is asked for on the way.
  template <class T>
  void unpack(const Rows<int8_t>& here, const Rows<int8_t>* next, const AttentionScratch& s,
              Rows<T>& out) const {
    T *k = reinterpret_cast<T*>(s.end), *v = k + kKeyBlock * d;
    for (int i = 0; i < kKeyBlock; ++i, k += d, v += d) {
      if (next)
        for (const int8_t* row : {next->keys[i], next->values[i]})
          for (int64_t at = 0; at < d + 65; at += 64) __builtin_prefetch(row + std::min(at, d + 1), 0, 2);
      read_kv_row(here.keys[i], d, k);
      read_kv_row(here.values[i], d, v);
      out.keys[i] = k;
      out.values[i] = v;
    }
  }

  template <class A, class QT, class KT>
  void run(const PagedItem& item, const AttentionScratch& s) const {
#if HOIST_ISA_IS_AVX512
    if constexpr (sizeof(RowOf<KT>) == 4 / A::kPer) {
      const PagedTile& t = tiles[item.tile];
      if (t.end - t.begin == 1 && group <= kFew && d % A::kPer == 0) return run<A, QT, KT, true>(item, s);
    }
#endif
    run<A, QT, KT, false>(item, s);
  }

  // kOne: one token of at most kFew rows a head.
  template <class A, class QT, class KT, bool kOne>
  void run(const PagedItem& item, const AttentionScratch& s) const {
    const PagedTile& t = tiles[item.tile];
    const int rows = static_cast<int>((t.end - t.begin) * group), padded = (rows + kMr - 1) / kMr * kMr;
    const int64_t last_head = std::min<int64_t>(heads, item.head + t.heads_per_item);
    const int n_heads = static_cast<int>(last_head - item.head);
    const int64_t words = (d + A::kPer - 1) / A::kPer;
    // Heads that are computed together.
    using RT = RowOf<KT>;
    constexpr bool kRows = std::is_same_v<KT, int8_t>;
    const int per = kOne && !kRows ? std::min<int>(n_heads, static_cast<int>(8 / group)) : 1;
    const int packs = (n_heads + per - 1) / per;
    const QT* q[kTileRows];
    int64_t lo[kTileRows], hi[kTileRows];
    for (int r = 0; r < rows; ++r) range(t.begin + r / group, &lo[r], &hi[r]);
    for (int p = 0; p < packs; ++p) {
      const int h = p * per, count = std::min(per, n_heads - h);
      for (int r = 0; r < count * rows; ++r)
        q[r] = args.in<QT>(0) +
               (((t.begin + r % rows / group) * heads + item.head + h + r / rows) * group + r % group) * d;
#if HOIST_ISA_IS_AVX512
      if constexpr (kOne) {
        few_queries<A>(q, count, rows, d, s, s.q + h * kFew * words);
        continue;
      }
#endif
      pack_queries<A>(q, rows, d, s, s.q + h * padded * words);
    }
    auto start_part = [&] {
#if HOIST_ISA_IS_AVX512
      if constexpr (kOne) {
        for (int p = 0; p < packs; ++p) FewState(s, p, z.columns).begin(z.columns);
        return;
      }
#endif
      begin_state(s.part, n_heads * rows, z.columns);
    };
    auto state = [&](int h) {
      return AttentionState{s.part.m + h * rows, s.part.l + h * rows * W, s.part.o + h * rows * z.columns};
    };
    // fn(h, r, m, l, o) for every row of the part.
    auto each_row = [&](auto fn) {
      for (int h = 0; h < n_heads; ++h) {
#if HOIST_ISA_IS_AVX512
        if constexpr (kOne) {
          const FewState f(s, h / per, z.columns);
          const int lane = h % per * rows;
          for (int r = lane; r < lane + rows; ++r) fn(h, r - lane, f.m[r], f.sum_of(r), f.o + r * z.columns);
          continue;
        }
#endif
        const AttentionState f = state(h);
        for (int r = 0; r < rows; ++r) fn(h, r, f.m[r], sum(load(f.l + r * W)), f.o + r * z.columns);
      }
    };
    bool merged = false;  // s.total holds parts
    auto merge = [&] {
      each_row([&](int h, int r, float m, float l, const float* o) {
        const int at = h * rows + r;
        if (!merged) {
          s.total.m[at] = -kInfinity;
          s.total.l[at] = 0;
          std::memset(s.total.o + at * z.columns, 0, static_cast<size_t>(z.columns) * sizeof(float));
        }
        merge_row(z, &s.total.m[at], &s.total.l[at], s.total.o + at * z.columns, m, l, o);
      });
      merged = true;
      start_part();
    };
    start_part();
    const bool split = t.splits > 1;
    int64_t begin = t.first, end = t.last;
    if (split) {
      begin = std::max(begin, (t.first / kSplit + item.split) * kSplit);
      end = std::min(end, (t.first / kSplit + item.split + 1) * kSplit);
    }
    const KT* zeros = reinterpret_cast<const KT*>(s.zeros);
    Rows<KT> blocks[2], of_head[2];
    const int64_t start = begin / kKeyBlock * kKeyBlock;
    int now = 0;
    if (start < end) locate(t, start, item.head, zeros, blocks[0]);
    for (int64_t b = start; b < end; b += kKeyBlock, now ^= 1) {
      const bool more = b + kKeyBlock < end;
      if (more) locate(t, b + kKeyBlock, item.head, zeros, blocks[now ^ 1]);
      const int used = static_cast<int>(std::min<int64_t>(kKeyBlock, end - b));
      for (int p = 0; p < packs; ++p) {
        const int h = p * per;
        move_to(blocks[now], h, of_head[0]);
        if (more) move_to(blocks[now ^ 1], h, of_head[1]);
        const Rows<RT>* rows_now;
        Rows<RT> unpacked;
        const Rows<RT>* rows_next;  // null: nothing to ask for
        if constexpr (kRows) {
          unpack(of_head[0], more ? &of_head[1] : nullptr, s, unpacked);
          rows_now = &unpacked;
          rows_next = nullptr;
        } else {
          rows_now = &of_head[0];
          rows_next = more ? &of_head[1] : nullptr;
        }
#if HOIST_ISA_IS_AVX512
        if constexpr (kOne) {
          const Rows<RT>& ahead = rows_next ? *rows_next : *rows_now;
          few_block<A>(z, FewState(s, p, z.columns), std::min(per, n_heads - h), rows, lo[0], hi[0], b,
                       s.q + h * kFew * words, s, rows_now->keys, rows_now->values, ahead.keys, ahead.values);
          continue;
        }
#endif
        pack_block<A, RT>(rows_now->keys, rows_now->values, used, z, s, rows_next ? rows_next->keys : nullptr,
                          rows_next ? rows_next->values : nullptr);
        attend_block<A>(z, state(h), rows, lo, hi, b, s.q + h * padded * words, s,
                        [](int, int&, float*) { return static_cast<const float*>(nullptr); });
      }
      // The end of a part: sums are added up in the same order whoever computes them.
      if (!split && more && (b + kKeyBlock) % kSplit == 0) merge();
    }
    if (split) {
      each_row([&](int h, int r, float m, float l, const float* o) {
        float* out = part(t, item.split, item.head + h) + r * (z.columns + 2);
        std::memcpy(out, o, static_cast<size_t>(z.columns) * sizeof(float));
        out[z.columns] = m;
        out[z.columns + 1] = l;
      });
      finish_split<QT>(t, item, n_heads, rows, s);
      return;
    }
    merge();
    for (int h = 0; h < n_heads; ++h)
      for (int r = 0; r < rows; ++r) {
        const int at = h * rows + r;
        finish<QT>(t, item.head + h, r, s.total.m[at], s.total.l[at], s.total.o + at * z.columns);
      }
  }

  // Whoever finishes the last part of some heads merges them all, in order.
  template <class QT>
  void finish_split(const PagedTile& t, const PagedItem& item, int n_heads, int rows,
                    const AttentionScratch& s) const {
    std::atomic_ref<int32_t> counter(counters[t.counters + item.head / t.heads_per_item]);
    if (counter.fetch_add(1, std::memory_order_acq_rel) + 1 < t.splits) return;
    for (int h = 0; h < n_heads; ++h)
      for (int r = 0; r < rows; ++r) {
        float m = -kInfinity, l = 0, *o = s.total.o;
        std::memset(o, 0, static_cast<size_t>(z.columns) * sizeof(float));
        for (int32_t i = 0; i < t.splits; ++i) {
          const float* p = part(t, i, item.head + h) + r * (z.columns + 2);
          merge_row(z, &m, &l, o, p[z.columns], p[z.columns + 1], p);
        }
        finish<QT>(t, item.head + h, r, m, l, o);
      }
  }
};

template <class A, class QT, class KT>
void run_items(const KernelArgs& args, const Layout& w) {
  const Paged p(args, w);
  auto* tiles = reinterpret_cast<PagedTile*>(args.workspace + w.tiles);
  auto* items = reinterpret_cast<PagedItem*>(args.workspace + w.items);
  const int64_t tile_count = p.make_tiles(tiles);
  // A few short sequences are done before another worker wakes up.
  int64_t products = 0;
  for (int64_t i = 0; i < tile_count; ++i)
    products += (tiles[i].last - tiles[i].first + kKeyBlock) * (tiles[i].end - tiles[i].begin);
  products *= p.heads * (p.group + 4) * (p.d + p.dv);
  const int threads = products < 400000 ? 1 : args.pool.threads();
  const int64_t count =
      share_out({p.heads, p.group, p.dv, kMr, threads, w.part_floats, w.tile_limit, w.item_limit}, tiles,
                tile_count, items);
  for (int64_t i = 0; i < tile_count * p.heads; ++i) p.counters[i] = 0;
  std::byte* scratch = args.workspace + w.scratch;
  args.pool.parallel_for(count, threads == 1 ? count : 1, [&](int64_t begin, int64_t end, int worker) {
    AttentionScratch s(scratch + worker * w.worker, p.d, p.dv);
    std::memset(s.zeros, 0, static_cast<size_t>(kZeroRows * std::max(p.d, p.dv)) * sizeof(float));
    for (int64_t i = begin; i < end; ++i) p.run<A, QT, KT>(items[i], s);
  });
}

template <class QT, class KT>
void run_arithmetic(const KernelArgs& args, const Layout& w) {
#if HOIST_ISA_IS_AVX512DOT
  if constexpr (std::is_same_v<KT, bf16>) return run_items<Pairs, QT, KT>(args, w);
#endif
  run_items<Single, QT, KT>(args, w);
}

void paged_attention(const KernelArgs& args) noexcept {
  const Layout& w = args.prepared.as<PagedPlan>().layout;
  if (args.results[0].elements() == 0) return;
  with_type(args.operands[0].dtype, [&](auto q_tag) {
    using QT = decltype(q_tag);
    if (args.operands[1].dtype == DType::i8) return run_arithmetic<QT, int8_t>(args, w);
    with_type(args.operands[1].dtype, [&](auto k_tag) { run_arithmetic<QT, decltype(k_tag)>(args, w); });
  });
}

}  // namespace

void add_paged(KernelList& list) {
  static const Kernel kernels[] = {{"kv_write", HOIST_ISA_NAME, narrow_floats, kv_write},
                                   {"paged_attention", HOIST_ISA_NAME, attention_supports, paged_attention,
                                    attention_prepare, attention_workspace}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
