#include "kernels/ref/ref.h"

namespace hoist::kernels {

const KernelTable& ref_table() {
  static const KernelTable table = [] {
    KernelTable t{"ref", {}};
    for (ref::Kernels list :
         {ref::activation_kernels(),   ref::adamw_kernels(),         ref::arg_max_kernels(),
          ref::attention_kernels(),    ref::constants_kernels(),     ref::contract_kernels(),
          ref::conv2d_kernels(),       ref::cross_entropy_kernels(), ref::elementwise_kernels(),
          ref::embedding_kernels(),    ref::layer_norm_kernels(),    ref::moe_kernels(),
          ref::paged_kernels(),        ref::reduce_kernels(),        ref::retention_kernels(),
          ref::rms_norm_kernels(),     ref::rope_kernels(),          ref::shape_kernels(),
          ref::softmax_kernels(),      ref::swiglu_kernels(),        ref::triangle_multiply_kernels(),
          ref::batch_norm_kernels(),   ref::lstm_kernels(),          ref::pool2d_kernels(),
          ref::block_states_kernels(), ref::optimizers_kernels()})
      for (const Kernel& k : list) t.kernels.push_back(&k);
    return t;
  }();
  return table;
}

}  // namespace hoist::kernels
