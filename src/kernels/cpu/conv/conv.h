// 2-D convolution in f32 as matrix products of packed panels: four algorithms and a chooser.
//
//   kExplicit   im2col into bounded pieces, then gemm() (gemm.h)
//   kImplicit   a padded copy of a small region of the input, read through a table of tap offsets; a 1 x 1
//               convolution without padding is then a plain product
//   kWinograd2  F(2x2, 3x3), kWinograd4: F(4x4, 3x3): Lavin and Gray, "Fast Algorithms for Convolutional
//               Neural Networks", 2016; for 3 x 3 taps, stride 1, dilation 1
//
// Images are [batch, channels, height, width], weights [out, in, kh, kw]. Weights are packed apart from the
// run, so that whoever keeps weights keeps them packed. The input's gradient is itself a convolution (one per
// residue of the stride) and runs through the same code; the weights' gradient has its own.
//
// Blocked images hold W channels (a vector's lanes) side by side: [batch, ceil(channels / W), height, width,
// W], zero past the last channel. A network that keeps its activations so spares every layer the way from
// planes to lanes and back; conv_run takes both.
//
// Order (the law of order): each result is a sum over channels, then taps, in blocks of channels that depend
// on the number of taps only (Winograd: over channels). Neither threads, neighbours in the batch nor the cut
// into regions enter. conv_weight_grad sums each image in blocks of rows that depend on its width only, then
// blocks and images in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/threads.h"

namespace hoist::kernels::cpu {

struct ConvShape {
  int64_t batch, in, h, w, out, kh, kw, out_h, out_w;
  int64_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1, pad_top = 0, pad_left = 0;
};

enum class ConvPass : int8_t { kForward, kInputGrad };
enum class ConvAlgorithm : int8_t { kAuto, kExplicit, kImplicit, kWinograd2, kWinograd4 };
const char* conv_algorithm_name(ConvAlgorithm algorithm);
ConvAlgorithm find_conv_algorithm(std::string_view name);  // kAuto when there is none

// What is run; kAuto is never its algorithm.
struct ConvPlan {
  ConvShape shape;
  ConvPass pass = ConvPass::kForward;
  ConvAlgorithm algorithm = ConvAlgorithm::kImplicit;
  bool blocked = false;  // both images are; for kImplicit and Winograd
};

bool conv_supports(const ConvShape& shape, ConvPass pass, ConvAlgorithm algorithm);
// The cheapest by an estimate of cycles; `packed` says that packing the weights costs nothing. `asked` other
// than kAuto is taken if it is supported.
ConvPlan plan_conv(const ConvShape& shape, ConvPass pass, bool packed,
                   ConvAlgorithm asked = ConvAlgorithm::kAuto);

#define HOIST_CONV_API                                                                              \
  int64_t conv_lanes(); /* W */                                                                     \
  /* Bytes of packed weights, and of the workspace of a run on that many threads. */                \
  int64_t conv_packed_bytes(const ConvPlan& plan);                                                  \
  int64_t conv_workspace(const ConvPlan& plan, int threads);                                        \
  void conv_pack(const ConvPlan& plan, const float* weights, std::byte* packed, ThreadPool& pool);  \
  /* Forward: x -> y. Input gradient: x is dy, y is dx. All buffers 64-byte aligned but x and y. */ \
  void conv_run(const ConvPlan& plan, const float* x, const std::byte* packed, float* y,            \
                std::byte* workspace, ThreadPool& pool);                                            \
  int64_t conv_weight_grad_workspace(const ConvShape& shape, int threads);                          \
  void conv_weight_grad(const ConvShape& shape, const float* x, const float* dy, float* dw,         \
                        std::byte* workspace, ThreadPool& pool);

namespace portable {
HOIST_CONV_API
}
namespace avx2 {
HOIST_CONV_API
}
namespace avx512 {
HOIST_CONV_API
}
#undef HOIST_CONV_API

}  // namespace hoist::kernels::cpu
