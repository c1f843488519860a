// Writing a model as a GGUF file, its matrices in a block format or as plain floats: what `hoist quantize`
// does.
//
// The rule (docs/formats.md states it for users): vectors - norms and biases - and GPT-2's positions stay
// f32; matrices take the wanted format; the matrix that gives the logits (output, or the embedding when tied)
// takes q6_k where blocks of fewer than 8 bits are wanted; a matrix whose rows are no whole number of blocks
// falls back: q4_k to q5_0, q5_k to q5_1, q6_k to q8_0, and what is no multiple of 32 either to f16.
// llama.cpp does the same.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "decode/model.h"
#include "io/gguf.h"
#include "io/gguf_model.h"

namespace hoist {
class ThreadPool;
}

namespace hoist::decode {

struct QuantizeOptions {
  std::string to;           // "q4_k", "f16", ...
  std::string head;         // format of the matrix that gives the logits; empty: by the rule
  std::string embedding;    // of an embedding table that is not the head too; empty: by the rule
  bool requantize = false;  // allow sources in blocks, whose error adds up
};

struct QuantizeStep {
  io::GgufName name;
  const io::TensorInfo* source;
  const io::GgufTensorType* type;
  // Of experts that become one tensor: all of them, `source` the first.
  std::vector<const io::TensorInfo*> stack;
  bool fallback = false;  // rows are no whole number of blocks of the wanted format
  int64_t bytes() const;  // written
};

struct QuantizePlan {
  std::vector<QuantizeStep> steps;  // in the file's order
  std::string note;                 // what the user should know; may be empty
  io::GgufMetadata metadata;
};

// Names the formats one may ask for, in the order to list them.
const std::vector<std::string>& quantize_formats();

// Decides everything and reads no weight. Throws Error naming option, file or tensor.
QuantizePlan plan_quantize(const Model& model, const QuantizeOptions& options);

// Writes the file (under a temporary name until it is whole). `progress(done, all)` gets bytes of f32
// weights. Throws kInvalidArgument naming the tensor and the element for a weight that is not a number, or
// that f16 cannot hold. Memory: about 100 MB, or a whole tensor where the layout turns it.
io::FileDigest write_quantized(const Model& model, const QuantizePlan& plan, const std::string& path,
                               ThreadPool& pool, const std::function<void(int64_t, int64_t)>& progress = {});

}  // namespace hoist::decode
