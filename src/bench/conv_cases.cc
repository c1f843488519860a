// Convolutions over the shapes of ResNet-50, and the other layers of classic networks: LSTM, batch norm and
// pooling.
//
// `conv` runs from blocked activations to blocked activations with weights packed ahead, as a network that
// keeps its layouts would: the peer may choose its layouts too, and reorders are counted for neither.
// `conv.nchw` is the same from planes to planes for both. `conv2d`, its gradients and the rest are the ops
// themselves, weights packed in every run.
#include <memory>
#include <string>

#include "bench/kernel_cases.h"
#include "bench/op_run.h"
#include "bench/peers.h"
#include "kernels/cpu/conv/conv.h"
#include "ops/batch_norm.h"
#include "ops/conv2d.h"
#include "ops/lstm.h"
#include "ops/pool2d.h"

namespace hoist::bench {

namespace {

using ir::Attrs;
using ir::Type;
using kernels::cpu::ConvPass;
using kernels::cpu::ConvPlan;
using kernels::cpu::ConvShape;

struct Layer {
  int64_t in, size, out, taps, stride, pad;
};
constexpr Layer kResNet50[] = {
    {3, 224, 64, 7, 2, 3},   {64, 56, 64, 1, 1, 0},    {64, 56, 64, 3, 1, 1},    {64, 56, 256, 1, 1, 0},
    {256, 56, 64, 1, 1, 0},  {256, 56, 128, 1, 1, 0},  {128, 56, 128, 3, 2, 1},  {256, 56, 512, 1, 2, 0},
    {128, 28, 512, 1, 1, 0}, {512, 28, 128, 1, 1, 0},  {128, 28, 128, 3, 1, 1},  {512, 28, 256, 1, 1, 0},
    {256, 28, 256, 3, 2, 1}, {512, 28, 1024, 1, 2, 0}, {256, 14, 1024, 1, 1, 0}, {1024, 14, 256, 1, 1, 0},
    {256, 14, 256, 3, 1, 1}, {1024, 14, 512, 1, 1, 0}, {512, 14, 512, 3, 2, 1},  {1024, 14, 2048, 1, 2, 0},
    {512, 7, 2048, 1, 1, 0}, {2048, 7, 512, 1, 1, 0},  {512, 7, 512, 3, 1, 1}};

ConvShape shape_of(const Layer& l, int64_t batch) {
  const int64_t out = (l.size + 2 * l.pad - l.taps) / l.stride + 1;
  return {batch, l.in,     l.size,   l.size, l.out, l.taps, l.taps, out,
          out,   l.stride, l.stride, 1,      1,     l.pad,  l.pad};
}

std::string text_of(const Layer& l, int64_t batch) {
  return std::to_string(batch) + "x" + std::to_string(l.in) + "x" + std::to_string(l.size) + " to " +
         std::to_string(l.out) + " " + std::to_string(l.taps) + "x" + std::to_string(l.taps) + "/" +
         std::to_string(l.stride);
}

// The operations of the definition, whatever the algorithm does: Winograd's share may exceed 1.
void count(const ConvShape& s, Case& c) {
  const double ops = 2.0 * static_cast<double>(s.batch * s.out * s.out_h * s.out_w) *
                     static_cast<double>(s.in * s.kh * s.kw);
  c.dtype = "f32";
  c.unit = "GFLOP/s";
  c.amount = ops * 1e-9;
  c.work.ops = ops;
}

struct Calls {
  int64_t lanes;
  decltype(&kernels::cpu::portable::conv_packed_bytes) packed_bytes;
  decltype(&kernels::cpu::portable::conv_workspace) workspace;
  decltype(&kernels::cpu::portable::conv_pack) pack;
  decltype(&kernels::cpu::portable::conv_run) run;
};
Calls calls_of(kernels::Isa isa) {
#define HOIST_CALLS(name)                                                                               \
  Calls {                                                                                               \
    kernels::cpu::name::conv_lanes(), kernels::cpu::name::conv_packed_bytes,                            \
        kernels::cpu::name::conv_workspace, kernels::cpu::name::conv_pack, kernels::cpu::name::conv_run \
  }
  if (isa == kernels::Isa::kPortable) return HOIST_CALLS(portable);
  return isa == kernels::Isa::kAvx2 ? HOIST_CALLS(avx2) : HOIST_CALLS(avx512);
#undef HOIST_CALLS
}

Run packed_run(const Setting& setting, const ConvShape& s, bool blocked) {
  const Calls calls = calls_of(setting.isa);
  ConvPlan plan = plan_conv(s, ConvPass::kForward, true);
  plan.blocked = blocked && s.in >= calls.lanes;  // pictures stay planes
  auto up = [&](int64_t n) { return (n + calls.lanes - 1) / calls.lanes * calls.lanes; };
  struct Memory {
    HostMemory x, w, y, packed, work;
  };
  std::shared_ptr<Memory> m(
      new Memory{HostMemory(4 * s.batch * up(s.in) * s.h * s.w), HostMemory(4 * s.out * s.in * s.kh * s.kw),
                 HostMemory(4 * s.batch * up(s.out) * s.out_h * s.out_w),
                 HostMemory(calls.packed_bytes(plan)), HostMemory(calls.workspace(plan, setting.threads))});
  calls.pack(plan, m->w.as<float>(), m->packed.data(), setting.pool);
  return [plan, calls, m, &pool = setting.pool] {
    calls.run(plan, m->x.as<float>(), m->packed.data(), m->y.as<float>(), m->work.data(), pool);
  };
}

// Every algorithm the library has; the harness takes the fastest.
std::vector<PeerRun> packed_peers(const Setting& setting, const ConvShape& s, bool plain) {
  std::vector<PeerRun> out;
  OneDnn* d = setting.peers.onednn();
  if (!d) return out;
  const std::vector<int64_t> x = {s.batch, s.in, s.h, s.w}, w = {s.out, s.in, s.kh, s.kw},
                             y = {s.batch, s.out, s.out_h, s.out_w}, pads = {s.pad_top, s.pad_left};
  const int tag = plain ? OneDnn::kNchw : OneDnn::kAny;
  constexpr const char* kNames[] = {"onednn direct", "onednn winograd", "onednn auto"};
  for (int algorithm = 1; algorithm <= 3; ++algorithm) {
    auto layout = [&](const std::vector<int64_t>& dims, int t) { return d->layout(dims, OneDnn::kF32, t); };
    OneDnn::Handle desc = d->convolution(algorithm, layout(x, tag), layout(w, OneDnn::kAny), layout(y, tag),
                                         {s.stride_h, s.stride_w}, {0, 0}, pads, pads);
    if (!desc) continue;
    out.push_back(
        {kNames[algorithm - 1],
         d->run(desc, {{OneDnn::kSource,
                        d->random(d->wanted(desc, OneDnn::kSourceLayout), layout(x, OneDnn::kNchw))},
                       {OneDnn::kWeights,
                        d->random(d->wanted(desc, OneDnn::kWeightsLayout), layout(w, OneDnn::kOihw))},
                       {OneDnn::kDestination, d->empty(d->wanted(desc, OneDnn::kDestinationLayout))}})});
  }
  return out;
}

void add_layer(const Layer& l, int64_t batch, std::vector<Case>& cases) {
  const ConvShape s = shape_of(l, batch);
  for (bool plain : {false, true}) {
    Case c;
    c.name = plain ? "conv.nchw" : "conv";
    c.shape = text_of(l, batch);
    count(s, c);
    c.ours = [s, plain](const Setting& setting) { return packed_run(setting, s, !plain); };
    c.peers = [s, plain](const Setting& setting) { return packed_peers(setting, s, plain); };
    cases.push_back(std::move(c));
  }
  ops::Conv2dAttrs a;
  a.stride_h = a.stride_w = l.stride;
  a.pad_top = a.pad_bottom = a.pad_left = a.pad_right = l.pad;
  a.out_h = "out_h", a.out_w = "out_w";
  a.algorithm = ops::choose_conv2d({s.batch, s.in, s.out, s.kh, s.kw, s.out_h, s.out_w}, a, false);
  const DType f = DType::f32;
  const Type x(f, {{"batch", batch}, {"in", s.in}, {"height", s.h}, {"width", s.w}}),
      w(f, {{"out", s.out}, {"in", s.in}, {"kh", s.kh}, {"kw", s.kw}}),
      y(f, {{"batch", batch}, {"out", s.out}, {"out_h", s.out_h}, {"out_w", s.out_w}});
  auto add = [&](const char* name, const ir::OpDef& op, const Attrs& attrs,
                 const std::vector<Operand>& operands) {
    Case c;
    c.name = name;
    c.shape = text_of(l, batch);
    count(s, c);
    c.ours = [&op, attrs, operands](const Setting& setting) { return op_run(setting, op, attrs, operands); };
    cases.push_back(std::move(c));
  };
  add("conv2d", ops::kConv2d, Attrs::of(a), {{x}, {w}});
  add("conv2d_input_grad", ops::kConv2dInputGrad,
      Attrs::of(ops::Conv2dGradAttrs{a, "height", "width", s.h, s.w, f}), {{y}, {w}});
  add("conv2d_weight_grad", ops::kConv2dWeightGrad,
      Attrs::of(ops::Conv2dGradAttrs{a, "kh", "kw", s.kh, s.kw, f}), {{x}, {y}});
}

void add_lstm(int64_t seq, int64_t batch, int64_t in, int64_t hidden, std::vector<Case>& cases) {
  auto type = [](const ir::Dims& dims) { return Type(DType::f32, dims); };
  const Type x = type({{"seq", seq}, {"batch", batch}, {"in", in}}),
             w = type({{"gate", 4}, {"hidden", hidden}, {"in", in}}),
             u = type({{"gate", 4}, {"hidden", hidden}, {"past", hidden}}),
             bias = type({{"gate", 4}, {"hidden", hidden}}),
             state = type({{"state", 2}, {"batch", batch}, {"hidden", hidden}}),
             h = type({{"seq", seq}, {"batch", batch}, {"hidden", hidden}}),
             gates = type({{"seq", seq}, {"batch", batch}, {"gate", 4}, {"hidden", hidden}});
  Case c;
  c.name = "lstm";
  c.shape = std::to_string(seq) + " steps of " + std::to_string(batch) + ", " + std::to_string(in) + " to " +
            std::to_string(hidden);
  c.dtype = "f32";
  c.unit = "GFLOP/s";
  c.work.ops = 8.0 * static_cast<double>(seq * batch) * static_cast<double>(hidden * (in + hidden));
  c.amount = c.work.ops * 1e-9;
  c.ours = [x, w, u, bias, state](const Setting& s) {
    return op_run(s, ops::kLstm, Attrs::of(ir::NoAttrs{}), {{x}, {w}, {u}, {bias}, {state}});
  };
  cases.push_back(c);
  c.name = "lstm_grad";
  c.work.ops *= 2;
  c.amount *= 2;
  c.ours = [x, w, u, state, h, gates](const Setting& s) {
    return op_run(s, ops::kLstmGrad, Attrs::of(ops::LstmGradAttrs{}),
                  {{x}, {w}, {u}, {state}, {h}, {h}, {gates}, {h}, {state}});
  };
  cases.push_back(c);
}

// Batch norm and pooling: what must be read and written at the least.
void add_images(int64_t batch, int64_t channels, int64_t size, std::vector<Case>& cases) {
  ops::Pool2dAttrs pool;
  pool.kh = pool.kw = 3;
  pool.pad_top = pool.pad_bottom = pool.pad_left = pool.pad_right = 1;
  pool.out_h = "out_h", pool.out_w = "out_w";
  const int64_t half = (size - 1) / 2 + 1;
  const DType f = DType::f32;
  const Type x(f, {{"batch", batch}, {"channels", channels}, {"height", size}, {"width", size}}),
      row(f, {{"channels", channels}}),
      y(f, {{"batch", batch}, {"channels", channels}, {"out_h", half}, {"out_w", half}});
  auto add = [&](const char* name, const ir::OpDef& op, const Attrs& attrs,
                 const std::vector<Operand>& operands) {
    Case c;
    c.name = name;
    c.shape = std::to_string(batch) + "x" + std::to_string(channels) + "x" + std::to_string(size);
    c.dtype = "f32";
    c.unit = "GB/s";
    std::vector<Type> types;
    for (const Operand& o : operands) types.push_back(o.type), c.work.read += bytes_of(o.type);
    for (const Type& t : ir::infer_types(op, attrs, types)) c.work.written += bytes_of(t);
    c.amount = (c.work.read + c.work.written) * 1e-9;
    c.ours = [&op, attrs, operands](const Setting& s) { return op_run(s, op, attrs, operands); };
    cases.push_back(std::move(c));
  };
  add("batch_norm", ops::kBatchNorm, Attrs::of(ops::BatchNormAttrs{"channels"}), {{x}, {row}, {row}});
  add("batch_norm_grad", ops::kBatchNormGrad, Attrs::of(ops::BatchNormGradAttrs{"channels"}),
      {{x}, {row}, {row}, {row}, {x}});
  add("max_pool2d", ops::kMaxPool2d, Attrs::of(pool), {{x}});
  add("max_pool2d_grad", ops::kMaxPool2dGrad, Attrs::of(pool), {{x}, {y}});
}

}  // namespace

void add_conv_cases(const CaseOptions& options, std::vector<Case>& cases) {
  if (options.small) {
    add_layer({3, 9, 8, 3, 1, 1}, 1, cases);
    add_lstm(3, 2, 5, 7, cases);
    add_images(2, 3, 9, cases);
    return;
  }
  for (int64_t batch : {1, 16})
    for (const Layer& l : kResNet50) add_layer(l, batch, cases);
  add_lstm(50, 32, 256, 256, cases);
  add_lstm(35, 20, 650, 650, cases);
  add_images(16, 64, 56, cases);
  add_images(64, 256, 56, cases);
}

}  // namespace hoist::bench
