// Models of a named shape with random weights, in memory alone: a speed needs no training.
#pragma once

#include <string>

#include "decode/model.h"
#include "io/model_config.h"

namespace hoist::bench {

// "llama-1.1b", "gpt2-124m" or "tiny" (for tests). The longest sequence is `context` at least. Throws
// Error(kInvalidArgument) naming the flag.
io::ModelConfig shape_config(const std::string& shape, int64_t context = 0);

// How weights are stored: a dense dtype, or a block format by name. Throws
// Error(kInvalidArgument) for names of neither.
struct WeightStorage {
  DType dtype = DType::f32;
  Symbol format;  // empty: dense
};
WeightStorage weight_storage(const std::string& quant);

// Without files and without a tokenizer; the engine draws each parameter when it is built.
decode::Model random_model(const std::string& shape, const std::string& quant, int64_t context);
// Fills one parameter: matrices around zero, norms one, biases zero; no value is large, NaN or denormal.
void draw_parameter(const models::Parameter& parameter, std::byte* to);

// What a token costs at the least, from the parameter list.
struct ModelCost {
  double layers = 0;        // weights of the linear layers that every token meets
  double head = 0;          // weights of the vocabulary layer
  double weight_bytes = 0;  // of both, as stored
  double parameters = 0;    // all
  double norm_width = 0;    // sum of the widths of all norms
};
ModelCost model_cost(const io::ModelConfig& config, const WeightStorage& storage);

}  // namespace hoist::bench
