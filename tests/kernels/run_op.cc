#include "kernels/run_op.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <map>

#include "base/check.h"

namespace hoist::kernels {

Pages::Pages(int64_t bytes, int64_t alignment) : bytes_(bytes), alignment_(alignment) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  mapped_ = (bytes + alignment + page - 1) / page * page + page;
  void* at =
      mmap(nullptr, static_cast<size_t>(mapped_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  HOIST_CHECK(at != MAP_FAILED, "no memory for a test");
  if (bytes > 4 << 20) madvise(at, static_cast<size_t>(mapped_), MADV_HUGEPAGE);  // as the CPU device does
  base_ = static_cast<std::byte*>(at);
  std::byte* edge = base_ + mapped_ - page;
  HOIST_CHECK(mprotect(edge, static_cast<size_t>(page), PROT_NONE) == 0, "no guard page");
  data_ = reinterpret_cast<std::byte*>(reinterpret_cast<uintptr_t>(edge - bytes) &
                                       ~static_cast<uintptr_t>(alignment - 1));
}
Pages::Pages(const Pages& other) {
  if (!other.base_) return;
  *this = Pages(other.bytes_, other.alignment_);
  std::memcpy(data_, other.data_, static_cast<size_t>(bytes_));
}
void Pages::swap(Pages& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(alignment_, other.alignment_);
  std::swap(mapped_, other.mapped_);
}
Pages::~Pages() {
  if (base_) munmap(base_, static_cast<size_t>(mapped_));
}

Tensor::Tensor(const ir::Type& t) : type(t), storage(t.bytes()) {
  for (const ir::Dim& d : t.dims) dims.push_back(d.size);
}

double Tensor::get(int64_t i) const {
  const std::byte* p = data();
  switch (type.dtype) {
    case DType::f32: return reinterpret_cast<const float*>(p)[i];
    case DType::f64: return reinterpret_cast<const double*>(p)[i];
    case DType::bf16: return to_float(reinterpret_cast<const bf16*>(p)[i]);
    case DType::f16: return to_float(reinterpret_cast<const f16*>(p)[i]);
    case DType::i32: return reinterpret_cast<const int32_t*>(p)[i];
    case DType::i64: return static_cast<double>(reinterpret_cast<const int64_t*>(p)[i]);
    case DType::u8: return reinterpret_cast<const uint8_t*>(p)[i];
    case DType::i8: return reinterpret_cast<const int8_t*>(p)[i];
  }
  return 0;
}

void Tensor::set(int64_t i, double x) {
  std::byte* p = data();
  switch (type.dtype) {
    case DType::f32: reinterpret_cast<float*>(p)[i] = static_cast<float>(x); break;
    case DType::f64: reinterpret_cast<double*>(p)[i] = x; break;
    case DType::bf16: reinterpret_cast<bf16*>(p)[i] = to_bf16(static_cast<float>(x)); break;
    case DType::f16: reinterpret_cast<f16*>(p)[i] = to_f16(static_cast<float>(x)); break;
    case DType::i32: reinterpret_cast<int32_t*>(p)[i] = static_cast<int32_t>(x); break;
    case DType::i64: reinterpret_cast<int64_t*>(p)[i] = static_cast<int64_t>(x); break;
    case DType::u8: reinterpret_cast<uint8_t*>(p)[i] = static_cast<uint8_t>(x); break;
    case DType::i8: reinterpret_cast<int8_t*>(p)[i] = static_cast<int8_t>(x); break;
  }
}

Tensor random_tensor(const ir::Type& type, uint64_t seed, int64_t limit) {
  Tensor t(type);
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  auto next = [&] {  // splitmix64
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  };
  for (int64_t i = 0; i < t.elements(); ++i) {
    if (is_float(type.dtype)) {
      double sum = 0;  // near enough to normal
      for (int j = 0; j < 4; ++j) sum += static_cast<double>(next() >> 11) * 0x1p-53 - 0.5;
      t.set(i, sum * 1.7320508);
    } else {
      t.set(i, static_cast<double>(next() % static_cast<uint64_t>(limit)));
    }
  }
  return t;
}

namespace {
// Starting threads and reading the topology takes longer than most kernels: one pool per size for all tests.
ThreadPool& shared_pool(int threads) {
  static std::map<int, ThreadPool> pools;
  ThreadPoolOptions o;
  o.threads = threads;
  return pools.try_emplace(threads, o).first->second;
}
}  // namespace

OpRunner::OpRunner(const OpCall& call, const KernelTable& table, int threads, std::string_view variant)
    : op_(call.op), attrs_(call.attrs), operands_(call.operands), pool_(shared_pool(threads)) {
  std::vector<ir::Type> types;
  for (const Tensor& t : operands_) types.push_back(t.type);
  std::vector<ir::Type> out = ir::infer_types(*op_, attrs_, types);
  for (const ir::Type& t : out) {
    Tensor result(t);
    for (int i = 0; i < t.rank(); ++i)  // live lengths follow the operands
      for (const Tensor& x : operands_)
        if (int at = x.type.find(t.dims[i].axis); t.dims[i].live && at >= 0) result.dims[i] = x.dims[at];
    results_.push_back(std::move(result));
  }
  for (size_t i = 0; i < results_.size(); ++i) {
    int at = static_cast<int>(i) < op_->in_place.size() ? op_->in_place[static_cast<int>(i)] : -1;
    if (at >= 0) results_[i].storage = Pages();  // lives in the operand
  }
  ir::OpView view{op_, &attrs_, types, out};
  for (const Kernel* k : table.kernels) {
    if (k->op != op_->name || (!variant.empty() && k->variant != variant) || !k->supports(view)) continue;
    kernel_ = k;
    break;
  }
  if (!kernel_) return;
  if (kernel_->prepare) kernel_->prepare(view, prepared_);
  // Uninitialized memory of a plan's arena: anything may stand in it.
  const int64_t bytes = kernel_->workspace ? kernel_->workspace(view, threads) : 0;
  workspace_ = Pages(bytes, 64);
  std::memset(workspace_.data(), 0xff, static_cast<size_t>(bytes));
}

void OpRunner::run() {
  std::vector<TensorView> in, out;
  for (const Tensor& t : operands_) in.push_back(t.view());
  for (size_t i = 0; i < results_.size(); ++i) {
    int at = static_cast<int>(i) < op_->in_place.size() ? op_->in_place[static_cast<int>(i)] : -1;
    out.push_back(at >= 0 ? operands_[static_cast<size_t>(at)].view() : results_[i].view());
  }
  kernel_->run({attrs_, in, out, prepared_, workspace_.data(), pool_});
  for (size_t i = 0; i < results_.size(); ++i) {
    int at = static_cast<int>(i) < op_->in_place.size() ? op_->in_place[static_cast<int>(i)] : -1;
    if (at >= 0) results_[i] = operands_[static_cast<size_t>(at)];
  }
}

}  // namespace hoist::kernels
