#include "kernels/cpu/gemm/panels.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/common.h"
#include "quant/codec.h"

namespace hoist::kernels::cpu {

namespace {

struct Layout {
  const char* name;
  int64_t block, bytes;  // as published
  int64_t header;        // bytes of f16 scales at a block's start; 0: super-blocks, laid out as in blocks.h
};
constexpr Layout kLayouts[] = {{"q8_0", 32, 34, 2},   {"q4_0", 32, 18, 2},   {"q4_1", 32, 20, 4},
                               {"q5_0", 32, 22, 2},   {"q5_1", 32, 24, 4},   {"q4_k", 256, 144, 0},
                               {"q5_k", 256, 176, 0}, {"q6_k", 256, 210, 0}, {"i8", 4, 4, 0}};
const Layout& layout(BlockFormat f) { return kLayouts[static_cast<int>(f)]; }

using Bytes = uint8_t*;
using ConstBytes = const uint8_t*;

// Where vector `index` of a body keeps byte t of row r.
uint8_t& lane(Bytes body, int64_t index, int64_t r, int64_t t) { return body[index * 64 + r * 4 + t]; }

int bit(ConstBytes p, int i) { return p[i / 8] >> (i % 8) & 1; }

// One row's block into a panel: `head` is where its scales go, `body` its weights.
void pack_plain(BlockFormat f, ConstBytes block, int64_t r, Bytes head, Bytes body) {
  const int64_t header = layout(f).header;
  for (int64_t i = 0; i < header / 2; ++i) std::memcpy(head + i * 2 * kPanel + 2 * r, block + 2 * i, 2);
  block += header;
  if (f == BlockFormat::kQ8_0) {
    for (int j = 0; j < 32; ++j) lane(body, j / 4, r, j % 4) = block[j] ^ 0x80;  // unsigned, 128 too large
    return;
  }
  if (f == BlockFormat::kQ5_0 || f == BlockFormat::kQ5_1) {
    for (int j = 0; j < 32; ++j) lane(body, 0, r, j % 4) |= static_cast<uint8_t>(bit(block, j) << (j / 4));
    block += 4;
    body += 64;
  }
  for (int j = 0; j < 16; ++j) lane(body, j / 4, r, j % 4) = block[j];
}

void pack_super(BlockFormat f, ConstBytes block, int64_t r, Bytes out) {
  if (f == BlockFormat::kQ6_K) {
    std::memcpy(out + 2 * r, block + 208, 2);
    for (int s = 0; s < 16; ++s) out[32 + s * kPanel + r] = block[192 + s];
    Bytes low = out + 288, high = low + 2048;
    for (int e = 0; e < 256; ++e) {
      // Element e = 128 h + 32 t + l, as published: ql[64 h + l + 32 (t & 1)], nibble t / 2; qh[32 h + l],
      // pair t.
      const int h = e / 128, t = e / 32 % 4, l = e % 32;
      const int nibble = block[64 * h + l + 32 * (t & 1)] >> (4 * (t / 2)) & 15;
      const int pair = block[128 + 32 * h + l] >> (2 * t) & 3;
      const int w = e / 4;
      lane(low, w & 31, r, e % 4) |= static_cast<uint8_t>(nibble << (w < 32 ? 0 : 4));
      lane(high, w & 15, r, e % 4) |= static_cast<uint8_t>(pair << (2 * (w >> 4)));
    }
    return;
  }
  std::memcpy(out + 2 * r, block, 2);
  std::memcpy(out + 32 + 2 * r, block + 2, 2);
  for (int i = 0; i < 12; ++i) out[64 + i * kPanel + r] = block[4 + i];
  Bytes body = out + 256;
  block += 16;
  if (f == BlockFormat::kQ5_K) {
    for (int s = 0; s < 8; ++s)
      for (int l = 0; l < 32; ++l)
        lane(body, s, r, l % 4) |= static_cast<uint8_t>((block[l] >> s & 1) << (l / 4));
    block += 32;
    body += 512;
  }
  for (int i = 0; i < 128; ++i) lane(body, i / 32 * 8 + i % 32 / 4, r, i % 4) = block[i];
}

// A row's block as published, from a panel.
void unpack_block(BlockFormat f, ConstBytes panel, int64_t r, int64_t index, int64_t k, Bytes block) {
  const Layout& l = layout(f);
  auto at = [&](ConstBytes body, int64_t vector, int64_t t) { return body[vector * 64 + r * 4 + t]; };
  std::memset(block, 0, static_cast<size_t>(l.bytes));
  if (l.header) {
    const int64_t bytes = l.bytes - l.header;
    ConstBytes head = panel + index * l.header * kPanel;
    ConstBytes body = panel + align64(k / 32 * l.header * kPanel) + index * bytes * kPanel;
    for (int64_t i = 0; i < l.header / 2; ++i) std::memcpy(block + 2 * i, head + i * 2 * kPanel + 2 * r, 2);
    block += l.header;
    if (f == BlockFormat::kQ8_0) {
      for (int j = 0; j < 32; ++j) block[j] = at(body, j / 4, j % 4) ^ 0x80;
      return;
    }
    if (f == BlockFormat::kQ5_0 || f == BlockFormat::kQ5_1) {
      for (int j = 0; j < 32; ++j)
        block[j / 8] |= static_cast<uint8_t>((at(body, 0, j % 4) >> (j / 4) & 1) << (j % 8));
      block += 4;
      body += 64;
    }
    for (int j = 0; j < 16; ++j) block[j] = at(body, j / 4, j % 4);
    return;
  }
  ConstBytes in = panel + index * l.bytes * kPanel;
  if (f == BlockFormat::kQ6_K) {
    std::memcpy(block + 208, in + 2 * r, 2);
    for (int s = 0; s < 16; ++s) block[192 + s] = in[32 + s * kPanel + r];
    ConstBytes low = in + 288, high = low + 2048;
    for (int e = 0; e < 256; ++e) {
      const int h = e / 128, t = e / 32 % 4, l32 = e % 32, w = e / 4;
      const int nibble = at(low, w & 31, e % 4) >> (w < 32 ? 0 : 4) & 15;
      const int pair = at(high, w & 15, e % 4) >> (2 * (w >> 4)) & 3;
      block[64 * h + l32 + 32 * (t & 1)] |= static_cast<uint8_t>(nibble << (4 * (t / 2)));
      block[128 + 32 * h + l32] |= static_cast<uint8_t>(pair << (2 * t));
    }
    return;
  }
  std::memcpy(block, in + 2 * r, 2);
  std::memcpy(block + 2, in + 32 + 2 * r, 2);
  for (int i = 0; i < 12; ++i) block[4 + i] = in[64 + i * kPanel + r];
  ConstBytes body = in + 256;
  block += 16;
  if (f == BlockFormat::kQ5_K) {
    for (int s = 0; s < 8; ++s)
      for (int e = 0; e < 32; ++e) block[e] |= static_cast<uint8_t>((at(body, s, e % 4) >> (e / 4) & 1) << s);
    block += 32;
    body += 512;
  }
  for (int i = 0; i < 128; ++i) block[i] = at(body, i / 32 * 8 + i % 32 / 4, i % 4);
}

}  // namespace

std::optional<BlockFormat> block_format(std::string_view name) {
  for (size_t i = 0; i < std::size(kLayouts); ++i)
    if (name == kLayouts[i].name) return static_cast<BlockFormat>(i);
  return std::nullopt;
}

int64_t block_size(BlockFormat format) { return layout(format).block; }
int64_t row_bytes(BlockFormat format, int64_t k) {
  if (format == BlockFormat::kI8) return 4 + k;  // the row's scale, then its bytes
  return k / layout(format).block * layout(format).bytes;
}
int64_t panel_bytes(BlockFormat format, int64_t k) {
  if (format == BlockFormat::kI8) return 64 + kPanel * k;
  return align64(row_bytes(format, k) * kPanel);
}
int64_t dense_panel_bytes(DType type, int64_t k) {
  return (type == DType::f32 ? k : (k + 1) / 2) * kPanel * 4;
}

void pack_panel(BlockFormat format, const std::byte* rows, int64_t count, int64_t k, std::byte* panel) {
  const Layout& l = layout(format);
  HOIST_CHECK(k % l.block == 0 && count <= kPanel, "rows that do not fill blocks");
  Bytes out = reinterpret_cast<Bytes>(panel);
  std::memset(out, 0, static_cast<size_t>(panel_bytes(format, k)));
  if (format == BlockFormat::kI8) {
    for (int64_t r = 0; r < count; ++r) {
      const std::byte* row = rows + r * row_bytes(format, k);
      std::memcpy(panel + 4 * r, row, 4);
      for (int64_t j = 0; j < k; ++j)
        lane(out + 64, j / 4, r, j % 4) = static_cast<uint8_t>(row[4 + j]) ^ 0x80;
    }
    return;
  }
  const int64_t blocks = k / l.block;
  Bytes body = out + align64(blocks * l.header * kPanel);
  for (int64_t r = 0; r < count; ++r)
    for (int64_t b = 0; b < blocks; ++b) {
      ConstBytes block = reinterpret_cast<ConstBytes>(rows) + (r * blocks + b) * l.bytes;
      if (l.header)
        pack_plain(format, block, r, out + b * l.header * kPanel, body + b * (l.bytes - l.header) * kPanel);
      else
        pack_super(format, block, r, out + b * l.bytes * kPanel);
    }
}

void unpack_published(BlockFormat format, const std::byte* panel, int64_t row, int64_t k, std::byte* out) {
  const Layout& l = layout(format);
  if (format == BlockFormat::kI8) {
    std::memcpy(out, panel + 4 * row, 4);
    for (int64_t j = 0; j < k; ++j) out[4 + j] = panel[64 + j / 4 * 64 + row * 4 + j % 4] ^ std::byte{0x80};
    return;
  }
  for (int64_t b = 0; b < k / l.block; ++b)
    unpack_block(format, reinterpret_cast<ConstBytes>(panel), row, b, k,
                 reinterpret_cast<Bytes>(out) + b * l.bytes);
}

void pack_dense_panel(DType type, const std::byte* rows, int64_t count, int64_t k, std::byte* panel) {
  std::memset(panel, 0, static_cast<size_t>(dense_panel_bytes(type, k)));
  if (type == DType::f32) {
    for (int64_t r = 0; r < count; ++r)
      for (int64_t j = 0; j < k; ++j) std::memcpy(panel + (j * kPanel + r) * 4, rows + (r * k + j) * 4, 4);
    return;
  }
  HOIST_CHECK(type == DType::bf16, "panels hold f32 or bf16");
  for (int64_t r = 0; r < count; ++r)
    for (int64_t j = 0; j < k; ++j)
      std::memcpy(panel + ((j / 2 * kPanel + r) * 2 + j % 2) * 2, rows + (r * k + j) * 2, 2);
}

void unpack_dense_row(DType type, const std::byte* panel, int64_t row, int64_t k, float* out) {
  if (type == DType::f32) {
    for (int64_t j = 0; j < k; ++j) std::memcpy(out + j, panel + (j * kPanel + row) * 4, 4);
    return;
  }
  for (int64_t j = 0; j < k; ++j) {
    bf16 x;
    std::memcpy(&x, panel + ((j / 2 * kPanel + row) * 2 + j % 2) * 2, 2);
    out[j] = to_float(x);
  }
}

PanelTable panel_table(const ir::Type& type) {
  const ir::Format* f = ir::find_format(type.format);
  HOIST_CHECK(f && f->panel, "not a tensor in panels");
  PanelTable t{1, 1, 0, type.dtype, !f->base.empty(), BlockFormat::kQ8_0};
  for (int i = 0; i < type.rank(); ++i) (i < type.rank() - f->panel ? t.rows : t.k) *= type.dims[i].size;
  if (t.blocks) t.format = *block_format(f->base);
  t.panel = t.blocks ? panel_bytes(t.format, t.k) : dense_panel_bytes(type.dtype, t.k);
  return t;
}

void pack_rows_of(const PanelTable& t, const std::byte* rows, int64_t first, int64_t count, std::byte* to) {
  const int64_t row = t.blocks ? row_bytes(t.format, t.k) : t.k * dtype_size(t.dtype);
  HOIST_CHECK(first % kPanel == 0 && first + count <= t.rows, "rows outside the tensor");
  for (int64_t i = 0; i < count; i += kPanel) {
    std::byte* panel = to + (first + i) / kPanel * t.panel;
    const int64_t n = std::min(kPanel, count - i);
    if (t.blocks)
      pack_panel(t.format, rows + i * row, n, t.k, panel);
    else
      pack_dense_panel(t.dtype, rows + i * row, n, t.k, panel);
  }
}

int64_t panel_row_scratch(const PanelTable& t) {
  return align64(t.k * 4) + (t.blocks ? align64(row_bytes(t.format, t.k)) : 0);
}

void read_panel_row(const PanelTable& t, const std::byte* panels, int64_t row, DType to, std::byte* out,
                    std::byte* scratch) {
  const std::byte* panel = panels + row / kPanel * t.panel;
  float* values = to == DType::f32 ? reinterpret_cast<float*>(out) : reinterpret_cast<float*>(scratch);
  if (t.blocks) {
    std::byte* published = scratch + align64(t.k * 4);
    unpack_published(t.format, panel, row % kPanel, t.k, published);
    if (t.format == BlockFormat::kI8) {
      float scale;
      std::memcpy(&scale, published, 4);
      for (int64_t i = 0; i < t.k; ++i)
        values[i] = scale * static_cast<float>(static_cast<int8_t>(published[4 + i]));
    } else {
      quant::find_codec(layout(t.format).name)->dequantize(published, values, t.k);
    }
  } else {
    unpack_dense_row(t.dtype, panel, row % kPanel, t.k, values);
  }
  if (to == DType::bf16)
    for (int64_t i = 0; i < t.k; ++i) reinterpret_cast<bf16*>(out)[i] = to_bf16(values[i]);
  else if (to == DType::f16)
    for (int64_t i = 0; i < t.k; ++i) reinterpret_cast<f16*>(out)[i] = to_f16(values[i]);
}

}  // namespace hoist::kernels::cpu
