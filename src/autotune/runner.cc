#include "autotune/runner.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "kernels/cpu/gemm/panels.h"
#include "kernels/cpu/gemm/sizes.h"

namespace hoist::autotune {
namespace {

namespace cpu = kernels::cpu;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Numbers in (-1, 1), the same each time.
void fill(std::byte* to, int64_t n, DType type, uint64_t seed) {
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;
  for (int64_t i = 0; i < n; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    const float x = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
    if (type == DType::f32)
      reinterpret_cast<float*>(to)[i] = x;
    else
      reinterpret_cast<bf16*>(to)[i] = to_bf16(x);
  }
}

void gemm_on(kernels::Isa isa, const cpu::Gemm& g, std::byte* work, ThreadPool& pool) {
  switch (isa) {
#if defined(__x86_64__)
    case kernels::Isa::kAvx2: return cpu::avx2::gemm(g, work, pool);
    case kernels::Isa::kAvx512: return cpu::avx512::gemm(g, work, pool);
    case kernels::Isa::kAvx512Dot: return cpu::avx512dot::gemm(g, work, pool);
#endif
    default: return cpu::portable::gemm(g, work, pool);
  }
}

}  // namespace

Runner::Runner(const Problem& p, ThreadPool& pool, int copies)
    : problem_(p), pool_(pool), device_(device::make_cpu_device()) {
  for (DType t : {p.key.x, p.key.w})
    if (t != DType::f32 && t != DType::bf16)
      throw_unsupported("tune: found " + std::string(dtype_name(t)) + ", expected f32 or bf16");
  const bool panels = p.key.layout == GemmLayout::kPanels;
  copy_bytes_ = panels ? (p.key.n + cpu::kPanel - 1) / cpu::kPanel * cpu::dense_panel_bytes(p.key.w, p.key.k)
                       : p.weight_bytes();
  copy_bytes_ = cpu::align64(copy_bytes_);
  const int64_t beyond = std::max<int64_t>(2 * Topology::detect().l3_bytes, int64_t{16} << 20);
  copies_ = copies > 0 ? copies : std::clamp<int64_t>((beyond + copy_bytes_ - 1) / copy_bytes_, 2, 64);
  x_ = device_->allocate(p.m * p.key.k * dtype_size(p.key.x));
  w_ = device_->allocate(copy_bytes_ * copies_);
  c_ = device_->allocate(result_bytes());
  fill(x_.data(), p.m * p.key.k, p.key.x, 1);
  // Panels have the dtype's own values in another order: which one does not matter to time or to sameness.
  for (int64_t i = 0; i < copies_; ++i)
    fill(w_.data() + i * copy_bytes_, copy_bytes_ / dtype_size(p.key.w), p.key.w, 2);
}

int64_t Runner::result_bytes() const { return problem_.m * problem_.key.n * dtype_size(problem_.key.x); }

void Runner::run(const GemmSchedule* schedule) {
  const Problem& p = problem_;
  const int64_t m = p.m, n = p.key.n, k = p.key.k;
  const bool panels = p.key.layout == GemmLayout::kPanels;
  const int64_t bytes =
      cpu::gemm_workspace(m, n, k, pool_.threads(), schedule) + (panels ? cpu::rounded_rows_bytes(m, k) : 0);
  if (bytes > work_bytes_) {
    work_ = device_->allocate(bytes);
    work_bytes_ = bytes;
  }
  const bool x_by_m = p.key.layout == GemmLayout::kTn || p.key.layout == GemmLayout::kTt;
  const bool w_by_k = p.key.layout == GemmLayout::kNt || p.key.layout == GemmLayout::kTt;
  cpu::Gemm g;
  g.m.add(m, x_by_m ? 1 : k, 0, n);
  g.n.add(n, 0, w_by_k ? k : 1, 1);
  g.k.add(k, x_by_m ? m : 1, w_by_k ? 1 : n, 0);
  g.a = x_.data();
  g.b = w_.data() + next_ * copy_bytes_;
  next_ = (next_ + 1) % copies_;
  g.c = c_.data();
  g.a_type = g.c_type = p.key.x;
  g.b_type = p.key.w;
  g.b_panels = panels;
  g.schedule = schedule;
  gemm_on(p.isa, g, work_.data(), pool_);
}

double Runner::time(const GemmSchedule& schedule, double at_least) {
  int runs = 0;
  const double start = now();
  double spent = 0;
  do {
    run(&schedule);
    ++runs;
    spent = now() - start;
  } while (spent < at_least);
  return spent / runs;
}

}  // namespace hoist::autotune
