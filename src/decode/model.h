// Model: a Hugging Face folder or a GGUF file opened for use - config, sampling defaults, tokenizer and
// weight files, all checked against each other before any weight is read.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/checkpoint_files.h"
#include "io/gguf.h"
#include "io/model_config.h"
#include "models/lm.h"
#include "runtime/state.h"
#include "text/tokenizer.h"

namespace hoist::decode {

struct Model {
  std::string folder;  // or the GGUF file's path
  std::string name;    // the path's last part
  io::ModelConfig config;
  io::GenerationConfig generation;
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::unique_ptr<io::CheckpointFiles> files;
  std::shared_ptr<const io::GgufSet> gguf;  // null for a folder
  std::vector<int32_t> eos_ids;             // of generation_config.json, else of config.json
  // Benches have no files: this fills each parameter instead, its matrices of this dtype.
  std::function<void(const models::Parameter&, std::byte*)> draw;
  DType drawn_dtype = DType::f32;
  Symbol drawn_format;  // of its matrices; empty: dense

  bool is_eos(int32_t id) const;
  // The block format a parameter's tensor is stored in; empty: dense.
  Symbol block_format(const models::Parameter& p) const;
  // The dtype most dense weight bytes are stored in: f32, bf16 or f16 (f16, and weights in blocks, are served
  // as f32).
  DType stored_dtype() const;
};

// The ids a prompt becomes. An empty one begins a text: the special tokens, then the tokenizer's mark of a
// text's start. Throws Error when nothing at all comes of it.
std::vector<int32_t> encode_prompt(const Model& model, std::string_view text, bool add_special_tokens = true);

// Throws Error naming the file. The tokenizer must not have more tokens than the model has rows.
// `path` is a folder, or a .gguf file (any part of a split one).
Model open_model(const std::string& path);

// Reads every parameter into its state (declared beforehand). Throws Error naming tensor, shape found and
// shape expected; tensors in the files that the model has no use for are refused by name, so that nothing is
// silently lost.
void load_weights(const Model& model, const std::vector<models::Parameter>& parameters,
                  runtime::StateStore& states);

// The same from a function instead of files: `draw` fills each parameter as the checkpoint would hold it.
void draw_weights(const std::function<void(const models::Parameter&, std::byte*)>& draw,
                  const std::vector<models::Parameter>& parameters, runtime::StateStore& states);

// The same without a tokenizer, into any memory: `destination(parameter)` gives contiguous storage of its
// type. `partial`: the list is not all of the model, so nothing is said of the files' other tensors.
void load_weights(const io::ModelConfig& config, const io::CheckpointFiles& files,
                  const std::vector<models::Parameter>& parameters,
                  FunctionRef<std::byte*(const models::Parameter&)> destination, bool partial = false);
// Refuses tensors that no parameter comes from.
void check_tensors(const io::ModelConfig& config, const io::CheckpointFiles& files,
                   const std::vector<models::Parameter>& parameters);

// Writes parameters as the checkpoint tensors they came from. `source(parameter)` gives contiguous f32 or
// bf16 data of the parameter's type, with its dtype; it is read until kMostJoined others have been asked for.
constexpr size_t kMostJoined = 4;  // parameters that one tensor is joined from
struct WeightData {
  const std::byte* data;
  DType dtype;
};
std::vector<std::pair<std::string, io::FileDigest>> save_weights(
    const std::string& folder, const std::vector<models::Parameter>& parameters, DType stored,
    FunctionRef<WeightData(const models::Parameter&)> source);

}  // namespace hoist::decode
