// What a family's file provides to lm.cc: its parameters and its transformer, from embeddings to the final
// norm.
#pragma once

#include <unordered_map>

#include "models/lm.h"
#include "nn/layers.h"

namespace hoist::models {

// Declares every parameter as a state and finds them by name.
class Weights {
 public:
  Weights(ir::Builder& b, const std::vector<Parameter>& list, bool train, bool train_biases);
  ir::ValueId operator[](const std::string& name) const;
  bool has(const std::string& name) const { return values_.count(name) != 0; }
  // kNoValue when the model has no such (bias) parameter.
  ir::ValueId maybe(const std::string& name) const;

 private:
  std::unordered_map<std::string, ir::ValueId> values_;
};

struct Forward {
  ir::Builder& b;
  const io::ModelConfig& config;
  const Weights& weights;
  nn::AttentionContext attention;
  ir::ValueId ids;        // i32 [lead...]
  ir::ValueId positions;  // i32 [seq] or [tokens]
  DType activations;
  int64_t context = 0;  // the longest text it is built for
};

struct FamilyDef {
  std::vector<Parameter> (*parameters)(const io::ModelConfig& config, DType dtype, DType norms);
  // -> [lead..., model], before the final norm.
  ir::ValueId (*blocks)(const Forward& f);
  ir::ValueId (*final_norm)(const Forward& f, ir::ValueId x);
  const char* head;       // name of the output matrix [vocab, model] when it is not tied
  const char* embedding;  // and when it is
};

const FamilyDef& llama_family();  // every family but GPT-2
const FamilyDef& gpt2_family();
const FamilyDef& family(const io::ModelConfig& config);

nn::Activation activation(io::Activation a);

// moe.cc: the parameters of a layer's mixture of experts, and what it makes of h [lead..., model].
void moe_parameters(const io::ModelConfig& config, int64_t layer, DType dtype, std::vector<Parameter>& out);
ir::ValueId moe_mlp(const Forward& f, int64_t layer, ir::ValueId h);

// Shared by the families' parameter lists.
Parameter parameter(std::string name, DType dtype, const ir::Dims& dims, std::vector<int64_t> shape,
                    Init init, bool bias = false);

}  // namespace hoist::models
