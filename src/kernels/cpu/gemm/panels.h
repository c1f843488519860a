// Weights in panels of 16 rows: how they are made when they are loaded, and how single rows are read back.
//
// Rows are a weight's outputs, k its inputs, in the order of the published format. A panel holds 16 rows;
// what is missing of the last one is zero. Dense panels are [k][16] f32, or [k / 2][16][2] bf16 (an odd k is
// filled with zero); block formats are described in blocks.h. Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/dtype.h"
#include "kernels/cpu/gemm/blocks.h"

namespace hoist::kernels::cpu {

std::optional<BlockFormat> block_format(std::string_view name);  // q8_0, ..., q6_k

int64_t block_size(BlockFormat format);                    // k in a block
int64_t row_bytes(BlockFormat format, int64_t k);          // as published; k is a multiple of the block
int64_t panel_bytes(BlockFormat format, int64_t k);        // 16 rows
int64_t dense_panel_bytes(DType type, int64_t k);          // f32 or bf16

// `count` <= 16 rows of published bytes, one after another, into one panel.
void pack_panel(BlockFormat format, const std::byte* rows, int64_t count, int64_t k, std::byte* panel);
void pack_dense_panel(DType type, const std::byte* rows, int64_t count, int64_t k, std::byte* panel);

// Row `row` (0 to 15) of a panel: its published bytes, or its values.
void unpack_published(BlockFormat format, const std::byte* panel, int64_t row, int64_t k, std::byte* out);
void unpack_dense_row(DType type, const std::byte* panel, int64_t row, int64_t k, float* out);

}  // namespace hoist::kernels::cpu
