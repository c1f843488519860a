#include "bench/peers.h"

#include <dlfcn.h>

#include "base/error.h"
#include "bench/ceilings.h"
#include "bench/op_run.h"

namespace hoist::bench {

namespace {
// The C interface of BLAS, as its standard gives it.
constexpr int kRowMajor = 101, kPlain = 111, kTransposed = 112;
using Sgemm = void (*)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a,
                       int lda, const float* b, int ldb, float beta, float* c, int ldc);
}  // namespace

struct Peers::Blas {
  std::string name;
  Sgemm sgemm = nullptr;
};

Peers::Peers(int threads) : threads_(threads) {}
Peers::~Peers() = default;

void Peers::open(const std::string& spec) {
  const size_t equals = spec.find('=');
  const std::string name = spec.substr(0, equals);
  if (equals == std::string::npos || (name != "openblas" && name != "blis" && name != "onednn"))
    throw_invalid("--peer: found '" + spec + "', expected openblas=LIBRARY, blis=LIBRARY or onednn=LIBRARY");
  const std::string path = spec.substr(equals + 1);
  if (name == "onednn") {
    onednn_ = std::make_unique<OneDnn>(path, threads_);
    return;
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw_not_found("--peer " + spec + ": " + dlerror());
  auto blas = std::make_unique<Blas>();
  blas->name = name;
  for (const char* prefix : {"", "scipy_"}) {
    if (!blas->sgemm)
      blas->sgemm = reinterpret_cast<Sgemm>(dlsym(library, (std::string(prefix) + "cblas_sgemm").c_str()));
    for (const char* setter : {"openblas_set_num_threads", "bli_thread_set_num_threads"})
      if (void* f = dlsym(library, (std::string(prefix) + setter).c_str())) {
        // BLIS takes a 64-bit count: a register either way.
        reinterpret_cast<void (*)(int64_t)>(f)(threads_);
      }
  }
  if (!blas->sgemm) throw_not_found("--peer " + spec + ": found no function cblas_sgemm");
  blas_.push_back(std::move(blas));
}

std::vector<PeerRun> Peers::matmul(const MatmulShape& s) {
  std::vector<PeerRun> runs;
  const int m = static_cast<int>(s.m), n = static_cast<int>(s.n), k = static_cast<int>(s.k);
  if (s.dtype == DType::f32 && !blas_.empty()) {
    // One set of operands for all of them; the weights' random values may be read either way around.
    auto x = std::make_shared<HostMemory>(4 * s.m * s.k), w = std::make_shared<HostMemory>(4 * s.n * s.k),
         y = std::make_shared<HostMemory>(4 * s.m * s.n);
    fill_random(x->as<float>(), s.m * s.k, 1);
    fill_random(w->as<float>(), s.n * s.k, 2);
    for (const auto& blas : blas_) {
      auto call = [x, w, y, m, n, k, sgemm = blas->sgemm](int transposed, int stride) {
        sgemm(kRowMajor, kPlain, transposed, m, n, k, 1.0f, x->as<float>(), k, w->as<float>(), stride, 0.0f,
              y->as<float>(), n);
      };
      Run as_stored = [call, k] { call(kTransposed, k); };
      Run turned = [call, n] { call(kPlain, n); };
      auto best_of_five = [](const Run& run) {
        double best = 0;
        run();
        for (int i = 0; i < 5; ++i) {
          const double start = now();
          run();
          const double t = now() - start;
          best = i ? std::min(best, t) : t;
        }
        return best;
      };
      const bool turn = best_of_five(turned) < best_of_five(as_stored);
      runs.push_back({blas->name, turn ? turned : as_stored});
    }
  }
  if (onednn_ && (s.dtype == DType::f32 || s.dtype == DType::bf16)) {
    OneDnn& d = *onednn_;
    const int type = s.dtype == DType::f32 ? OneDnn::kF32 : OneDnn::kBf16;
    // Source and destination as they come, the weights in the library's own packed layout.
    OneDnn::Handle x = d.layout({s.m, s.k}, type, OneDnn::kAb), y = d.layout({s.m, s.n}, type, OneDnn::kAb);
    OneDnn::Handle desc = d.matmul(x, d.layout({s.k, s.n}, type, OneDnn::kAny), y);
    if (desc) {
      OneDnn::Handle packed = d.wanted(desc, OneDnn::kWeightsLayout);
      runs.push_back(
          {"onednn",
           d.run(desc, {{OneDnn::kSource, d.random(x, d.layout({s.m, s.k}, OneDnn::kF32, OneDnn::kAb))},
                        {OneDnn::kWeights, d.random(packed, d.layout({s.k, s.n}, OneDnn::kF32, OneDnn::kBa))},
                        {OneDnn::kDestination, d.empty(y)}})});
    }
  }
  return runs;
}

}  // namespace hoist::bench
