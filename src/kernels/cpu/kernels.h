// What each source of this folder offers: per instruction set and stem, add_<stem>() appends its kernels.
// table.cc strings them together; adding an op is a line in the list.
#pragma once

#include <vector>

#include "kernels/kernel.h"

#define HOIST_CPU_STEMS(X) \
  X(activation)            \
  X(adamw)                 \
  X(attention)             \
  X(attention_grad)        \
  X(batch_norm)            \
  X(block_states)          \
  X(contract)              \
  X(conv2d)                \
  X(elementwise)           \
  X(embedding)             \
  X(layer_norm)            \
  X(lstm)                  \
  X(moe)                   \
  X(optimizers)            \
  X(paged)                 \
  X(pool2d)                \
  X(reduce)                \
  X(rms_norm)              \
  X(rope)                  \
  X(softmax)

// Those compiled for avx512dot too.
#define HOIST_CPU_DOT_STEMS(X) X(contract) X(attention) X(attention_grad) X(moe) X(paged)

namespace hoist::kernels::cpu {

using KernelList = std::vector<const Kernel*>;

#define HOIST_DECLARE(stem) void add_##stem(KernelList& list);
namespace portable {
HOIST_CPU_STEMS(HOIST_DECLARE)
}
namespace avx2 {
HOIST_CPU_STEMS(HOIST_DECLARE)
}
namespace avx512 {
HOIST_CPU_STEMS(HOIST_DECLARE)
}
namespace avx512dot {
HOIST_CPU_DOT_STEMS(HOIST_DECLARE)
}
#undef HOIST_DECLARE

}  // namespace hoist::kernels::cpu

// The variant's name in the pass that is being compiled (for_each_isa.h).
#define HOIST_ISA_QUOTE_(x) #x
#define HOIST_ISA_QUOTE(x) HOIST_ISA_QUOTE_(x)
#define HOIST_ISA_NAME HOIST_ISA_QUOTE(HOIST_ISA)
