#include "passes/optimizer_steps.h"

#include <cmath>

#include "base/error.h"
#include "ops/adamw.h"
#include "ops/block_states.h"
#include "ops/constants.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/optimizers.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace hoist::passes {

using ir::Builder;
using ir::kNoValue;
using ir::Role;
using ir::Type;
using ir::ValueId;

namespace {

// One parameter under way: reads its states as f32 whatever they are kept in, and writes them back.
class Step {
 public:
  Step(const StepContext& context, const Target& target, const OptimizerSpec::Group& group)
      : c(context),
        b(context.b),
        spec(context.spec),
        group(group),
        state(target.state),
        name(b.graph().states[static_cast<size_t>(target.state)].name),
        p(target.param),
        g(target.grad),
        type(b.type(target.param)),
        f32(type.with_dtype(DType::f32)) {
    b.set_scope(Symbol("optimizer." + name));
    if (type.dtype != DType::f32) master = b.state(master_name(name), f32, Role::kOptimizer);
    rate = group.lr_scale == 1 ? c.lr : ops::affine(b, c.lr, group.lr_scale);
  }

  // A moment of the parameter's shape, as f32.
  struct Moment {
    std::string name;
    ValueId value = kNoValue;  // as it was
    StateStorage storage = StateStorage::kF32;
    ops::BlockState blocks = {};
    bool is_signed = true;
  };
  Moment moment(const std::string& state_name, bool is_signed = true) {
    Moment m{state_name, kNoValue, spec.states, {}, is_signed};
    if (m.storage == StateStorage::k8bit && f32.elements() < kMin8bit) m.storage = StateStorage::kF32;
    switch (m.storage) {
      case StateStorage::kF32: m.value = b.state(m.name, f32, Role::kOptimizer); break;
      case StateStorage::kBf16:
        m.value = ops::cast(b, b.state(m.name, f32.with_dtype(DType::bf16), Role::kOptimizer), DType::f32);
        break;
      case StateStorage::k8bit:
        m.blocks.codes = b.state(m.name, ops::block_codes_type(f32), Role::kOptimizer);
        m.blocks.scales = b.state(m.name + ".scale", ops::block_scales_type(f32), Role::kOptimizer);
        m.value = ops::load_blocks(b, m.blocks.codes, m.blocks.scales, {is_signed});
        break;
    }
    return m;
  }
  // `now` equals the moment as it was where ok is 0.
  void keep(const Moment& m, ValueId now) {
    switch (m.storage) {
      case StateStorage::kF32: return b.update(m.name, now);
      case StateStorage::kBf16: return b.update(m.name, ops::cast(b, now, DType::bf16));
      case StateStorage::k8bit: {
        const ops::BlockState saved = ops::save_blocks(b, now, m.blocks, c.ok, {m.is_signed});
        b.update(m.name, saved.codes);
        b.update(m.name + ".scale", saved.scales);
      }
    }
  }
  // A moment of any other shape, always f32; `now` counts where ok is not 0.
  void keep_if_ok(const std::string& state_name, ValueId before, ValueId now) {
    b.update(state_name, ops::select(b, ops::broadcast_like(b, c.ok, now), now, before));
  }
  // The parameter, its master and its average.
  void moved(ValueId now, ValueId master_now) {
    b.update(state, now);
    if (master != kNoValue) b.update(master_name(name), master_now);
    if (spec.ema <= 0) return;
    ValueId average = b.state(ema_name(name), f32, Role::kOptimizer);
    ValueId truth = master == kNoValue ? now : master_now;
    b.update(ema_name(name), ops::ema(b, average, truth, c.ok, {spec.ema}));
  }
  // p' = p - lr * decay * p - length * u
  void descend(ValueId u, ValueId length) {
    const ops::DescendResults now = ops::descend(b, p, u, length, rate, c.ok, master, {group.decay});
    moved(now.p, now.master);
  }

  ValueId gradient() { return ops::mul(b, ops::cast(b, g, DType::f32), c.scale); }
  ValueId truth() { return master == kNoValue ? p : master; }
  ValueId constant(double x) { return ops::full(b, x, DType::f32); }
  // sqrt(mean of squares) of a whole tensor.
  ValueId rms(ValueId x) {
    const double n = static_cast<double>(std::max<int64_t>(1, type.elements()));
    return ops::sqrt(b, ops::affine(b, ops::sum_squares(b, x), 1 / n));
  }
  // Axes of the parameter that `pick` takes, in its order; `size` is their product.
  struct Axes {
    AxisList list;
    int64_t size = 1;
  };
  template <class Pick>
  Axes axes(Pick pick) const {
    Axes out;
    for (const ir::Dim& d : type.dims)
      if (pick(d.axis)) {
        out.list.push_back(d.axis);
        out.size *= d.size;
      }
    return out;
  }
  Axes columns() const {
    return axes([&](ir::Axis a) { return group.columns.contains(a); });
  }
  Axes rows() const {
    return axes([&](ir::Axis a) { return !group.columns.contains(a) && !group.stacked.contains(a); });
  }

  const StepContext& c;
  Builder& b;
  const OptimizerSpec& spec;
  const OptimizerSpec::Group& group;
  const int state;
  const std::string name;
  const ValueId p, g;
  const Type type, f32;
  ValueId master = kNoValue, rate = kNoValue;
};

void adamw(Step& s) {
  const OptimizerSpec& spec = s.spec;
  const auto m = s.moment(moment1_name(s.name)), v = s.moment(moment2_name(s.name), false);
  ops::AdamwAttrs attrs;
  attrs.beta1 = spec.beta1;
  attrs.beta2 = spec.beta2;
  attrs.eps = spec.eps;
  attrs.decay = s.group.decay;
  const ops::AdamwResults now =
      ops::adamw(s.b, {s.p, s.g, m.value, v.value, s.rate, s.c.step, s.c.scale, s.c.ok, s.master}, attrs);
  s.keep(m, now.m);
  s.keep(v, now.v);
  s.moved(now.p, now.master);
}

void sgd(Step& s) {
  if (s.spec.momentum == 0) {  // nothing to remember
    ValueId u = s.gradient();
    if (s.group.decay > 0)
      u = ops::add(s.b, u, ops::affine(s.b, ops::cast(s.b, s.truth(), DType::f32), s.group.decay));
    const ops::DescendResults now = ops::descend(s.b, s.p, u, s.rate, s.rate, s.c.ok, s.master, {});
    return s.moved(now.p, now.master);
  }
  const auto m = s.moment("sgd_m." + s.name);
  const ops::MomentumResults now = ops::sgd(s.b, {s.p, s.g, m.value, s.rate, s.c.scale, s.c.ok, s.master},
                                            {s.spec.momentum, s.group.decay, s.spec.nesterov});
  s.keep(m, now.m);
  s.moved(now.p, now.master);
}

void lion(Step& s) {
  const auto m = s.moment("lion_m." + s.name);
  const ops::MomentumResults now = ops::lion(s.b, {s.p, s.g, m.value, s.rate, s.c.scale, s.c.ok, s.master},
                                             {s.spec.beta1, s.spec.beta2, s.group.decay});
  s.keep(m, now.m);
  s.moved(now.p, now.master);
}

void lamb(Step& s) {
  Builder& b = s.b;
  const auto m = s.moment("lamb_m." + s.name), v = s.moment("lamb_v." + s.name, false);
  const ops::LambResults now =
      ops::lamb_direction(b, s.truth(), s.g, m.value, v.value, s.c.step, s.c.scale, s.c.ok,
                          {s.spec.beta1, s.spec.beta2, s.spec.eps, s.group.decay});
  // |p| / |u|, or 1 where either is zero.
  ValueId weights = ops::sqrt(b, ops::sum_squares(b, ops::cast(b, s.truth(), DType::f32)));
  ValueId update = ops::sqrt(b, ops::sum_squares(b, now.u));
  ValueId none = ops::equal(b, ops::mul(b, weights, update), s.constant(0));
  ValueId trust = ops::select(b, none, s.constant(1), ops::div(b, weights, update));
  s.keep(m, now.m);
  s.keep(v, now.v);
  // The direction holds the decay already.
  const ops::DescendResults d =
      ops::descend(b, s.p, now.u, ops::mul(b, s.rate, trust), s.rate, s.c.ok, s.master, {});
  s.moved(d.p, d.master);
}

// before + share * (now - before)
ValueId blend(Builder& b, ValueId before, ValueId now, ValueId share) {
  return ops::add(b, before, ops::mul(b, ops::sub(b, now, before), share));
}

void adafactor(Step& s) {
  Builder& b = s.b;
  const double eps = s.spec.factor_eps;
  ValueId g = s.gradient(), squares = ops::square(b, g);
  ValueId log_step = ops::log(b, s.c.step), share = ops::exp(b, ops::affine(b, log_step, -0.8));
  ValueId estimate;
  if (s.group.columns.empty()) {
    const std::string v_name = "factor_v." + s.name;
    ValueId v = b.state(v_name, s.f32, Role::kOptimizer);
    estimate = blend(b, v, squares, share);
    s.keep_if_ok(v_name, v, estimate);
  } else {
    // Means of squares over columns and over rows; their outer product over the mean is the estimate.
    const Step::Axes rows = s.rows(), columns = s.columns();
    auto factor = [&](const char* prefix, const Step::Axes& over) {
      ValueId mean =
          ops::affine(b, ops::reduce_sum(b, squares, over.list), 1 / static_cast<double>(over.size));
      const std::string v_name = prefix + s.name;
      ValueId before = b.state(v_name, b.type(mean), Role::kOptimizer);
      ValueId now = blend(b, before, mean, share);
      s.keep_if_ok(v_name, before, now);
      return now;
    };
    ValueId by_row = factor("factor_row.", columns), by_column = factor("factor_col.", rows);
    ValueId mean = ops::affine(b, ops::reduce_sum(b, by_row, rows.list), 1 / static_cast<double>(rows.size));
    ValueId relative = ops::div(b, by_row, ops::maximum(b, mean, ops::full_like(b, eps, mean)));
    estimate = ops::mul(b, ops::broadcast_like(b, relative, g), by_column);
  }
  ValueId root = ops::rsqrt(b, ops::maximum(b, estimate, ops::full_like(b, eps * eps, estimate)));
  ValueId u = ops::mul(b, root, g);
  ValueId clipped = ops::maximum(b, s.rms(u), s.constant(1));
  ValueId size = ops::maximum(b, s.rms(ops::cast(b, s.truth(), DType::f32)), s.constant(1e-3));
  ValueId most = ops::rsqrt(b, s.c.step);
  ValueId relative_step = ops::minimum(b, s.rate, most);
  s.descend(u, ops::div(b, ops::mul(b, size, relative_step), clipped));
}

// Every axis of `axes` in x under another name, for products of a matrix with itself.
ValueId primed(Builder& b, ValueId x, const AxisList& axes, const char* mark) {
  AxisList to;
  for (ir::Axis a : axes) to.push_back(Symbol(a.str() + mark));
  return ops::rename(b, x, axes, to);
}
AxisList primed(const AxisList& axes, const char* mark) {
  AxisList to;
  for (ir::Axis a : axes) to.push_back(Symbol(a.str() + mark));
  return to;
}
AxisList joined(const AxisList& a, const AxisList& c, const AxisList& d) {
  AxisList out;
  for (const AxisList* list : {&a, &c, &d})
    for (ir::Axis axis : *list) out.push_back(axis);
  return out;
}

// The orthogonal matrix nearest to x, roughly: singular values come out between 0.7 and 1.2. f32.
ValueId orthogonal(Step& s, ValueId x) {
  Builder& b = s.b;
  constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
  constexpr int kSteps = 5;
  const Step::Axes rows = s.rows(), columns = s.columns();
  const AxisList& small = rows.size < columns.size ? rows.list : columns.list;
  if (2 * small.size() + s.group.stacked.size() > ir::Dims::capacity())
    throw_invalid("muon: '" + s.name + "' has too many axes");
  AxisList order;
  for (const ir::Dim& d : s.type.dims) order.push_back(d.axis);
  const AxisList other = primed(small, "_2");

  ValueId norm = ops::sqrt(b, ops::reduce_sum(b, ops::square(b, x), joined(rows.list, columns.list, {})));
  x = ops::mul(b, x, ops::reciprocal(b, ops::maximum(b, norm, ops::full_like(b, s.spec.muon_eps, norm))));
  const AxisList square = joined(s.group.stacked, small, other);
  for (int i = 0; i < kSteps; ++i) {
    ValueId gram = ops::contract(b, x, primed(b, x, small, "_2"), square, DType::f32);
    // gram * gram: the middle axes are a third copy.
    ValueId left = primed(b, gram, other, "_3"), right = gram;
    AxisList third = primed(other, "_3");
    right = ops::rename(b, right, small, third);
    ValueId twice = ops::contract(b, left, right, square, DType::f32);
    ValueId mix = ops::add(b, ops::affine(b, gram, kB), ops::affine(b, twice, kC));
    ValueId step = ops::contract(b, mix, primed(b, x, small, "_2"), order, DType::f32);
    x = ops::add(b, ops::affine(b, x, kA), step);
  }
  return x;
}

void muon(Step& s) {
  if (!s.group.hidden || s.group.columns.empty() || s.rows().list.empty()) return adamw(s);
  Builder& b = s.b;
  const auto m = s.moment("muon_m." + s.name);
  ValueId g = s.gradient();
  ValueId now = ops::add(b, m.value, ops::affine(b, ops::sub(b, g, m.value), 1 - s.spec.momentum));
  ValueId u = s.spec.nesterov ? ops::add(b, g, ops::affine(b, ops::sub(b, now, g), s.spec.momentum)) : now;
  // A gradient that is not finite must not reach the state.
  now = ops::select(b, ops::broadcast_like(b, s.c.ok, now), now, m.value);
  const double rows = static_cast<double>(s.rows().size), columns = static_cast<double>(s.columns().size);
  const double length =
      s.spec.muon_plain ? std::sqrt(std::max(1.0, rows / columns)) : 0.2 * std::sqrt(std::max(rows, columns));
  u = orthogonal(s, u);
  s.keep(m, now);
  s.descend(u, ops::affine(b, s.rate, length));
}

}  // namespace

void take_step(const StepContext& context, const Target& target, const OptimizerSpec::Group& group) {
  Step step(context, target, group);
  switch (context.spec.kind) {
    case Optimizer::kAdamw: return adamw(step);
    case Optimizer::kSgd: return sgd(step);
    case Optimizer::kLion: return lion(step);
    case Optimizer::kLamb: return lamb(step);
    case Optimizer::kAdafactor: return adafactor(step);
    case Optimizer::kMuon: return muon(step);
  }
}

}  // namespace hoist::passes
