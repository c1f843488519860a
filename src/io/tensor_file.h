// TensorFile: a file of named tensors, whatever its format; what CheckpointFiles is made of.
//
// Names, shapes and element order are those of Hugging Face checkpoints; a format that stores them otherwise
// undoes that while reading. Threads: reads are thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/dtype.h"

namespace hoist::io {

struct TensorInfo {
  std::string name;
  std::string dtype_text;  // as in the file: "BF16", "F8_E4M3", "Q4_K", ...
  std::optional<DType>
      dtype;  // absent: stored in blocks, or the format knows it and we cannot compute with it
  std::vector<int64_t> shape;  // row-major; rank 0 is one element; a zero is allowed
  int64_t begin = 0, end = 0;  // bytes in the data section
  std::string format;          // a codec of quant/codec.h when stored in blocks along the rows, else empty
  // Stored as the transpose of `shape` (GPT-2's linear layers in GGUF files): read_as turns it, read_rows
  // gives rows of the stored matrix, each shape[0] long.
  bool transposed = false;
  int64_t elements() const;
  int64_t bytes() const { return end - begin; }
  bool readable() const { return dtype.has_value() || !format.empty(); }
  int64_t row_count() const;     // of the stored matrix; a vector is one row
  int64_t row_elements() const;  // of one of its rows
};

class TensorFile {
 public:
  virtual ~TensorFile() = default;
  virtual const std::string& path() const = 0;
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  virtual int64_t data_bytes() const = 0;
  // Two names of one file have equal identities.
  virtual std::pair<uint64_t, uint64_t> identity() const = 0;
  // `tensor` must be one of ours; ranges outside it are our bug.
  // Elements first..first+count of the flattened tensor, as `dtype`: dense and in the shape's order.
  virtual void read_as(const TensorInfo& tensor, DType dtype, void* destination, int64_t first,
                       int64_t count) const = 0;
  // Rows of the stored matrix as they lie, blocks or plain elements, in the order of the shape's rows (so
  // rows of Llama's q and k, which GGUF files permute, come back in place). Each row has bytes() /
  // row_count() bytes.
  virtual void read_rows(const TensorInfo& tensor, int64_t first_row, int64_t rows,
                         void* destination) const = 0;
};

}  // namespace hoist::io
