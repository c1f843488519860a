#include "kernels/kernel.h"

namespace hoist::kernels {

const Kernel* KernelTable::find(const ir::OpView& view) const {
  for (const Kernel* k : kernels)
    if (k->op == view.op->name && k->supports(view)) return k;
  return nullptr;
}

}  // namespace hoist::kernels
