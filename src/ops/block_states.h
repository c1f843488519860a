// Optimizer states in 8 bits: load_blocks and save_blocks turn them to and from f32 around an update.
//
// Block-wise dynamic quantization (Dettmers et al., "8-bit optimizers via block-wise quantization", 2021):
// the innermost axis is cut into blocks of 256 elements (a row's last may be shorter), each with one f32
// scale, the largest magnitude of the block. An element is the nearest of 256 values times that scale;
// between two values, the lower on a tie. The values span seven decades, spaced evenly within each, twice as
// many in each as in the one below: up to 64 of either sign (moments), or 128 without sign (squares), beside
// 0 and 1. The largest relative error within the top decade is 7 % (signed; 3.5 % without sign), at a tenth
// of the scale, and 0.7 % near the scale.
#pragma once

#include <array>
#include <bit>

#include "ir/op.h"

namespace hoist::ops {

constexpr int64_t kStateBlock = 256;

// The 256 values in ascending order, and the middles between neighbours (255; the last entry is unused).
struct DynamicCode {
  std::array<float, 256> values, middles;
  // By the upper 16 bits of x as a float: the nearest value to every x that begins so, or the one below it.
  std::array<uint8_t, 65536> guess;
  // The nearest value's index. x is a number; outside [-1, 1] the outermost value.
  uint8_t nearest(float x) const {
    const uint8_t low = guess[std::bit_cast<uint32_t>(x) >> 16];
    return static_cast<uint8_t>(low + (x > middles[low]));
  }
};
const DynamicCode& dynamic_code(bool is_signed);

// The types of an f32 state's bytes and scales. The scales' innermost axis is the state's where blocks fill
// it exactly, so that both are split alike, and "<axis>_blocks" elsewhere. The state has at least one axis.
ir::Type block_codes_type(const ir::Type& state);
ir::Type block_scales_type(const ir::Type& state);

struct BlockStateAttrs {
  bool is_signed = true;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("is_signed", self.is_signed);
  }
};

// codes u8, scales f32 -> f32, of codes' axes.
ir::ValueId load_blocks(ir::Builder& b, ir::ValueId codes, ir::ValueId scales, const BlockStateAttrs& attrs);

struct BlockState {
  ir::ValueId codes, scales;
};
// x f32 into codes and scales, in place; ok == 0: they stay.
BlockState save_blocks(ir::Builder& b, ir::ValueId x, const BlockState& before, ir::ValueId ok,
                       const BlockStateAttrs& attrs);

extern const ir::OpDef kLoadBlocks, kSaveBlocks;

}  // namespace hoist::ops
