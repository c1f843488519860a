// conv2d and its gradients: shapes from the op, 16-bit tensors widened into the workspace, weights packed.
#include "ops/conv2d.h"

#include "kernels/cpu/common.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

// Which operands (2: the result) are the images, weights and outputs of each op.
struct ConvRoles {
  int x, w, y;
};
constexpr ConvRoles kForwardRoles{0, 1, 2}, kInputGradRoles{2, 1, 0}, kWeightGradRoles{0, 2, 1};

// size(tensor, dimension) tells the lengths.
template <class Size>
ConvShape conv_shape(const ops::Conv2dAttrs& a, ConvRoles r, Size size) {
  return {size(r.x, 0), size(r.x, 1), size(r.x, 2), size(r.x, 3), size(r.y, 1),
          size(r.w, 2), size(r.w, 3), size(r.y, 2), size(r.y, 3), a.stride_h,
          a.stride_w,   a.dilation_h, a.dilation_w, a.pad_top,    a.pad_left};
}
template <class Attrs>
const ops::Conv2dAttrs& conv_attrs(const Attrs& a, bool grad) {
  return grad ? a.template as<ops::Conv2dGradAttrs>().conv : a.template as<ops::Conv2dAttrs>();
}
ConvShape planned_shape(const ir::OpView& v, ConvRoles r) {
  return conv_shape(conv_attrs(*v.attrs, r.y != 2), r, [&](int i, int d) {
    return (i == 2 ? v.results[0] : v.operands[static_cast<size_t>(i)]).dims[d].size;
  });
}
ConvShape live_shape(const KernelArgs& args, ConvRoles r) {
  return conv_shape(conv_attrs(args.attrs, r.y != 2), r, [&](int i, int d) {
    return (i == 2 ? args.results[0] : args.operands[static_cast<size_t>(i)]).dims[d];
  });
}

bool conv_floats(const ir::OpView& v) {
  for (const ir::Type* t : {&v.operands[0], &v.operands[1], &v.results[0]})
    if (!narrow_float(t->dtype) || !t->format.empty()) return false;
  return true;
}

ConvPlan asked_plan(const ops::Conv2dAttrs& a, const ConvShape& s, ConvRoles r) {
  return plan_conv(s, r.y == 2 ? ConvPass::kForward : ConvPass::kInputGrad, false,
                   find_conv_algorithm(a.algorithm.name()));
}

int64_t widened(const ir::Type& t) { return t.dtype == DType::f32 ? 0 : align64(4 * t.elements()); }
int64_t widened(const ir::OpView& v) {
  return widened(v.operands[0]) + widened(v.operands[1]) + widened(v.results[0]);
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/conv/conv2d.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

// The three tensors in f32, those of 16 bits in the front of the workspace; `work` is what remains.
struct Wide {
  float* data[3];
  std::byte* work;

  explicit Wide(const KernelArgs& args) : work(args.workspace) {
    for (int i = 0; i < 3; ++i) {
      const TensorView& t = tensor(args, i);
      data[i] = t.as<float>();
      if (t.dtype == DType::f32) continue;
      data[i] = reinterpret_cast<float*>(work);
      work += align64(4 * t.elements());
      if (i < 2)
        each(args.pool, t, data[i], [](auto* narrow, float* wide, int64_t left) {
          store_tail(wide, load_tail(narrow, left), left);
        });
    }
  }
  void finish(const KernelArgs& args) const {
    if (args.results[0].dtype == DType::f32) return;
    each(args.pool, args.results[0], data[2],
         [](auto* narrow, float* wide, int64_t left) { store_tail(narrow, load_tail(wide, left), left); });
  }

 private:
  static const TensorView& tensor(const KernelArgs& args, int i) {
    return i == 2 ? args.results[0] : args.operands[static_cast<size_t>(i)];
  }
  template <class Move>
  static void each(ThreadPool& pool, const TensorView& t, float* wide, Move move) {
    const int64_t n = t.elements();
    with_type(t.dtype, [&](auto tag) {
      using T = decltype(tag);
      T* narrow = t.as<T>();
      pool.parallel_for((n + W - 1) / W, grain_for(W), [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin * W; i < std::min(n, end * W); i += W) move(narrow + i, wide + i, n - i);
      });
    });
  }
};

// Forward and input gradient: [packed weights][workspace of the run].
template <bool kGrad>
int64_t product_workspace(const ir::OpView& v, int threads) {
  const ConvRoles r = kGrad ? kInputGradRoles : kForwardRoles;
  const ConvPlan p = asked_plan(conv_attrs(*v.attrs, kGrad), planned_shape(v, r), r);
  return widened(v) + align64(conv_packed_bytes(p)) + conv_workspace(p, threads);
}
template <bool kGrad>
void run_product(const KernelArgs& args) noexcept {
  const ConvRoles r = kGrad ? kInputGradRoles : kForwardRoles;
  const ConvPlan p = asked_plan(conv_attrs(args.attrs, kGrad), live_shape(args, r), r);
  if (args.results[0].elements() == 0) return;
  const Wide wide(args);
  conv_pack(p, wide.data[1], wide.work, args.pool);
  conv_run(p, wide.data[0], wide.work, wide.data[2], wide.work + align64(conv_packed_bytes(p)), args.pool);
  wide.finish(args);
}

int64_t weight_grad_workspace(const ir::OpView& v, int threads) {
  return widened(v) + conv_weight_grad_workspace(planned_shape(v, kWeightGradRoles), threads);
}
void run_weight_grad(const KernelArgs& args) noexcept {
  const Wide wide(args);
  conv_weight_grad(live_shape(args, kWeightGradRoles), wide.data[0], wide.data[1], wide.data[2], wide.work,
                   args.pool);
  wide.finish(args);
}

}  // namespace

void add_conv2d(KernelList& list) {
  static const Kernel kernels[] = {
      {"conv2d", HOIST_ISA_NAME, conv_floats, run_product<false>, nullptr, product_workspace<false>},
      {"conv2d_input_grad", HOIST_ISA_NAME, conv_floats, run_product<true>, nullptr, product_workspace<true>},
      {"conv2d_weight_grad", HOIST_ISA_NAME, conv_floats, run_weight_grad, nullptr, weight_grad_workspace}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
