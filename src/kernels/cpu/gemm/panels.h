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
#include "ir/type.h"
#include "kernels/cpu/gemm/blocks.h"

namespace hoist::kernels::cpu {

std::optional<BlockFormat> block_format(std::string_view name);  // q8_0, ..., q6_k

int64_t block_size(BlockFormat format);              // k in a block
int64_t row_bytes(BlockFormat format, int64_t k);    // as published; k is a multiple of the block
int64_t panel_bytes(BlockFormat format, int64_t k);  // 16 rows
int64_t dense_panel_bytes(DType type, int64_t k);    // f32 or bf16

// `count` <= 16 rows of published bytes, one after another, into one panel.
void pack_panel(BlockFormat format, const std::byte* rows, int64_t count, int64_t k, std::byte* panel);
void pack_dense_panel(DType type, const std::byte* rows, int64_t count, int64_t k, std::byte* panel);

// Row `row` (0 to 15) of a panel: its published bytes, or its values.
void unpack_published(BlockFormat format, const std::byte* panel, int64_t row, int64_t k, std::byte* out);
void unpack_dense_row(DType type, const std::byte* panel, int64_t row, int64_t k, float* out);

// Rows of a whole tensor in panels, as its type says.
struct PanelTable {
  int64_t rows, k, panel;  // bytes of a panel
  DType dtype;             // dense elements
  bool blocks;
  BlockFormat format;
};
PanelTable panel_table(const ir::Type& type);
// Packs rows [first, first + count) of published bytes; `first` is a multiple of 16, and so is `count` unless
// they are the last.
void pack_rows_of(const PanelTable& table, const std::byte* rows, int64_t first, int64_t count,
                  std::byte* to);
// One row's values as f32, bf16 or f16. `scratch` has panel_row_scratch() bytes.
int64_t panel_row_scratch(const PanelTable& table);
void read_panel_row(const PanelTable& table, const std::byte* panels, int64_t row, DType to, std::byte* out,
                    std::byte* scratch);

}  // namespace hoist::kernels::cpu
