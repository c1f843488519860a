// embedding: rows copied by id; embedding_grad: rows summed by id, in the order of ids.
#include "ops/embedding.h"

#include "kernels/cpu/common.h"
#include "kernels/cpu/gemm/panels.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

bool supports(const ir::OpView& v) { return v.operands[0].format.empty(); }

void embed(const KernelArgs& args) noexcept {
  const int64_t base = args.attrs.as<ops::EmbeddingAttrs>().base;
  const TensorView &table = args.operands[0], &ids = args.operands[1];
  const int64_t size = table.dims[0];
  int64_t row = dtype_size(table.dtype);
  for (int i = 1; i < table.dims.size(); ++i) row *= table.dims[i];
  args.pool.parallel_for(ids.elements(), grain_for(row / 4), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = int64_t{ids.as<const int32_t>()[i]} - base;
      std::byte* out = args.results[0].data + i * row;
      if (at >= 0 && at < size)
        std::memcpy(out, table.data + at * row, static_cast<size_t>(row));
      else
        std::memset(out, 0, static_cast<size_t>(row));
    }
  });
}

// A table in panels of weights: each id unpacks its row.
bool panels_supports(const ir::OpView& v) {
  const ir::Format* f = ir::find_format(v.operands[0].format);
  return f && f->panel && narrow_float(v.results[0].dtype);
}
void panels_prepare(const ir::OpView& v, Prepared& prepared) { prepared.store(panel_table(v.operands[0])); }
int64_t panels_workspace(const ir::OpView& v, int threads) {
  return panel_row_scratch(panel_table(v.operands[0])) * threads;
}
void embed_panels(const KernelArgs& args) noexcept {
  const PanelTable table = args.prepared.as<PanelTable>();
  const int64_t base = args.attrs.as<ops::EmbeddingAttrs>().base, size = args.operands[0].dims[0];
  const TensorView& ids = args.operands[1];
  const int64_t bytes = table.k * dtype_size(args.results[0].dtype), scratch = panel_row_scratch(table);
  args.pool.parallel_for(ids.elements(), grain_for(table.k), [&](int64_t begin, int64_t end, int worker) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = int64_t{ids.as<const int32_t>()[i]} - base;
      std::byte* out = args.results[0].data + i * bytes;
      if (at < 0 || at >= size)
        std::memset(out, 0, static_cast<size_t>(bytes));
      else
        read_panel_row(table, args.operands[0].data, at, args.results[0].dtype, out,
                       args.workspace + worker * scratch);
    }
  });
}

// Tokens by row of the table: where each row's begin, and the tokens, in order.
int64_t grad_workspace(const ir::OpView& v, int) {
  return align64((v.results[0].dims[0].size + 2) * 4) + v.operands[1].elements() * 4;
}

// A 16-bit sum would round at every step: the reference kernel does those.
bool grad_supports(const ir::OpView& v) { return narrow_floats(v) && v.results[0].dtype == DType::f32; }

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/embedding.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

// Every row of the table is written once: its tokens are found by counting, and added up in order.
void grad(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::EmbeddingGradAttrs>();
  const int64_t tokens = args.operands[1].elements(), rows = args.results[0].dims[0];
  const int64_t n = rows ? args.results[0].elements() / rows : 0;
  const int32_t* ids = args.in<int32_t>(1);
  auto* first = reinterpret_cast<int32_t*>(args.workspace);
  auto* order = reinterpret_cast<int32_t*>(args.workspace + align64((rows + 2) * 4));
  std::memset(first, 0, static_cast<size_t>(rows + 2) * 4);
  auto row_of = [&](int64_t t) {
    const int64_t at = int64_t{ids[t]} - a.base;
    return at >= 0 && at < rows ? at : -1;
  };
  for (int64_t t = 0; t < tokens; ++t)
    if (const int64_t at = row_of(t); at >= 0) ++first[at + 2];
  for (int64_t r = 0; r < rows; ++r) first[r + 2] += first[r + 1];
  for (int64_t t = 0; t < tokens; ++t)
    if (const int64_t at = row_of(t); at >= 0) order[first[at + 1]++] = static_cast<int32_t>(t);
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    args.pool.parallel_for(rows, grain_for(n), [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        float* y = args.out<float>(0) + row * n;
        const int32_t *t = order + first[row], *last = order + first[row + 1];
        if (t == last) {
          std::memset(y, 0, static_cast<size_t>(n) * sizeof(float));
          continue;
        }
        const T* x = args.in<T>(0) + *t * n;
        for (int64_t i = 0; i < n; i += W) store_tail(y + i, load_tail(x + i, n - i) + set(0), n - i);
        while (++t < last) {
          x = args.in<T>(0) + *t * n;
          for (int64_t i = 0; i < n; i += W)
            store_tail(y + i, load_tail(y + i, n - i) + load_tail(x + i, n - i), n - i);
        }
      }
    });
  });
}

}  // namespace

void add_embedding(KernelList& list) {
  static const Kernel kernels[] = {
      {"embedding", HOIST_ISA_NAME, supports, embed},
      {"embedding", HOIST_ISA_NAME, panels_supports, embed_panels, panels_prepare, panels_workspace},
      {"embedding_grad", HOIST_ISA_NAME, grad_supports, grad, nullptr, grad_workspace}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
