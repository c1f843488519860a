#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

Nest make_nest(const ir::OpView& view, std::span<const ir::Axis> axes) {
  Nest nest;
  HOIST_CHECK(axes.size() <= Nest::kAxes && view.operands.size() + view.results.size() <= Nest::kTensors,
              "too large a loop nest");
  nest.axes = static_cast<int8_t>(axes.size());
  for (auto types : {view.operands, view.results})
    for (const ir::Type& t : types) {
      for (size_t a = 0; a < axes.size(); ++a)
        nest.dim[nest.tensors][a] = static_cast<int8_t>(t.find(axes[a]));
      ++nest.tensors;
    }
  return nest;
}

Nest nest_of_result(const ir::OpView& view) {
  InlineVec<ir::Axis, Nest::kAxes> axes;
  for (const ir::Dim& d : view.results[0].dims) axes.push_back(d.axis);
  for (const ir::Type& t : view.operands)
    for (const ir::Dim& d : t.dims)
      if (!axes.contains(d.axis)) axes.push_back(d.axis);
  return make_nest(view, axes);
}

void prepare_result_nest(const ir::OpView& view, Prepared& prepared) { prepared.store(nest_of_result(view)); }

Space::Space(const Nest& nest, const KernelArgs& args) : axes_(nest.axes), tensors_(nest.tensors) {
  for (int a = 0; a < axes_; ++a) length_[a] = 1;
  for (int t = 0; t < tensors_; ++t) {
    const auto operands = static_cast<int>(args.operands.size());
    const TensorView& view = t < operands ? args.operands[static_cast<size_t>(t)]
                                          : args.results[static_cast<size_t>(t - operands)];
    for (int a = 0; a < axes_; ++a) {
      const int dim = nest.dim[t][a];
      stride_[t][a] = dim < 0 ? 0 : 1;
      if (dim < 0) continue;
      length_[a] = view.dims[dim];
      for (int i = dim + 1; i < view.dims.size(); ++i) stride_[t][a] *= view.dims[i];
    }
  }
}

bool supports_dense(const ir::OpView& view) {
  for (auto types : {view.operands, view.results})
    for (const ir::Type& t : types)
      if (!t.format.empty()) return false;
  return true;
}

}  // namespace hoist::kernels::ref
