// The geometry of implicit GEMM: how a grid is cut into regions, and where taps find their numbers in a
// region's copy. For src/kernels/cpu/conv/*.cc only.
#pragma once

#include "kernels/cpu/conv/parts.h"

namespace hoist::kernels::cpu {

// How the grid is cut: regions of rows x cols, and where in a region's copy each tap finds its numbers. Rows
// and columns are sorted by their residue modulo the step ("slots"), so that neighbours in the grid become
// neighbours in the copy.
struct Regions {
  int64_t rows, cols;  // of a region
  int64_t row_regions, col_regions;
  int64_t groups;                  // of panels
  int64_t most_rows, most_cols;    // that any batch is given
  int64_t row_slots, col_slots;    // distinct residues
  int64_t more_rows, more_cols;    // beyond rows and cols in each slot
  int64_t col_length, row_length;  // copied floats of one slot of a row; of a grid row's step
  int64_t plane;                   // of one channel
  int64_t channel_block;
};

struct TapOrder {  // all arrays in one table
  int64_t *row_slot, *row_index, *row_residue, *col_slot, *col_index, *col_residue, *offset;
  int64_t first_row, first_col;
};
inline int64_t tap_order_size(const ConvShape& s) { return 3 * (s.kh + s.kw) + s.kh * s.kw; }

// `lanes` channels lie together in blocked images (1: planes); lengths then count groups of that many
// numbers. `widest` is the most rows of a register tile. `table` holds tap_order_size() numbers and is
// written.
Regions cut(const TapConv& t, int64_t widest, int64_t panels, int64_t threads, int64_t lanes, int64_t* table,
            TapOrder& order);
// A 1 x 1 part that reads every number once is a product over all of an image's numbers: rows of one become
// one row.
bool flatten(TapConv& t);

}  // namespace hoist::kernels::cpu
