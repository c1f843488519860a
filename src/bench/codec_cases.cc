// Block codecs: weights quantized when a model is converted and dequantized when one is read. The share is of
// the time that moving floats and blocks takes.
#include <algorithm>
#include <memory>
#include <string>

#include "bench/kernel_cases.h"
#include "bench/op_run.h"
#include "quant/codec.h"

namespace hoist::bench {

namespace {

constexpr int64_t kRow = 4096;

// Rows of floats, and the blocks they become.
struct Weights {
  Weights(int64_t float_bytes, int64_t block_bytes) : floats(float_bytes), blocks(block_bytes) {}
  HostMemory floats, blocks;
};

void add_codec(const quant::BlockCodec& codec, bool quantizes, int64_t rows, std::vector<Case>& cases) {
  const int64_t float_bytes = rows * kRow * 4, row_bytes = codec.bytes_of(kRow);
  const auto wide = static_cast<double>(float_bytes), narrow = static_cast<double>(rows * row_bytes);
  Case c;
  c.name = quantizes ? "quantize" : "dequantize";
  c.shape = std::to_string(rows) + "x" + std::to_string(kRow);
  c.dtype = codec.name;
  c.unit = "GB/s";
  c.work.read = quantizes ? wide : narrow;
  c.work.written = quantizes ? narrow : wide;
  c.amount = (wide + narrow) * 1e-9;
  c.ours = [&codec, quantizes, rows, float_bytes, row_bytes](const Setting& s) {
    auto w = std::make_shared<Weights>(float_bytes, rows * row_bytes);
    auto* floats = reinterpret_cast<float*>(w->floats.data());
    std::byte* blocks = w->blocks.data();
    fill_random(floats, rows * kRow, 1);
    if (!quantizes) codec.quantize(floats, blocks, kRow);  // one row's blocks stand for all
    for (int64_t i = 1; i < rows && !quantizes; ++i) std::copy_n(blocks, row_bytes, blocks + i * row_bytes);
    ThreadPool* pool = &s.pool;
    return Run([=, &codec] {
      (void)w;  // keeps both alive
      pool->parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
        const int64_t n = (end - begin) * kRow;
        if (quantizes)
          codec.quantize(floats + begin * kRow, blocks + begin * row_bytes, n);
        else
          codec.dequantize(blocks + begin * row_bytes, floats + begin * kRow, n);
      });
    });
  };
  cases.push_back(std::move(c));
}

}  // namespace

void add_codec_cases(const CaseOptions& options, std::vector<Case>& cases) {
  for (const quant::BlockCodec& codec : quant::codecs()) {
    // Formats of 256 search for their scales: they get less to do.
    add_codec(codec, true, options.small ? 1 : codec.block > 32 ? 512 : 8192, cases);
    add_codec(codec, false, options.small ? 1 : 8192, cases);
  }
}

}  // namespace hoist::bench
