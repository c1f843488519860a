// attention, attention_grad and attention_mask: row by row, every score at once.
#include "ops/attention.h"

#include <algorithm>

#include "kernels/ref/any_float.h"

namespace hoist::kernels::ref {

namespace {

using ops::AttentionAttrs;
using ops::AttentionSlots;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The axes that positions, segments and biases choose from, outermost first: up to four leading ones,
// kv_heads, group, Q, K.
constexpr int kLead = 4, kHeads = 4, kGroup = 5, kQ = 6, kK = 7, kAxes = 8;
using Index = int64_t[kAxes];

struct Prep {
  int32_t lead;
  uint8_t q_pos, k_pos, q_seg, k_seg, bias;  // which of the axes each has, one bit per axis
  int64_t keys;                              // capacity
};

uint8_t axes_in(const ir::Type& t, const InlineVec<ir::Axis, kAxes>& axes) {
  uint8_t bits = 0;
  for (int i = 0; i < kAxes; ++i)
    if (!axes[i].empty() && t.has(axes[i])) bits = static_cast<uint8_t>(bits | 1 << i);
  return bits;
}

void prepare(const ir::OpView& view, Prepared& prepared) {
  const AttentionSlots slots = ops::attention_slots(view.attrs_as<AttentionAttrs>(), false);
  const ir::Type &q = view.operands[0], &k = view.operands[1];
  const ops::AttentionRoles roles = ops::attention_roles(q, k, view.operands[2]);
  InlineVec<ir::Axis, kAxes> axes;
  for (int i = 0; i < kLead; ++i) axes.push_back(i < roles.lead ? q.dims[i].axis : ir::Axis());
  for (ir::Axis a : {roles.kv_heads, roles.group, roles.q, roles.k}) axes.push_back(a);
  auto bits = [&](int slot) {
    return slot < 0 ? uint8_t{0} : axes_in(view.operands[static_cast<size_t>(slot)], axes);
  };
  prepared.store(Prep{roles.lead, bits(3), bits(4), bits(slots.q_seg), bits(slots.k_seg), bits(slots.bias),
                      k.dims[roles.lead].size});
}

// An operand that has some of the axes.
struct Partial {
  const TensorView* tensor = nullptr;
  int64_t stride[kAxes] = {};

  Partial() = default;
  Partial(const TensorView& t, uint8_t bits) : tensor(&t) {
    int64_t step = 1;
    for (int i = kAxes, d = t.dims.size(); i-- > 0;) {
      if (!(bits >> i & 1)) continue;
      stride[i] = step;
      step *= t.dims[--d];
    }
  }
  int64_t offset(const Index& at) const {
    int64_t o = 0;
    for (int i = 0; i < kAxes; ++i) o += stride[i] * at[i];
    return o;
  }
  int32_t id(const Index& at) const { return tensor->as<const int32_t>()[offset(at)]; }
};

// One call: sizes, operands, and the scores of one row at a time.
struct Call {
  const AttentionAttrs& a;
  const KernelArgs& args;
  AttentionSlots slots;
  int lead;
  int64_t lead_size[kLead] = {1, 1, 1, 1}, queries, keys, heads, group, width, v_width, leads = 1;
  Partial q_pos, k_pos, q_seg, k_seg, bias;

  Call(const KernelArgs& call, bool grad)
      : a(call.attrs.as<AttentionAttrs>()), args(call), slots(ops::attention_slots(a, grad)) {
    const Prep& p = args.prepared.as<Prep>();
    lead = p.lead;
    const TensorView &q = args.operands[0], &k = args.operands[1], &v = args.operands[2];
    for (int i = 0; i < lead; ++i) leads *= lead_size[i] = q.dims[i];
    queries = q.dims[lead], heads = q.dims[lead + 1], group = q.dims[lead + 2], width = q.dims[lead + 3];
    keys = k.dims[lead], v_width = v.dims[lead + 2];
    q_pos = Partial(args.operands[3], p.q_pos);
    k_pos = Partial(args.operands[4], p.k_pos);
    if (slots.q_seg >= 0) q_seg = Partial(operand(slots.q_seg), p.q_seg);
    if (slots.k_seg >= 0) k_seg = Partial(operand(slots.k_seg), p.k_seg);
    if (slots.bias >= 0) bias = Partial(operand(slots.bias), p.bias);
  }
  const TensorView& operand(int slot) const { return args.operands[static_cast<size_t>(slot)]; }

  // Calls f(l, at) for every flat leading index and head; `at` holds both.
  template <class F>
  void each_head(F f) const {
    for (int64_t l = 0; l < leads; ++l)
      for (int64_t h = 0; h < heads; ++h) {
        Index at = {};
        for (int64_t rest = l, i = lead; i-- > 0; rest /= lead_size[i]) at[i] = rest % lead_size[i];
        at[kHeads] = h;
        f(l, at);
      }
  }
  // Row of q, o (l, query, head, group) and of k, v (l, key, head), to be multiplied by the width.
  int64_t q_row(int64_t l, const Index& at) const {
    return ((l * queries + at[kQ]) * heads + at[kHeads]) * group + at[kGroup];
  }
  int64_t k_row(int64_t l, const Index& at) const { return (l * keys + at[kK]) * heads + at[kHeads]; }

  bool visible(const Index& at) const {
    const int64_t qp = q_pos.id(at), kp = k_pos.id(at);
    if (a.causal && kp > qp) return false;
    if (a.window > 0 && qp - kp >= a.window) return false;
    return slots.q_seg < 0 || q_seg.id(at) == k_seg.id(at);
  }
  double product(int64_t l, const Index& at) const {
    const int64_t q = q_row(l, at) * width, k = k_row(l, at) * width;
    double sum = 0;
    for (int64_t d = 0; d < width; ++d) sum += load(args.operands[0], q + d) * load(args.operands[1], k + d);
    return a.scale * sum;
  }
  // The finished score from the scaled product; minus infinity where invisible.
  double score(double scaled, const Index& at) const {
    double s = capped(scaled, a.softcap);
    if (slots.bias >= 0) s += load(*bias.tensor, bias.offset(at));
    return s;
  }
};

void forward(const KernelArgs& args) noexcept {
  const Call c(args, false);
  double* p = doubles(args.workspace);
  c.each_head([&](int64_t l, Index& at) {
    for (at[kQ] = 0; at[kQ] < c.queries; ++at[kQ])
      for (at[kGroup] = 0; at[kGroup] < c.group; ++at[kGroup]) {
        const double sink = c.slots.sinks < 0
                                ? -kInfinity
                                : load(c.operand(c.slots.sinks), at[kHeads] * c.group + at[kGroup]);
        double top = sink;
        for (at[kK] = 0; at[kK] < c.keys; ++at[kK]) {
          p[at[kK]] = c.visible(at) ? c.score(c.product(l, at), at) : -kInfinity;
          top = std::max(top, p[at[kK]]);
        }
        if (top == -kInfinity) top = 0;  // nothing is visible: all terms below are exp(-inf)
        double sum = std::exp(sink - top);
        for (int64_t k = 0; k < c.keys; ++k) sum += p[k] = std::exp(p[k] - top);
        const int64_t row = c.q_row(l, at);
        for (int64_t e = 0; e < c.v_width; ++e) {
          double o = 0;
          for (at[kK] = 0; at[kK] < c.keys; ++at[kK])
            if (p[at[kK]] != 0) o += p[at[kK]] * load(args.operands[2], c.k_row(l, at) * c.v_width + e);
          store(args.results[0], row * c.v_width + e, sum == 0 ? 0 : o / sum);
        }
        store(args.results[1], row, top + std::log(sum));
      }
  });
}

int64_t forward_workspace(const ir::OpView& view, int) {
  return view.operands[1].dims[view.operands[0].rank() - 4].size * 8;
}

void set_zero(const TensorView& t) {
  for (int64_t i = 0, n = t.elements(); i < n; ++i) store(t, i, 0);
}

void add_to(const TensorView& t, int64_t i, double x) { store(t, i, load(t, i) + x); }

void backward(const KernelArgs& args) noexcept {
  const Call c(args, true);
  const int64_t keys = c.keys, capacity = args.prepared.as<Prep>().keys;
  double* p = doubles(args.workspace);  // then: ds, and the sums of dk and dv of one head
  double *ds = p + capacity, *dk = ds + capacity, *dv = dk + capacity * c.width;
  const TensorView *o = &c.operand(c.slots.o), *lse = &c.operand(c.slots.lse), *d_o = &c.operand(c.slots.d_o);
  int next = 3;
  const TensorView* dbias = c.slots.bias < 0 ? nullptr : &args.results[static_cast<size_t>(next++)];
  const TensorView* dsinks = c.slots.sinks < 0 ? nullptr : &args.results[static_cast<size_t>(next++)];
  // Their dtype is that of statistics, so they hold their own sums.
  if (dbias) set_zero(*dbias);
  if (dsinks) set_zero(*dsinks);

  c.each_head([&](int64_t l, Index& at) {
    std::fill_n(dk, keys * c.width, 0.0);
    std::fill_n(dv, keys * c.v_width, 0.0);
    for (at[kQ] = 0; at[kQ] < c.queries; ++at[kQ])
      for (at[kGroup] = 0; at[kGroup] < c.group; ++at[kGroup]) {
        const int64_t row = c.q_row(l, at);
        const double row_lse = load(*lse, row);
        // do.o - dlse: what each dp is compared with.
        double shift = c.slots.dlse < 0 ? 0 : -load(c.operand(c.slots.dlse), row);
        for (int64_t e = 0; e < c.v_width; ++e)
          shift += load(*d_o, row * c.v_width + e) * load(*o, row * c.v_width + e);
        if (dsinks) {
          const int64_t head = at[kHeads] * c.group + at[kGroup];
          add_to(*dsinks, head, -std::exp(load(c.operand(c.slots.sinks), head) - row_lse) * shift);
        }
        for (at[kK] = 0; at[kK] < keys; ++at[kK]) {
          const int64_t k = at[kK];
          p[k] = ds[k] = 0;
          if (!c.visible(at)) continue;
          const double scaled = c.product(l, at), s = c.score(scaled, at);
          if (s == -kInfinity) continue;  // a bias may hide a pair too
          p[k] = std::exp(s - row_lse);
          double dp = 0;
          for (int64_t e = 0; e < c.v_width; ++e) {
            dp += load(*d_o, row * c.v_width + e) * load(args.operands[2], c.k_row(l, at) * c.v_width + e);
            dv[k * c.v_width + e] += p[k] * load(*d_o, row * c.v_width + e);
          }
          const double dscore = p[k] * (dp - shift);
          if (dbias) add_to(*dbias, c.bias.offset(at), dscore);
          ds[k] = dscore * cap_slope(scaled, c.a.softcap) * c.a.scale;
          for (int64_t d = 0; d < c.width; ++d)
            dk[k * c.width + d] += ds[k] * load(args.operands[0], row * c.width + d);
        }
        for (int64_t d = 0; d < c.width; ++d) {
          double sum = 0;
          for (at[kK] = 0; at[kK] < keys; ++at[kK])
            if (ds[at[kK]] != 0) sum += ds[at[kK]] * load(args.operands[1], c.k_row(l, at) * c.width + d);
          store(args.results[0], row * c.width + d, sum);
        }
      }
    for (at[kK] = 0; at[kK] < keys; ++at[kK]) {
      for (int64_t d = 0; d < c.width; ++d)
        store(args.results[1], c.k_row(l, at) * c.width + d, dk[at[kK] * c.width + d]);
      for (int64_t e = 0; e < c.v_width; ++e)
        store(args.results[2], c.k_row(l, at) * c.v_width + e, dv[at[kK] * c.v_width + e]);
    }
  });
}

int64_t backward_workspace(const ir::OpView& view, int) {
  return forward_workspace(view, 1) *
         (2 + view.operands[0].dims.back().size + view.operands[2].dims.back().size);
}

// ---- mask
// ----------------------------------------------------------------------------------------------------

void prepare_mask(const ir::OpView& view, Prepared& prepared) { prepared.store(nest_of_result(view)); }

void mask(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<AttentionAttrs>();
  const size_t result = args.operands.size();
  Space(args.prepared.as<Nest>(), args).each([&](const Offsets& at) {
    auto id = [&](int i) { return int64_t{args.in<int32_t>(i)[at[i]]}; };
    bool seen = !a.causal || id(1) <= id(0);
    if (a.window > 0 && id(0) - id(1) >= a.window) seen = false;
    if (a.has_segments && id(2) != id(3)) seen = false;
    args.out<float>(0)[at[static_cast<int>(result)]] = seen ? 0 : -std::numeric_limits<float>::infinity();
  });
}

}  // namespace

Kernels attention_kernels() {
  static constexpr Kernel kKernels[] = {
      {"attention", "ref", supports_dense, forward, prepare, forward_workspace},
      {"attention_grad", "ref", supports_dense, backward, prepare, backward_workspace},
      {"attention_mask", "ref", supports_dense, mask, prepare_mask},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
