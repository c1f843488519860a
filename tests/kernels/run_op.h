// Runs one op through one kernel, outside any plan: the harness of the kernel tests and of bench_kernels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/kernel.h"

namespace hoist::kernels {

// A tensor that owns its bytes, 64-byte aligned with a guard behind them.
struct alignas(64) Line {
  std::byte bytes[64];
};
struct Tensor {
  ir::Type type;
  std::vector<Line> storage;
  InlineVec<int64_t, 8> dims;  // live lengths

  Tensor() = default;
  explicit Tensor(const ir::Type& type);
  std::byte* data() const;
  TensorView view() const { return {data(), type.dtype, dims}; }
  int64_t elements() const { return view().elements(); }
  // Any dtype, as double.
  double get(int64_t i) const;
  void set(int64_t i, double x);
  bool guard_intact() const;
  std::vector<std::byte> bytes() const { return {data(), data() + elements() * dtype_size(type.dtype)}; }
};

// Deterministic: standard normal floats; integers in [0, limit).
Tensor random_tensor(const ir::Type& type, uint64_t seed, int64_t limit = 1);

struct OpCall {
  const ir::OpDef* op = nullptr;
  ir::Attrs attrs;
  std::vector<Tensor> operands;
};

class OpRunner {
 public:
  // Finds the first kernel of the table that supports the call; `variant` restricts the choice to one.
  OpRunner(const OpCall& call, const KernelTable& table, int threads, std::string_view variant = {});
  bool found() const { return kernel_ != nullptr; }
  std::string_view variant() const { return kernel_->variant; }
  void run();
  std::vector<Tensor>& results() { return results_; }
  std::vector<Tensor>& operands() { return operands_; }
  bool guards_intact() const;

 private:
  const ir::OpDef* op_;
  ir::Attrs attrs_;
  std::vector<Tensor> operands_, results_;
  const Kernel* kernel_ = nullptr;
  Prepared prepared_;
  std::vector<Line> workspace_;
  int64_t workspace_bytes_ = 0;
  ThreadPool& pool_;
};

}  // namespace hoist::kernels
