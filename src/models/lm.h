// Language models: from a config to graphs, and to the list of parameters with their names in Hugging Face
// files.
//
// gpt2.cc and llama.cc (every other family) build the transformer; this one adds inputs, the loss and the
// head. Graphs that train and graphs that serve name their parameters alike, so a StateStore may hold one for
// both.
#pragma once

#include <string>
#include <vector>

#include "base/function_ref.h"
#include "io/model_config.h"
#include "ir/graph.h"

namespace hoist::models {

// How a fresh parameter is drawn (nanoGPT's and Hugging Face's convention: N(0, initializer_range),
// projections back into the residual stream scaled by 1/sqrt(2 layers)).
struct Init {
  enum class Kind { kNormal, kOnes, kZeros } kind = Kind::kNormal;
  double std = 0.02;
};

// One state of Role::kParameter, and the part of a checkpoint tensor that it is.
struct Parameter {
  std::string name;    // the state's name
  ir::Type type;       // named axes, row-major as stored, or in panels (in_panels)
  ir::Type stored;     // dense, axes in the checkpoint's order
  AxisList inputs;     // the axes a matrix product sums over; empty: it is no matrix product's weights
  std::string tensor;  // the checkpoint's name for the tensor it is (part of)
  std::vector<int64_t> shape;  // the checkpoint tensor's whole shape
  // The tensor is cut along its last dimension into parts; this one starts at `offset` (GPT-2's joined q, k,
  // v). With `rows` it is cut along its first (Phi-3's joined q, k, v, and gate and up).
  int64_t offset = 0;
  bool whole = true;
  bool rows = false;
  // Not empty: the state's outermost axis counts these tensors, each of `shape`, and `tensor` is the first.
  std::vector<std::string> stack;
  bool bias = false;
  Init init;
};

// In order of declaration: layer by layer. `dtype` is the storage of matrices; `norms` that of norm weights
// and biases.
std::vector<Parameter> parameters(const io::ModelConfig& config, DType dtype, DType norms);

// The same list with weights of matrix products in panels (ir/type.h): what they are multiplied from fastest,
// for serving. `format` names a parameter's block format, or is empty for dense panels of its dtype; rows
// that do not fill blocks fall back to q8_0, and to dense panels if they do not fill those either.
std::vector<Parameter> in_panels(std::vector<Parameter> list, FunctionRef<Symbol(const Parameter&)> format);

// The live axis of rows sorted by expert in a graph that serves a mixture of experts: its length is that of
// `tokens` times the experts each takes. Left alone it is the capacity, which is slower and computes the
// same.
inline constexpr const char* kExpertRows = "expert_rows";

// Tensor names in a checkpoint that carry no weights of ours (causal-mask buffers, cached rope tables, a tied
// head).
bool ignorable_tensor(const io::ModelConfig& config, const std::string& name);

struct TrainShape {
  int64_t batch = 1, seq = 1;
  DType dtype = DType::f32;  // of parameters and activations
  bool train_biases = true;  // false: biases exist, zero, and stay so (nanoGPT's bias=False)
  // Rows hold several samples, which do not see each other: two more inputs, segments and positions
  // i32[batch, seq].
  bool packed = false;
};
// Inputs: ids, targets i32[batch, seq] (a negative target does not count), [segments, positions].
// Outputs: loss_sum, weight_sum f32[]; with `logits`, also logits f32[batch, seq, vocab].
ir::Graph train_graph(const io::ModelConfig& config, const TrainShape& shape, bool logits = false);

struct ServeShape {
  int64_t tokens = 256, seqs = 16, rows = 16;  // capacities of the live axes
  int64_t blocks = 64, block = 16;             // KV pool per layer
  int64_t seq_blocks = 16;                     // longest sequence, in blocks
  int64_t context = 0;                         // and in tokens; 0: as many as those blocks hold
  DType dtype = DType::f32;                    // storage of matrices; activations are f32
  DType cache = DType::f32;
};
// One flat, ragged batch. Inputs, i32: ids, positions, slots, seqs [tokens?]; tables [seqs?, seq_blocks];
// rows [rows?]: which tokens' logits are wanted. Output: logits f32[rows?, vocab]. States: parameters and
// "cache.<layer>.{k,v}".
ir::Graph serve_graph(const io::ModelConfig& config, const ServeShape& shape);
// With parameters as given (in_panels), which must be those of parameters(config, shape.dtype, f32)
// otherwise.
ir::Graph serve_graph(const io::ModelConfig& config, const ServeShape& shape,
                      const std::vector<Parameter>& parameters);

// Parameters of the model, counted once when tied.
int64_t parameter_count(const io::ModelConfig& config);
// Bytes of KV per token over all layers.
int64_t cache_bytes_per_token(const io::ModelConfig& config, DType cache);

}  // namespace hoist::models
