// Weights into panels as they are loaded (ir/type.h, kernels/cpu/gemm/panels.h): rows are read in pieces,
// converted or quantized where the file stores them otherwise, and repacked. Memory beside the destination:
// a few rows, or one whole tensor where the checkpoint stores its transpose.
#pragma once

#include "base/function_ref.h"
#include "base/threads.h"
#include "io/checkpoint_files.h"
#include "models/lm.h"

namespace hoist::decode {

// One parameter in panels from its tensor in a file, or what tensor `index` of its stack is of it.
void load_panels(const io::CheckpointFiles::Entry& tensor, const models::Parameter& p, int64_t index,
                 std::byte* to, ThreadPool& pool);
// The same from f32 values in the order of p.stored.
void pack_panels(const float* values, const models::Parameter& p, std::byte* to, ThreadPool& pool);

}  // namespace hoist::decode
