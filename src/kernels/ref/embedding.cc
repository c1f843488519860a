#include "ops/embedding.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

// table [n, row], ids [m] -> [m, row]
void run_embedding(const KernelArgs& args) noexcept {
  const int64_t base = args.attrs.as<ops::EmbeddingAttrs>().base;
  const Around table(args.operands[0], 0);
  const int32_t* ids = args.in<int32_t>(1);
  const int64_t m = args.operands[1].elements(), bytes = table.inner * dtype_size(args.operands[0].dtype);
  for (int64_t i = 0; i < m; ++i) {
    const int64_t row = ids[i] - base;
    std::byte* to = args.results[0].data + i * bytes;
    if (row >= 0 && row < table.n)
      std::memcpy(to, args.operands[0].data + row * bytes, static_cast<size_t>(bytes));
    else
      std::memset(to, 0, static_cast<size_t>(bytes));
  }
}

// One row's sums, in double, as wide as the table's rows.
int64_t grad_workspace(const ir::OpView& view, int) {
  const ir::Type& t = view.results[0];
  return t.dims[0].size ? t.elements() / t.dims[0].size * 8 : 0;
}

// dy [m, row], ids [m] -> [n, row]. Every table row looks for its ids in order: slow, and the order of the
// sums is plain.
void run_embedding_grad(const KernelArgs& args) noexcept {
  const int64_t base = args.attrs.as<ops::EmbeddingGradAttrs>().base;
  const Around table(args.results[0], 0);
  const int32_t* ids = args.in<int32_t>(1);
  const int64_t m = args.operands[1].elements();
  auto* sum = reinterpret_cast<double*>(args.workspace);
  dispatch_float(args.operands[0].dtype, [&](auto from) {
    dispatch_float(args.results[0].dtype, [&](auto to) {
      const auto* dy = args.in<decltype(from)>(0);
      auto* out = args.out<decltype(to)>(0);
      for (int64_t row = 0; row < table.n; ++row) {
        for (int64_t j = 0; j < table.inner; ++j) sum[j] = 0;
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; ids[i] == base + row && j < table.inner; ++j)
            sum[j] += get(dy[i * table.inner + j]);
        for (int64_t j = 0; j < table.inner; ++j) put(out[row * table.inner + j], sum[j]);
      }
    });
  });
}

}  // namespace

Kernels embedding_kernels() {
  static constexpr Kernel kKernels[] = {
      {"embedding", "ref", supports_dense, run_embedding},
      {"embedding_grad", "ref", supports_dense, run_embedding_grad, nullptr, grad_workspace},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
