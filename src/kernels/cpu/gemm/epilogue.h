// Finishing a tile of sums (gemm.h, Epilogue) while it is in the first cache.
#pragma once

#include "kernels/cpu/gemm/gemm.h"

namespace hoist::kernels::cpu {

// x: rows of n sums each, `stride` apart: columns [column, column + n) of c. Row r begins at[r] elements into
// c. x may be c itself, if c is f32.
struct TileOfSums {
  float* x;
  int64_t rows, stride, column, n;
  const int64_t* at;
  DType c_type;
};

namespace portable {
void finish(const Epilogue& e, const TileOfSums& tile);
}
namespace avx2 {
void finish(const Epilogue& e, const TileOfSums& tile);
}
namespace avx512 {
void finish(const Epilogue& e, const TileOfSums& tile);
}
namespace avx512dot {
using avx512::finish;
}

}  // namespace hoist::kernels::cpu
