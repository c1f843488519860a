#include "ops/paged.h"

#include <algorithm>

#include "kernels/ref/any_float.h"
#include "ops/kv_row.h"

namespace hoist::kernels::ref {

namespace {

// Element i of a pool, whose rows may be int8 (ops/kv_row.h). i counts as if rows were `width` elements.
double load_row(const TensorView& pool, int64_t i, int64_t width) {
  if (pool.dtype != DType::i8) return load(pool, i);
  const int8_t* row = pool.as<const int8_t>() + i / width * (width + ops::kKvScaleBytes);
  return static_cast<double>(static_cast<float>(row[i % width]) *
                             ops::KvScale{row[width], row[width + 1]}.value());
}

void write_row(const TensorView& x, int64_t from, int64_t width, int8_t* row) {
  float top = 0;
  for (int64_t i = 0; i < width; ++i) {
    const float v = std::fabs(static_cast<float>(load(x, from + i)));
    top = v <= std::numeric_limits<float>::max() ? std::max(top, v) : std::numeric_limits<float>::infinity();
    if (std::isinf(top)) break;
  }
  const ops::KvScale s = ops::kv_scale(top);
  row[width] = s.a;
  row[width + 1] = s.b;
  for (int64_t i = 0; i < width; ++i) {
    const float q = std::nearbyint(static_cast<float>(load(x, from + i)) / s.value());
    row[i] = s.b == 127 ? int8_t{0} : static_cast<int8_t>(std::clamp(q, -127.0f, 127.0f));
  }
}

void read(const KernelArgs& args) noexcept {
  const TensorView &pool = args.operands[0], &out = args.results[0];
  for (int64_t i = 0; i < out.elements(); ++i) store(out, i, load_row(pool, i, out.dims[3]));
}

void write(const KernelArgs& args) noexcept {
  const TensorView &pool = args.results[0], &x = args.operands[1];
  const bool rows = pool.dtype == DType::i8;
  const int64_t slots = pool.dims[0] * pool.dims[1], width = pool.dims[2] * (rows ? x.dims[2] : pool.dims[3]);
  const int64_t first = args.attrs.as<ops::KvWriteAttrs>().base * pool.dims[1];
  for (int64_t t = 0; t < x.dims[0]; ++t) {
    const int64_t slot = args.in<int32_t>(2)[t] - first;
    if (args.in<int32_t>(2)[t] < 0 || slot < 0 || slot >= slots) continue;
    if (rows) {
      for (int64_t h = 0; h < pool.dims[2]; ++h)
        write_row(x, (t * pool.dims[2] + h) * x.dims[2], x.dims[2],
                  pool.as<int8_t>() + (slot * pool.dims[2] + h) * pool.dims[3]);
      continue;
    }
    for (int64_t i = 0; i < width; ++i) store(pool, slot * width + i, load(x, t * width + i));
  }
}

// Where position `at` of a sequence lies in the pool, as a slot; -1 when its table entry is no block.
int64_t slot_of(const KernelArgs& args, int64_t seq, int64_t at) {
  const TensorView &pool = args.operands[1], &table = args.operands[3];
  const int64_t block = table.as<const int32_t>()[seq * table.dims[1] + at / pool.dims[1]];
  return block < 0 || block >= pool.dims[0] ? -1 : block * pool.dims[1] + at % pool.dims[1];
}

void attend(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::PagedAttentionAttrs>();
  const TensorView &q = args.operands[0], &k = args.operands[1], &v = args.operands[2],
                   &table = args.operands[3];
  const int64_t heads = q.dims[1], group = q.dims[2], width = q.dims[3],
                v_width = v.dtype == DType::i8 ? width : v.dims[3];
  double* p = doubles(args.workspace);
  for (int64_t t = 0; t < q.dims[0]; ++t) {
    const int64_t seq = args.in<int32_t>(4)[t] - a.base, pos = args.in<int32_t>(5)[t];
    const bool inside = args.in<int32_t>(4)[t] >= 0 && seq >= 0 && seq < table.dims[0];
    const int64_t end = inside ? std::min(pos + 1, table.dims[1] * k.dims[1]) : 0;
    const int64_t begin =
        a.window > 0 ? std::clamp<int64_t>(pos - a.window + 1, 0, std::max<int64_t>(end, 0)) : 0;
    for (int64_t head = 0; head < heads * group; ++head) {
      const int64_t row = t * heads * group + head;
      double top = a.has_sinks ? load(args.operands[6], head) : -std::numeric_limits<double>::infinity();
      const double sink = top;
      for (int64_t at = begin; at < end; ++at) {
        const int64_t slot = slot_of(args, seq, at);
        double sum = 0;
        for (int64_t d = 0; d < width && slot >= 0; ++d)
          sum += load(q, row * width + d) * load_row(k, (slot * heads + head / group) * width + d, width);
        p[at] = capped(a.scale * sum, a.softcap);
        top = std::max(top, p[at]);
      }
      double sum = begin < end ? std::exp(sink - top) : 1;
      for (int64_t at = begin; at < end; ++at) sum += p[at] = std::exp(p[at] - top);
      for (int64_t e = 0; e < v_width; ++e) {
        double o = 0;
        for (int64_t at = begin; at < end; ++at)
          if (const int64_t slot = slot_of(args, seq, at); slot >= 0)
            o += p[at] * load_row(v, (slot * heads + head / group) * v_width + e, v_width);
        store(args.results[0], row * v_width + e, o / sum);
      }
    }
  }
}

int64_t workspace(const ir::OpView& view, int) {
  return view.operands[3].dims[1].size * view.operands[1].dims[1].size * 8;
}

}  // namespace

Kernels paged_kernels() {
  static constexpr Kernel kKernels[] = {
      {"kv_write", "ref", supports_dense, write},
      {"kv_read", "ref", supports_dense, read},
      {"paged_attention", "ref", supports_dense, attend, nullptr, workspace},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
