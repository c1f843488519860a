// One call of attention or attention_grad: sizes, where positions lie, and which keys a query sees.
#pragma once

#include <algorithm>

#include "kernels/cpu/attention_sizes.h"
#include "kernels/kernel.h"
#include "ops/attention.h"

namespace hoist::kernels::cpu {

// Decided when the plan is made: leading axes, and for q_pos, k_pos, q_seg, k_seg which of them each has (bit
// i).
struct AttentionPlan {
  int lead = 0;
  uint32_t axes[4] = {};
  bool ragged = false;     // the forward kernel: the segments may come in order (RaggedTile)
  int64_t tile_bytes = 0;  // of the list of tiles
};

// Whether every id operand has its own axis (Q or K), which the kernels rely on, and no attribute is beyond
// them.
inline bool attention_plan(const ir::OpView& v, AttentionPlan& plan) {
  const auto& a = v.attrs_as<ops::AttentionAttrs>();
  const auto slots = ops::attention_slots(a, false);
  const auto roles = ops::attention_roles(v.operands[0], v.operands[1], v.operands[2]);
  plan.lead = roles.lead;
  const int at[4] = {3, 4, slots.q_seg, slots.k_seg};
  for (int i = 0; i < 4; ++i) {
    if (at[i] < 0) continue;
    const ir::Type& t = v.operands[static_cast<size_t>(at[i])];
    if (!t.has(i % 2 ? roles.k : roles.q)) return false;
    for (int d = 0; d < roles.lead; ++d)
      if (t.has(v.operands[0].dims[d].axis)) plan.axes[i] |= 1u << d;
  }
  return true;
}

struct AttentionCall {
  const ops::AttentionAttrs& a;
  const TensorView &q, &k, &v;
  const AttentionPlan& plan;
  int64_t leads = 1, queries, keys, heads, group, d, dv;
  const int32_t* ids[4] = {};  // q_pos, k_pos, q_seg, k_seg

  explicit AttentionCall(const KernelArgs& args)
      : a(args.attrs.as<ops::AttentionAttrs>()),
        q(args.operands[0]),
        k(args.operands[1]),
        v(args.operands[2]),
        plan(args.prepared.as<AttentionPlan>()) {
    const int n = plan.lead;
    for (int i = 0; i < n; ++i) leads *= q.dims[i];
    queries = q.dims[n];
    heads = q.dims[n + 1];
    group = q.dims[n + 2];
    d = q.dims[n + 3];
    keys = k.dims[n];
    dv = v.dims[n + 2];
    const auto slots = ops::attention_slots(a, false);
    const int at[4] = {3, 4, slots.q_seg, slots.k_seg};
    for (int i = 0; i < 4; ++i)
      if (at[i] >= 0) ids[i] = args.in<int32_t>(at[i]);
  }

  // The ids of operand i for leading index l.
  const int32_t* ids_of(int i, int64_t l) const {
    int64_t at = 0, stride = 1;
    for (int n = plan.lead - 1; n >= 0; --n) {
      const int64_t size = q.dims[n];
      if (plan.axes[i] >> n & 1) {
        at += l % size * stride;
        stride *= size;
      }
      l /= size;
    }
    return ids[i] ? ids[i] + at * (i % 2 ? keys : queries) : nullptr;
  }
  int64_t q_row(int64_t l, int64_t query, int64_t head, int64_t g) const {
    return ((l * queries + query) * heads + head) * group + g;
  }
  int64_t k_row(int64_t l, int64_t key, int64_t head) const { return (l * keys + key) * heads + head; }
};

// What the queries of one leading index see. When the keys' positions count up by one, a query sees a range;
// else, and with segments, a mask per block decides.
struct Visibility {
  const int32_t *q_pos, *k_pos, *q_seg, *k_seg;
  int64_t first, keys, window;  // keys [first, keys)
  bool causal, ramp;

  Visibility(const AttentionCall& c, int64_t l)
      : q_pos(c.ids_of(0, l)),
        k_pos(c.ids_of(1, l)),
        q_seg(c.ids_of(2, l)),
        k_seg(c.ids_of(3, l)),
        first(0),
        keys(c.keys),
        window(c.a.window),
        causal(c.a.causal),
        ramp(true) {
    find_ramp();
  }
  // The keys [begin, end) are one whole segment, which only its own queries ask about.
  Visibility(const AttentionCall& c, int64_t begin, int64_t end)
      : q_pos(c.ids[0]),
        k_pos(c.ids[1]),
        q_seg(nullptr),
        k_seg(nullptr),
        first(begin),
        keys(end),
        window(c.a.window),
        causal(c.a.causal),
        ramp(true) {
    if (causal || window) find_ramp();
  }
  bool masked() const { return q_seg || (!ramp && (causal || window)); }
  void range(int64_t query, int64_t* lo, int64_t* hi) const {
    *lo = first;
    *hi = keys;
    if (!ramp || first == keys || !(causal || window)) return;
    const int64_t at = first + int64_t{q_pos[query]} - k_pos[first];
    if (causal) *hi = std::clamp<int64_t>(at + 1, first, keys);
    if (window) *lo = std::clamp<int64_t>(at - window + 1, first, keys);
  }
  // 0 or -inf for keys [block, block + 64).
  void mask(int64_t query, int64_t block, float* out) const {
    for (int64_t i = 0; i < 64; ++i) {
      const int64_t key = block + i;
      bool see = key < keys;
      if (see && causal) see = k_pos[key] <= q_pos[query];
      if (see && window) see = int64_t{q_pos[query]} - k_pos[key] < window;
      if (see && q_seg) see = q_seg[query] == k_seg[key];
      out[i] = see ? 0.0f : -__builtin_inff();
    }
  }

 private:
  void find_ramp() {
    for (int64_t i = first + 1; i < keys && ramp; ++i) ramp = int64_t{k_pos[i]} - k_pos[first] == i - first;
  }
};

// A ragged batch: segments lie one behind the other, in queries and keys alike, on one flat axis each. Then a
// tile of queries of one segment meets that segment's keys and no others, in blocks that begin where it
// begins: its bits are those of the segment alone, and no time goes into pairs of different segments.
struct RaggedTile {
  int32_t q_begin, q_end, k_begin, k_end;
};

// Whether a call may be ragged; a list of its tiles then has at most one for each query.
inline bool may_be_ragged(const ir::OpView& v) {
  return v.attrs_as<ops::AttentionAttrs>().has_segments && v.operands[0].rank() == 4;
}

// The tiles of at most `most` queries, into `out`; -1 when the segments are not in order.
inline int64_t ragged_tiles(const AttentionCall& c, int64_t most, RaggedTile* out) {
  const int32_t *q = c.ids[2], *k = c.ids[3];
  if (!std::is_sorted(q, q + c.queries) || !std::is_sorted(k, k + c.keys)) return -1;
  int64_t count = 0, key = 0;
  for (int64_t begin = 0, end; begin < c.queries; begin = end) {
    const int32_t segment = q[begin];
    for (end = begin + 1; end < c.queries && q[end] == segment;) ++end;
    while (key < c.keys && k[key] < segment) ++key;
    const int64_t first = key;
    while (key < c.keys && k[key] == segment) ++key;
    for (int64_t from = begin; from < end; from += most)
      out[count++] = {static_cast<int32_t>(from), static_cast<int32_t>(std::min(end, from + most)),
                      static_cast<int32_t>(first), static_cast<int32_t>(key)};
  }
  return count;
}

}  // namespace hoist::kernels::cpu
