// Peers: other people's libraries, loaded at run time to be measured beside ours. Nothing links them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/onednn.h"
#include "bench/row.h"

namespace hoist::bench {

// y[m, n] = x[m, k] * w[n, k]^T: what a linear layer is. bf16 rounds all three.
struct MatmulShape {
  int64_t m, n, k;
  DType dtype = DType::f32;
};

class Peers {
 public:
  explicit Peers(int threads);
  ~Peers();
  // "openblas=/path/lib.so", "blis=...": a library with cblas_sgemm (under any prefix that OpenBLAS is built
  // with); "onednn=...": version 3 of its C interface. Throws Error naming what is missing.
  void open(const std::string& spec);
  bool empty() const { return blas_.empty() && !onednn_; }

  // Those that can do it. A peer with a packed layout of its own packs ahead of time; others may keep the
  // weights transposed or not, whichever is faster for them at this shape.
  std::vector<PeerRun> matmul(const MatmulShape& shape);
  // nullptr when it was not given.
  OneDnn* onednn() { return onednn_.get(); }

 private:
  struct Blas;
  int threads_;
  std::vector<std::unique_ptr<Blas>> blas_;
  std::unique_ptr<OneDnn> onednn_;
};

}  // namespace hoist::bench
