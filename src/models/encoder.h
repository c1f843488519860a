// Encoders of the BERT family: from a config to the graph that serves them, and to the list of parameters
// with their names in Hugging Face files.
//
// BERT (Devlin et al., 2018), RoBERTa and XLM-RoBERTa (Liu et al., 2019), DistilBERT (Sanh et al., 2019):
// learned positions and token types, attention in both directions, layer norm after each residual sum.
#pragma once

#include "io/encoder_config.h"
#include "models/lm.h"

namespace hoist::models {

// In order of declaration. Tensor names have no prefix: files come with "bert.", "roberta.", "distilbert." or
// none, and whoever loads them knows which. The classification head's names are never prefixed.
std::vector<Parameter> parameters(const io::EncoderConfig& config, DType dtype);

// Whether `name`, without its prefix, belongs to a part that serving does not need: the pooler of a model
// without a head, a language model's head, tables of position numbers.
bool ignorable_tensor(const io::EncoderConfig& config, const std::string& name);

struct EncoderShape {
  int64_t tokens = 4096, seqs = 64;  // capacities of the live axes
  DType dtype = DType::f32;          // storage of matrices; activations are f32
};
// One flat, ragged batch without padding. Inputs, i32: ids, positions, segments [tokens?]; with token types
// also types [tokens?]; with a head also first [seqs?], each sequence's first token. Segments rise in steps
// from 0. The keys' live axis `keys` has the length of `tokens`. Outputs: hidden f32[tokens?, model], the
// last layer; with a head also logits f32[seqs?, label].
ir::Graph encoder_graph(const io::EncoderConfig& config, const EncoderShape& shape,
                        const std::vector<Parameter>& parameters);

int64_t parameter_count(const io::EncoderConfig& config);

}  // namespace hoist::models
