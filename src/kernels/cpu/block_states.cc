// load_blocks and save_blocks: optimizer states in 8 bits.
#include "ops/block_states.h"

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

// Blocks of 256 along the rows of a tensor, numbered as their scales are.
struct Blocks {
  int64_t n, per_row, count;
  explicit Blocks(const TensorView& codes)
      : n(row_length(codes)),
        per_row((n + ops::kStateBlock - 1) / ops::kStateBlock),
        count(per_row * row_count(codes)) {}
  int64_t begin(int64_t b) const { return b / per_row * n + b % per_row * ops::kStateBlock; }
  int64_t length(int64_t b) const {
    return std::min<int64_t>(ops::kStateBlock, n - b % per_row * ops::kStateBlock);
  }
};
constexpr int64_t kBlocksAtOnce = 16;

bool any_blocks(const ir::OpView&) { return true; }

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/block_states.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

void load_blocks(const KernelArgs& args) noexcept {
  const float* values = ops::dynamic_code(args.attrs.as<ops::BlockStateAttrs>().is_signed).values.data();
  const Blocks blocks(args.operands[0]);
  args.pool.parallel_for(blocks.count, kBlocksAtOnce, [&](int64_t from, int64_t to, int) {
    for (int64_t b = from; b < to; ++b) {
      const int64_t at = blocks.begin(b), n = blocks.length(b);
      const uint8_t* codes = args.in<uint8_t>(0) + at;
      const float scale = args.in<float>(1)[b];
      float* x = args.out<float>(0) + at;
      for (int64_t i = 0; i < n; ++i) x[i] = values[codes[i]] * scale;
    }
  });
}

void save_blocks(const KernelArgs& args) noexcept {
  if (args.in<float>(3)[0] == 0) return;  // results are the operands' storage
  const ops::DynamicCode& code = ops::dynamic_code(args.attrs.as<ops::BlockStateAttrs>().is_signed);
  const Blocks blocks(args.results[0]);
  args.pool.parallel_for(blocks.count, kBlocksAtOnce, [&](int64_t from, int64_t to, int) {
    for (int64_t b = from; b < to; ++b) {
      const int64_t at = blocks.begin(b), n = blocks.length(b);
      const float* x = args.in<float>(0) + at;
      F top = set(0);
      for (int64_t i = 0; i < n; i += W) top = vmax(vabs(load_tail(x + i, n - i)), top);
      const float most = maximum(top);
      args.out<float>(1)[b] = most;
      const F divisor = set(most > 0 ? most : 1.0f);
      float shares[ops::kStateBlock];
      for (int64_t i = 0; i < n; i += W) store_tail(shares + i, load_tail(x + i, n - i) / divisor, n - i);
      uint8_t* codes = args.out<uint8_t>(0) + at;
      for (int64_t i = 0; i < n; ++i) codes[i] = code.nearest(shares[i]);
    }
  });
}

}  // namespace

void add_block_states(KernelList& list) {
  static const Kernel kernels[] = {{"load_blocks", HOIST_ISA_NAME, any_blocks, load_blocks},
                                   {"save_blocks", HOIST_ISA_NAME, any_blocks, save_blocks}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
