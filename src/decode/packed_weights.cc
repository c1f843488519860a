#include "decode/packed_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/gemm/panels.h"
#include "quant/codec.h"

namespace hoist::decode {

namespace {

using kernels::cpu::PanelTable;

constexpr int64_t kPiece = 64;  // rows at a time: whole panels

int64_t published_row(const PanelTable& t) {
  return t.blocks ? kernels::cpu::row_bytes(t.format, t.k) : t.k * dtype_size(t.dtype);
}

// Rows of f32 as the table's published bytes.
void encode(const PanelTable& t, const ir::Format& format, const float* rows, int64_t count, std::byte* out) {
  const int64_t n = count * t.k;
  if (t.format == kernels::cpu::BlockFormat::kI8 && t.blocks) {
    for (int64_t r = 0; r < count; ++r) {  // 127 levels each side of zero
      const float* x = rows + r * t.k;
      float most = 0;
      for (int64_t j = 0; j < t.k; ++j) most = std::max(most, std::abs(x[j]));
      const float scale = most / 127.0f, inverse = most > 0 ? 127.0f / most : 0.0f;
      std::byte* to = out + r * (4 + t.k);
      std::memcpy(to, &scale, 4);
      for (int64_t j = 0; j < t.k; ++j)
        to[4 + j] = static_cast<std::byte>(static_cast<int8_t>(std::nearbyintf(x[j] * inverse)));
    }
  } else if (t.blocks)
    quant::find_codec(format.base)->quantize(rows, out, n);
  else if (t.dtype == DType::f32)
    std::memcpy(out, rows, static_cast<size_t>(n) * 4);
  else
    for (int64_t i = 0; i < n; ++i) reinterpret_cast<bf16*>(out)[i] = to_bf16(rows[i]);
}

// Does the checkpoint hold each row's inputs side by side, rows in our order?
bool rows_as_stored(const models::Parameter& p) {
  for (int i = 0; i < p.type.rank(); ++i)
    if (!(p.type.dims[i].axis == p.stored.dims[i].axis)) return false;
  return true;
}

// values [inputs][rows], a row of them `stride` apart, turned.
std::vector<float> turned(const float* values, int64_t rows, int64_t k, int64_t stride) {
  std::vector<float> out(static_cast<size_t>(rows * k));
  constexpr int64_t kTile = 32;
  for (int64_t r0 = 0; r0 < rows; r0 += kTile)
    for (int64_t j0 = 0; j0 < k; j0 += kTile)
      for (int64_t r = r0; r < std::min(rows, r0 + kTile); ++r)
        for (int64_t j = j0; j < std::min(k, j0 + kTile); ++j)
          out[static_cast<size_t>(r * k + j)] = values[j * stride + r];
  return out;
}

void pack_f32_rows(const float* rows, const models::Parameter& p, std::byte* to, ThreadPool& pool) {
  const PanelTable t = kernels::cpu::panel_table(p.type);
  const ir::Format& format = *ir::find_format(p.type.format);
  pool.parallel_for((t.rows + kPiece - 1) / kPiece, 1, [&](int64_t begin, int64_t end, int) {
    std::vector<std::byte> bytes(static_cast<size_t>(kPiece * published_row(t)));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i * kPiece, count = std::min(kPiece, t.rows - first);
      encode(t, format, rows + first * t.k, count, bytes.data());
      kernels::cpu::pack_rows_of(t, bytes.data(), first, count, to);
    }
  });
}

}  // namespace

void pack_panels(const float* values, const models::Parameter& p, std::byte* to, ThreadPool& pool) {
  const PanelTable t = kernels::cpu::panel_table(p.type);
  if (rows_as_stored(p)) return pack_f32_rows(values, p, to, pool);
  const std::vector<float> rows = turned(values, t.rows, t.k, t.rows);
  pack_f32_rows(rows.data(), p, to, pool);
}

void load_panels(const io::CheckpointFiles::Entry& tensor, const models::Parameter& p, int64_t index,
                 std::byte* to, ThreadPool& pool) {
  const PanelTable t = kernels::cpu::panel_table(p.type);
  const ir::Format& format = *ir::find_format(p.type.format);
  const bool in_order = rows_as_stored(p);
  const bool same_format = format.base.empty() ? tensor.info->format.empty() && tensor.info->dtype == t.dtype
                                               : tensor.info->format == format.base;
  // The rows this tensor is of ours; those of a stack's tensors fill whole panels (models::in_panels).
  const int64_t all = t.rows / std::max<int64_t>(1, static_cast<int64_t>(p.stack.size()));
  // `get(row, count, bytes)` gives published bytes of rows from `row` of the tensor.
  const auto pack = [&](auto get) {
    pool.parallel_for((all + kPiece - 1) / kPiece, 1, [&](int64_t begin, int64_t end, int) {
      std::vector<std::byte> bytes(static_cast<size_t>(kPiece * published_row(t)));
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i * kPiece, count = std::min(kPiece, all - first);
        get(first, count, bytes.data());
        kernels::cpu::pack_rows_of(t, bytes.data(), index * all + first, count, to);
      }
    });
  };
  // Rows of the stored matrix are our rows: either the checkpoint's own, or the file turned them.
  const int64_t shift = in_order && !p.rows ? 0 : p.offset;
  if (same_format && (in_order ? (p.whole || p.rows) && !tensor.info->transposed : tensor.info->transposed))
    return pack([&](int64_t first, int64_t count, std::byte* bytes) {
      // Several of our rows may make one of the matrix's, never the other way round.
      HOIST_CHECK(tensor.info->row_elements() == t.k, "rows of " + p.name + " are cut otherwise in the file");
      tensor.file->read_rows(*tensor.info, shift + first, count, bytes);
    });
  if (in_order && (p.whole || p.rows))
    return pack([&](int64_t first, int64_t count, std::byte* bytes) {
      std::vector<float> rows(static_cast<size_t>(count * t.k));
      tensor.file->read_as(*tensor.info, DType::f32, rows.data(), (shift + first) * t.k, count * t.k);
      encode(t, format, rows.data(), count, bytes);
    });
  // The checkpoint's matrix is [inputs, rows of several parameters].
  const int64_t total = p.shape.back();
  std::vector<float> values(static_cast<size_t>(t.k * t.rows));
  for (int64_t j = 0; j < t.k; ++j)
    tensor.file->read_as(*tensor.info, DType::f32, values.data() + j * t.rows, j * total + p.offset, t.rows);
  pack_f32_rows(turned(values.data(), t.rows, t.k, t.rows).data(), p, to, pool);
}

}  // namespace hoist::decode
