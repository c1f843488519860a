// Products of a plan under a table of tuned schedules: the same bits as without, for every number of live
// rows, and never a byte beyond the workspace that was asked for.
#include <gtest/gtest.h>

#include <cstring>

#include "autotune/problem.h"
#include "base/rng.h"
#include "kernels/cpu/gemm/schedule.h"
#include "kernels/kernel.h"
#include "ops/contract.h"

namespace hoist::autotune {
namespace {

constexpr std::byte kGuard{0x5a};
constexpr size_t kGuardBytes = 1 << 16;

struct Memory {
  std::vector<std::byte> bytes;
  std::byte* aligned() {
    return reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(bytes.data()) + 63) / 64 * 64);
  }
  explicit Memory(int64_t n) : bytes(static_cast<size_t>(n) + 64 + kGuardBytes) {}
};

kernels::TensorView view(const ir::Type& type, std::byte* data, int64_t rows = -1) {
  kernels::TensorView v{data, type.dtype, {}};
  for (const ir::Dim& d : type.dims) v.dims.push_back(rows >= 0 && d.axis == Symbol("m") ? rows : d.size);
  return v;
}

// c for `rows` live rows out of `most`, planned with the current table.
std::vector<std::byte> product(int64_t most, const std::vector<int64_t>& runs, const ir::Type& w,
                               ThreadPool& pool) {
  const ir::Type x(DType::f32, {{"m", most}, {"k", w.dims[1].size}});
  const ir::Attrs attrs = ir::Attrs::of(ops::ContractAttrs{{"m", "n"}, DType::f32});
  const std::vector<ir::Type> types{x, w}, out = ir::infer_types(ops::kContract, attrs, types);
  const ir::OpView op{&ops::kContract, &attrs, types, out};
  const kernels::Kernel* kernel = kernels::cpu_table(kernels::best_isa()).find(op);
  kernels::Prepared prepared;
  kernel->prepare(op, prepared);
  const int64_t bytes = kernel->workspace(op, pool.threads());
  Memory xm(x.bytes()), wm(w.bytes()), cm(out[0].bytes()), work(bytes);
  const CounterRng rng(7, 1);
  for (int64_t i = 0; i < x.bytes() / 4; ++i)
    reinterpret_cast<float*>(xm.aligned())[i] =
        static_cast<float>(rng.uniform(static_cast<uint64_t>(i)) - 0.5);
  for (int64_t i = 0; i < w.bytes() / 4; ++i)
    reinterpret_cast<float*>(wm.aligned())[i] =
        static_cast<float>(rng.uniform(static_cast<uint64_t>(i)) - 0.5);
  std::vector<std::byte> all;
  for (int64_t m : runs) {
    std::memset(work.aligned() + bytes, static_cast<int>(kGuard), kGuardBytes - 64);
    const kernels::TensorView operands[] = {view(x, xm.aligned(), m), view(w, wm.aligned())};
    const kernels::TensorView results[] = {view(out[0], cm.aligned(), m)};
    kernel->run({attrs, operands, results, prepared, work.aligned(), pool});
    for (size_t i = 0; i < kGuardBytes - 64; ++i)
      EXPECT_EQ(work.aligned()[static_cast<size_t>(bytes) + i], kGuard)
          << m << " rows wrote past the workspace";
    all.insert(all.end(), cm.aligned(), cm.aligned() + m * w.dims[0].size * 4);
  }
  return all;
}

TEST(TunedContract, SameBitsTunedOrNot) {
  ThreadPoolOptions options;
  options.threads = 2;
  ThreadPool pool(options);
  const std::vector<int64_t> runs{1, 3, 40, 100, 144, 250};
  ir::Type rows(DType::f32, {{"n", 336}, {"k", 768}}), panels = rows;
  panels.format = "p1";
  for (const ir::Type& w : {rows, panels}) {
    const std::vector<std::byte> plain = product(250, runs, w, pool);
    const GemmKey key{DType::f32, DType::f32, w.format.empty() ? GemmLayout::kNt : GemmLayout::kPanels, 336,
                      768};
    const std::vector<GemmSchedule> space = schedule_space({key, 250, 2, kernels::best_isa()});
    for (size_t i = 0; i < space.size(); i += 17) {
      kernels::cpu::GemmTable table;
      for (int64_t m : runs) table.set(key, {m, 2, space[(i + static_cast<size_t>(m)) % space.size()]});
      kernels::cpu::use_gemm_table(&table);
      const std::vector<std::byte> tuned = product(250, runs, w, pool);
      kernels::cpu::use_gemm_table(nullptr);
      ASSERT_EQ(plain.size(), tuned.size());
      ASSERT_EQ(std::memcmp(plain.data(), tuned.data(), plain.size()), 0) << space[i].text();
    }
  }
}

}  // namespace
}  // namespace hoist::autotune
