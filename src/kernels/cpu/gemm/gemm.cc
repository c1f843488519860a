// gemm(): which path a product takes, and what it needs.
#include "kernels/cpu/gemm/gemm.h"

#include "base/check.h"
#include "kernels/cpu/gemm/paths.h"
#include "kernels/cpu/gemm/sizes.h"
#include "kernels/cpu/simd.h"

namespace hoist::kernels::cpu {
namespace {

using Path = void (*)(const Gemm&, std::byte*, ThreadPool&);
using Bf16Path = void (*)(const Gemm&, bool few, std::byte*, ThreadPool&);

struct Paths {
  Path f32, few_rows, pairs;
  Bf16Path bf16;                                  // null where the CPU has no dot product
  void (*round)(Gemm&, std::byte*, ThreadPool&);  // a becomes bf16, in that memory
};

void choose(const Gemm& original, std::byte* workspace, ThreadPool& pool, const Paths& paths) {
  Gemm g = original;
  const int64_t m = g.m.total(), n = g.n.total(), k = g.k.total();
  if (m == 0 || n == 0 || g.batch.total() == 0) return;
  const bool dot = paths.bf16 && g.a_type == DType::bf16 && g.b_type == DType::bf16;
  if (g.b_panels) {
    if (paths.bf16 && g.b_type == DType::bf16 && g.a_type != DType::bf16) {
      const int64_t bytes = rounded_rows_bytes(m, k);
      paths.round(g, workspace, pool);
      return paths.bf16(g, false, workspace + bytes, pool);
    }
    if (dot) return paths.bf16(g, false, workspace, pool);
    if (g.b_type == DType::bf16) return paths.pairs(g, workspace, pool);
    return paths.f32(g, workspace, pool);
  }
  const GemmSchedule& schedule = schedule_of(g);
  const bool swap =
      g.epilogue ? false
      : schedule.side == GemmSchedule::Side::kAuto
          ? cost(n, m, k, g.m.contiguous(AxisGroup::kC)) < cost(m, n, k, g.n.contiguous(AxisGroup::kC))
          : schedule.side == GemmSchedule::Side::kSwapped;
  if (swap) flip(g);
  const bool direct = g.k.contiguous(AxisGroup::kB) || (g.n.contiguous(AxisGroup::kB) && g.k.count <= 1);
  const bool few =
      direct && reads_as_it_lies(g.b_type) && g.m.total() <= std::min<int64_t>(kFewRows, schedule.few_rows);
  if (dot) return paths.bf16(g, few, workspace, pool);
  (few ? paths.few_rows : paths.f32)(g, workspace, pool);
}

}  // namespace

namespace portable {
void gemm(const Gemm& g, std::byte* workspace, ThreadPool& pool) {
  choose(g, workspace, pool, {gemm_f32, gemm_f32_few_rows, gemm_pairs, nullptr, nullptr});
}
}  // namespace portable
#if HOIST_X86
namespace avx2 {
void gemm(const Gemm& g, std::byte* workspace, ThreadPool& pool) {
  choose(g, workspace, pool, {gemm_f32, gemm_f32_few_rows, gemm_pairs, nullptr, nullptr});
}
}  // namespace avx2
namespace avx512 {
void gemm(const Gemm& g, std::byte* workspace, ThreadPool& pool) {
  choose(g, workspace, pool, {gemm_f32, gemm_f32_few_rows, gemm_pairs, nullptr, nullptr});
}
}  // namespace avx512
namespace avx512dot {
void gemm(const Gemm& g, std::byte* workspace, ThreadPool& pool) {
  choose(g, workspace, pool,
         {avx512::gemm_f32, avx512::gemm_f32_few_rows, avx512::gemm_pairs, gemm_bf16, round_a});
}
}  // namespace avx512dot
#endif

void AxisGroup::add(int64_t n, int64_t a, int64_t b, int64_t c) {
  if (n == 1) return;
  if (count) {
    int64_t* outer = stride[count - 1];
    if (outer[kA] == a * n && outer[kB] == b * n && outer[kC] == c * n) {
      size[count - 1] *= n;
      outer[kA] = a;
      outer[kB] = b;
      outer[kC] = c;
      return;
    }
  }
  HOIST_CHECK(count < kMax, "too many axes in a contraction");
  size[count] = n;
  stride[count][kA] = a;
  stride[count][kB] = b;
  stride[count][kC] = c;
  ++count;
}

void AxisGroup::offsets(int tensor, int64_t begin, int64_t n, int64_t* out) const {
  if (count <= 1) {
    int64_t s = count ? stride[0][tensor] : 0;
    for (int64_t i = 0; i < n; ++i) out[i] = (begin + i) * s;
    return;
  }
  int64_t index[kMax];
  int64_t at = 0, rest = begin;
  for (int d = count - 1; d >= 0; --d) {
    index[d] = rest % size[d];
    rest /= size[d];
    at += index[d] * stride[d][tensor];
  }
  for (int64_t i = 0; i < n; ++i) {
    out[i] = at;
    for (int d = count - 1; d >= 0; --d) {
      at += stride[d][tensor];
      if (++index[d] < size[d]) break;
      at -= size[d] * stride[d][tensor];
      index[d] = 0;
    }
  }
}

int64_t rounded_rows_bytes(int64_t m, int64_t k) { return align64(m * k * 2); }

int64_t gemm_workspace(int64_t m, int64_t n, int64_t k, int threads, const GemmSchedule* schedule) {
  const GemmSchedule& s = schedule ? *schedule : kDefaultSchedule;
  auto bytes = [&](int64_t rows, int64_t columns) {
    return align64(shared_rows(rows, k, s) * row_bytes(k)) + most_worker_bytes(rows, columns, k, s) * threads;
  };
  const int64_t straight = bytes(m, n);
  return (s.side == GemmSchedule::Side::kStraight ? straight : std::max(straight, bytes(n, m))) + 4096;
}

int64_t gemm_workspace_up_to(int64_t m, int64_t n, int64_t k, int threads, const GemmSchedule* schedule) {
  const GemmSchedule& s = schedule ? *schedule : kDefaultSchedule;
  auto bytes = [&](int64_t rows, int64_t columns) {
    const int64_t most = shared_rows(rows, 0, s), all = most * row_bytes(k);
    const int64_t packed = std::max(std::min(all, kSharedBytes), kRowGroup * row_bytes(k));
    WorkerSpace w = worker_space(rows, columns, k, s);
    w.a = kSmallA;
    if (k > kKBlock) w.partial = align64(most * w.columns * 4);
    return align64(packed) + w.bytes() * threads;
  };
  return std::max(bytes(m, n), bytes(n, m)) + 4096;
}

}  // namespace hoist::kernels::cpu
