#include "ops/table.h"

#include <unordered_map>

#include "ops/activation.h"
#include "ops/adamw.h"
#include "ops/arg_max.h"
#include "ops/attention.h"
#include "ops/batch_norm.h"
#include "ops/block_states.h"
#include "ops/collectives.h"
#include "ops/constants.h"
#include "ops/contract.h"
#include "ops/conv2d.h"
#include "ops/cross_entropy.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/layer_norm.h"
#include "ops/linear.h"
#include "ops/lstm.h"
#include "ops/moe.h"
#include "ops/optimizers.h"
#include "ops/paged.h"
#include "ops/pool2d.h"
#include "ops/reduce.h"
#include "ops/retention.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/swiglu.h"
#include "ops/triangle_multiply.h"

namespace hoist::ops {

namespace {

// Sorted by header, in the order it declares them.
constexpr const ir::OpDef* kOps[] = {
    &kSilu,
    &kGeluTanh,
    &kGeluErf,
    &kSiluGrad,
    &kGeluTanhGrad,
    &kGeluErfGrad,
    &kAdamw,
    &kSumSquares,
    &kArgMaxOp,
    &kTopK,
    &kAttention,
    &kAttentionGrad,
    &kAttentionMask,
    &kBatchNorm,
    &kBatchNormGrad,
    &kBatchNormInference,
    &kLoadBlocks,
    &kSaveBlocks,
    &kAllReduce,
    &kAllGather,
    &kReduceScatter,
    &kAllToAll,
    &kFull,
    &kIota,
    &kOneHot,
    &kValues,
    &kContract,
    &kConv2d,
    &kConv2dInputGrad,
    &kConv2dWeightGrad,
    &kCrossEntropy,
    &kCrossEntropyGrad,
    &kNeg,
    &kExp,
    &kLog,
    &kSqrt,
    &kRsqrt,
    &kReciprocal,
    &kSquare,
    &kTanh,
    &kErf,
    &kSigmoid,
    &kRelu,
    &kIsFinite,
    &kAffine,
    &kCast,
    &kAdd,
    &kSub,
    &kMul,
    &kDiv,
    &kMaximum,
    &kMinimum,
    &kGreaterEqual,
    &kEqual,
    &kSelect,
    &kEmbedding,
    &kEmbeddingGrad,
    &kLayerNorm,
    &kLayerNormGrad,
    &kLinear,
    &kLstm,
    &kLstmGrad,
    &kRouteSort,
    &kGroupedContract,
    &kGroupedOuter,
    &kSgd,
    &kLion,
    &kLambDirection,
    &kDescend,
    &kEma,
    &kKvWrite,
    &kKvRead,
    &kPagedAttention,
    &kMaxPool2d,
    &kMaxPool2dGrad,
    &kAveragePool2d,
    &kAveragePool2dGrad,
    &kReduceSum,
    &kReduceMax,
    &kBroadcastLike,
    &kRetention,
    &kRmsNorm,
    &kRmsNormGrad,
    &kRopeFrequencies,
    &kRope,
    &kRename,
    &kSplitAxis,
    &kMergeAxes,
    &kTranspose,
    &kSlice,
    &kConcat,
    &kPad,
    &kSoftmax,
    &kSoftmaxGrad,
    &kLogSumExpOp,
    &kSwiglu,
    &kSwigluGrad,
    &kTriangleMultiply,
};

}  // namespace

std::span<const ir::OpDef* const> all_ops() { return kOps; }

const ir::OpDef* find_op(std::string_view name) {
  static const auto index = [] {
    std::unordered_map<std::string_view, const ir::OpDef*> map;
    for (const ir::OpDef* op : kOps) map.emplace(op->name, op);
    return map;
  }();
  auto it = index.find(name);
  return it == index.end() ? nullptr : it->second;
}

}  // namespace hoist::ops
