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

// What a worker needs besides AttentionScratch: a tile's queries as floats; over int8 pools their scales, a
// row as integers, and a block's scales of keys and values; over f16 pools a block's rows as floats.
int64_t extra_floats(DType pool, int64_t d, int64_t dv) {
  return kTileRows * d + kTileRows + (d + 64) + 2 * kKeyBlock +
         (pool == DType::f16 ? kKeyBlock * (d + dv) : 0);
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
  w.worker += align64(extra_floats(v.dtype, q.dims[3].size, dv) * 4);
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

#include "kernels/cpu/attention_bytes.inc"

// pool[blocks, block, kv_heads, d], x[tokens, kv_heads, d], slot[tokens]
void kv_write(const KernelArgs& args) noexcept {
  const TensorView &pool = args.results[0], &x = args.operands[1];
  const int64_t base = args.attrs.as<ops::KvWriteAttrs>().base * pool.dims[1];
  const int64_t slots = pool.dims[0] * pool.dims[1], heads = pool.dims[2], width = x.dims[2];
  const int32_t* slot = args.in<int32_t>(2);
  constexpr int64_t kPiece = 256;
  // One row of one head, from x's row `from` to the pool's row `to`.
  auto convert = [&](int64_t from, int64_t to) {
    float wide[kPiece];
    for (int64_t at = 0; at < width; at += kPiece) {
      const int64_t n = std::min(kPiece, width - at);
      with_type(x.dtype, [&](auto tag) {
        const auto* p = x.as<const decltype(tag)>() + from * width + at;
        for (int64_t j = 0; j < n; j += W) store_tail(wide + j, load_tail(p + j, n - j), n - j);
      });
      with_type(pool.dtype, [&](auto tag) {
        auto* p = pool.as<decltype(tag)>() + to * width + at;
        for (int64_t j = 0; j < n; j += W) store_tail(p + j, load_tail(wide + j, n - j), n - j);
      });
    }
  };
  // Not in parallel: among equal slots the last token wins, and the work is a copy of a few rows.
  for (int64_t i = 0; i < x.dims[0]; ++i) {
    const int64_t at = slot[i] - base;
    if (slot[i] < 0 || at < 0 || at >= slots) continue;
    if (pool.dtype == x.dtype) {
      const int64_t bytes = heads * width * dtype_size(x.dtype);
      std::memcpy(pool.data + at * bytes, x.data + i * bytes, static_cast<size_t>(bytes));
      continue;
    }
    for (int64_t h = 0; h < heads; ++h) {
      if (pool.dtype == DType::i8)
        with_type(x.dtype, [&](auto tag) {
          write_kv_row(x.as<const decltype(tag)>() + (i * heads + h) * width, width,
                       pool.as<int8_t>() + (at * heads + h) * pool.dims[3]);
        });
      else
        convert(i * heads + h, at * heads + h);
    }
  }
}

// The worker's scratch behind AttentionScratch (extra_floats).
struct Extra {
  float *queries, *scale, *row, *key_scale, *value_scale, *rows;
  Extra(const AttentionScratch& s, int64_t d)
      : queries(s.end),
        scale(queries + kTileRows * d),
        row(scale + kTileRows),
        key_scale(row + d + 64),
        value_scale(key_scale + kKeyBlock),
        rows(value_scale + kKeyBlock) {}
};

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

  void finish(const PagedTile& t, int64_t head, int r, float m, float l, const float* o) const {
    with_type(args.operands[0].dtype, [&](auto tag) { finish_as<decltype(tag)>(t, head, r, m, l, o); });
  }
  template <class QT>
  void finish_as(const PagedTile& t, int64_t head, int r, float m, float l, const float* o) const {
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

  // A block's f16 rows as floats, and the pointers to them.
  void widen_rows(const Rows<f16>& here, const Extra& extra, Rows<float>& out) const {
    float *k = extra.rows, *v = k + kKeyBlock * d;
    for (int i = 0; i < kKeyBlock; ++i, k += d, v += dv) {
      for (int64_t j = 0; j < d; j += W) store_tail(k + j, load_tail(here.keys[i] + j, d - j), d - j);
      for (int64_t j = 0; j < dv; j += W) store_tail(v + j, load_tail(here.values[i] + j, dv - j), dv - j);
      out.keys[i] = k;
      out.values[i] = v;
    }
  }

  // `count` query rows as floats: rows[i] says which one, token * heads * group + head.
  void queries(const int64_t* rows, int count, const Extra& extra, const float** out) const {
    with_type(args.operands[0].dtype, [&](auto tag) {
      using QT = decltype(tag);
      for (int i = 0; i < count; ++i) {
        const QT* from = args.in<QT>(0) + rows[i] * d;
        if constexpr (sizeof(QT) == 4) {
          out[i] = from;
        } else {
          float* to = extra.queries + i * d;
          for (int64_t j = 0; j < d; j += W) store_tail(to + j, load_tail(from + j, d - j), d - j);
          out[i] = to;
        }
      }
    });
  }

  template <class A, class KT>
  void run(const PagedItem& item, const AttentionScratch& s) const {
#if HOIST_ISA_IS_AVX512
    if constexpr (sizeof(KT) == 4 / A::kPer && sizeof(KT) > 1) {
      const PagedTile& t = tiles[item.tile];
      if (t.end - t.begin == 1 && group <= kFew && d % A::kPer == 0) return run<A, KT, true>(item, s);
    }
#endif
    run<A, KT, false>(item, s);
  }

  // kOne: one token of at most kFew rows a head.
  template <class A, class KT, bool kOne>
  void run(const PagedItem& item, const AttentionScratch& s) const {
    const PagedTile& t = tiles[item.tile];
    const int rows = static_cast<int>((t.end - t.begin) * group), padded = (rows + kMr - 1) / kMr * kMr;
    const int64_t last_head = std::min<int64_t>(heads, item.head + t.heads_per_item);
    const int n_heads = static_cast<int>(last_head - item.head);
    constexpr bool kBytes = std::is_same_v<KT, int8_t>, kHalf = std::is_same_v<KT, f16>;
    const int64_t words = kBytes ? byte_words(d) : (d + A::kPer - 1) / A::kPer;
    const Extra extra(s, d);
    // Heads that are computed together.
    const int per = kOne ? std::min<int>(n_heads, static_cast<int>(8 / group)) : 1;
    const int packs = (n_heads + per - 1) / per;
    const float* q[kTileRows];
    int64_t lo[kTileRows], hi[kTileRows];
    for (int r = 0; r < rows; ++r) range(t.begin + r / group, &lo[r], &hi[r]);
    for (int p = 0; p < packs; ++p) {
      const int h = p * per, count = std::min(per, n_heads - h);
      int64_t which[kTileRows];
      for (int r = 0; r < count * rows; ++r)
        which[r] = ((t.begin + r % rows / group) * heads + item.head + h + r / rows) * group + r % group;
      queries(which, count * rows, extra, q);
#if HOIST_ISA_IS_AVX512
      if constexpr (kOne) {
        few_queries<A>(q, count, rows, d, s, s.q + h * kFew * words);
        continue;
      }
#endif
      float* to = s.q + h * padded * words;
      if constexpr (kBytes)
        pack_byte_queries(q, rows, d, reinterpret_cast<int32_t*>(extra.row), reinterpret_cast<int32_t*>(to),
                          extra.scale + h * padded);
      else
        pack_queries<A>(q, rows, d, s, to);
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
        const Rows<KT>& now_rows = of_head[0];
        const Rows<KT>* next_rows = more ? &of_head[1] : nullptr;  // null: nothing to ask for
        auto no_mask = [](int, int&, float*) { return static_cast<const float*>(nullptr); };
        if constexpr (kBytes) {
          pack_byte_block(now_rows.keys, now_rows.values, used, z, s, extra.key_scale, extra.value_scale,
                          next_rows ? next_rows->keys : nullptr, next_rows ? next_rows->values : nullptr);
          attend_bytes(z, state(h), rows, lo, hi, b, reinterpret_cast<int32_t*>(s.q) + h * padded * words,
                       extra.scale + h * padded, s, extra.key_scale, extra.value_scale);
        } else if constexpr (kHalf) {
          Rows<float> wide;
          widen_rows(now_rows, extra, wide);
          pack_block<A, float>(wide.keys, wide.values, used, z, s, nullptr, nullptr);
          attend_block<A>(z, state(h), rows, lo, hi, b, s.q + h * padded * words, s, no_mask);
        } else {
#if HOIST_ISA_IS_AVX512
          if constexpr (kOne) {
            const Rows<KT>& ahead = next_rows ? *next_rows : now_rows;
            few_block<A>(z, FewState(s, p, z.columns), std::min(per, n_heads - h), rows, lo[0], hi[0], b,
                         s.q + h * kFew * words, s, now_rows.keys, now_rows.values, ahead.keys, ahead.values);
            continue;
          }
#endif
          pack_block<A, KT>(now_rows.keys, now_rows.values, used, z, s, next_rows ? next_rows->keys : nullptr,
                            next_rows ? next_rows->values : nullptr);
          attend_block<A>(z, state(h), rows, lo, hi, b, s.q + h * padded * words, s, no_mask);
        }
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
      finish_split(t, item, n_heads, rows, s);
      return;
    }
    merge();
    for (int h = 0; h < n_heads; ++h)
      for (int r = 0; r < rows; ++r) {
        const int at = h * rows + r;
        finish(t, item.head + h, r, s.total.m[at], s.total.l[at], s.total.o + at * z.columns);
      }
  }

  // Whoever finishes the last part of some heads merges them all, in order.
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
        finish(t, item.head + h, r, m, l, o);
      }
  }
};

template <class A, class KT>
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
    for (int64_t i = begin; i < end; ++i) p.run<A, KT>(items[i], s);
  });
}

void paged_attention(const KernelArgs& args) noexcept {
  const Layout& w = args.prepared.as<PagedPlan>().layout;
  if (args.results[0].elements() == 0) return;
  switch (args.operands[1].dtype) {
    case DType::i8: return run_items<Single, int8_t>(args, w);
    case DType::f16: return run_items<Single, f16>(args, w);
#if HOIST_ISA_IS_AVX512DOT
    case DType::bf16: return run_items<Pairs, bf16>(args, w);
#else
    case DType::bf16: return run_items<Single, bf16>(args, w);
#endif
    default: return run_items<Single, float>(args, w);
  }
}

}  // namespace

void add_paged(KernelList& list) {
  static const Kernel kernels[] = {{"kv_write", HOIST_ISA_NAME, narrow_floats, kv_write},
                                   {"paged_attention", HOIST_ISA_NAME, attention_supports, paged_attention,
                                    attention_prepare, attention_workspace}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
