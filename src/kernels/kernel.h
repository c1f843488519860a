// The kernel interface: how one op runs on one backend.
//
// A kernel never sees a graph. When a plan is made it is asked whether it `supports` a signature, how much
// workspace it needs, and to `prepare` a small blob of decisions (matrix sizes, chosen variant). When the
// plan runs it gets attributes, contiguous tensor views already cut to their live lengths, that blob, the
// workspace and a thread pool. `run` is noexcept and must not allocate.
//
// The law of order: the bits of each result element depend only on the operands it is defined over, never on
// how many rows there are beside it, on threads or on chunking. Merged axes are split at fixed multiples
// only.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/threads.h"
#include "ir/op.h"

namespace hoist::kernels {

// Row-major and contiguous. `dims` are the lengths of this run (live axes shortened), outermost first.
struct TensorView {
  std::byte* data = nullptr;
  DType dtype = DType::f32;
  InlineVec<int64_t, 8> dims;

  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : dims) n *= d;
    return n;
  }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
};

// Decisions taken once, when the plan is made: any trivially copyable struct of at most 256 bytes.
struct Prepared {
  alignas(16) std::byte bytes[256] = {};
  template <class T>
  void store(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(bytes));
    std::memcpy(bytes, &value, sizeof(T));
  }
  template <class T>
  const T& as() const {
    return *reinterpret_cast<const T*>(bytes);
  }
};

struct KernelArgs {
  const ir::Attrs& attrs;
  std::span<const TensorView> operands;
  std::span<const TensorView> results;
  const Prepared& prepared;
  std::byte* workspace;  // 64-byte aligned, as large as `workspace` asked for
  ThreadPool& pool;

  template <class T>
  const T* in(int i) const {
    return operands[static_cast<size_t>(i)].as<const T>();
  }
  template <class T>
  T* out(int i) const {
    return results[static_cast<size_t>(i)].as<T>();
  }
};

struct Kernel {
  std::string_view op;       // OpDef::name
  std::string_view variant;  // "ref", "portable", "avx2", "avx512", ...: shown in plans and traces
  bool (*supports)(const ir::OpView& view);
  void (*run)(const KernelArgs& args) noexcept;
  // Both optional.
  void (*prepare)(const ir::OpView& view, Prepared& prepared) = nullptr;
  int64_t (*workspace)(const ir::OpView& view, int threads) = nullptr;
};

// A backend: kernels in order of preference. The first that supports a signature is used.
struct KernelTable {
  std::string_view name;
  std::vector<const Kernel*> kernels;
  const Kernel* find(const ir::OpView& view) const;
};

// Reference kernels: naive loops in f32 and f64 for every primitive (and for fused ops that have none
// simpler).
const KernelTable& ref_table();

// The CPU backend for an instruction set; kernels it lacks are taken from narrower ones and from ref_table().
// kAvx512Dot: AVX-512 with the dot products of BF16 and VNNI.
enum class Isa { kPortable, kAvx2, kAvx512, kAvx512Dot };
std::string_view isa_name(Isa isa);
bool isa_available(Isa isa);  // on this machine
Isa best_isa();               // HOIST_ISA=portable|avx2|avx512|avx512dot lowers it, for tests
const KernelTable& cpu_table(Isa isa);

// Supports everything and computes nothing; goes with device::make_null_device().
const KernelTable& null_table();

}  // namespace hoist::kernels
