// What a GGUF file's keys and names mean: metadata to ModelConfig, tensor names to those of Hugging Face
// checkpoints, and both ways round for writing.
//
// Architectures: llama (Llama, Mistral, Mixtral), smollm3, qwen2, qwen3, qwen2moe, qwen3moe, phi3, gemma2,
// gemma3, gpt2; others are refused by name, as is a key of the architecture that would change the arithmetic
// in a way we do not compute. Files hold all experts of a layer as one tensor, checkpoints one by one. llama
// files store the rows of q and k so that rope turns neighbours (2j, 2j+1); ours turn halves (j, j + d/2), so
// rows are put back while reading. gpt2 files store linear layers transposed. Source: llama.cpp's converters
// and loaders, 2023 to 2026.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/gguf.h"
#include "io/model_config.h"
#include "io/tensor_file.h"

namespace hoist::io {

// Throws kCorrupt or kUnsupported naming file and key.
ModelConfig read_gguf_config(const GgufSet& set);
// Ends of a text: the eos, eot and eom tokens that the file names.
GenerationConfig read_gguf_generation(const GgufSet& set);

// One of a model's tensors under both names.
struct GgufName {
  enum class Layout {
    kSame,
    kHeads,       // rows permuted within each of `heads` heads
    kTransposed,  // the file holds the transpose
    kPlusOne,     // the file holds the values plus one, in f32 (Gemma's norms)
    kExperts      // the file's outermost axis counts `experts` tensors, whose names hold "{}" for the number
  };
  std::string gguf, checkpoint;
  Layout layout = Layout::kSame;
  int64_t heads = 0, experts = 0;
};
// All tensors a model of this config may have, in a file's usual order.
std::vector<GgufName> gguf_names(const ModelConfig& config);

// The files' tensors under their checkpoint names, file by file. Tensors without such a name keep their own.
std::vector<std::unique_ptr<TensorFile>> open_gguf_tensors(std::shared_ptr<const GgufSet> set,
                                                           const ModelConfig& config);

// Adds general.architecture and the architecture's keys. Throws kUnsupported for a config GGUF cannot say.
void write_gguf_config(const ModelConfig& config, GgufMetadata& metadata);
// Divisors of the frequencies that a file holds as tensors for this config.
struct GgufDivisors {
  const char* tensor;
  std::vector<float> values;
};
std::vector<GgufDivisors> gguf_rope_tensors(const ModelConfig& config);
// "x{}y" with the number of an expert.
std::string expert_tensor_name(const std::string& pattern, int64_t expert);

// The row of the file's matrix that holds row `row` of the checkpoint's, where heads are `head_dim` rows
// each.
constexpr int64_t gguf_row(int64_t row, int64_t head_dim) {
  const int64_t head = row / head_dim, r = row % head_dim, half = head_dim / 2;
  return head * head_dim + 2 * (r % half) + r / half;
}

}  // namespace hoist::io
