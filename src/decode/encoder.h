// Encoder: turns sequences of tokens into vectors or class scores, many at once in one ragged batch without
// padding. Single-threaded and free of locks; whoever needs threads wraps it (serve/encoder_engine.h).
//
// What comes of a sequence does not depend on what shares its batch: the same bits, alone or not.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/threads.h"
#include "io/checkpoint_files.h"
#include "io/encoder_config.h"
#include "models/encoder.h"
#include "runtime/executor.h"
#include "runtime/plan_cache.h"
#include "text/tokenizer.h"

namespace hoist::decode {

// A folder opened for use: config, pooling, tokenizer and weight files, checked against each other.
struct EncoderModel {
  std::string folder, name;
  io::EncoderConfig config;
  io::PoolingConfig pooling;
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::unique_ptr<io::CheckpointFiles> files;
  std::string prefix;  // of the body's tensors: "bert.", ... or nothing
  // Benches have no files: this fills each parameter instead.
  std::function<void(const models::Parameter&, std::byte*)> draw;

  // Tokens of the longest sequence: of the model, or what the folder says it was made for.
  int64_t max_tokens() const;
};

// Throws Error naming the file. `path` is a folder with config.json, *.safetensors and tokenizer.json.
EncoderModel open_encoder(const std::string& path);

struct EncoderOptions {
  int threads = 0;              // 0: one per core
  int64_t batch_tokens = 1024;  // of one batch, at least the longest sequence's; more leave the caches
  int64_t batch_seqs = 256;
  bool weights_as_stored = true;  // false: f32
  bool pack = true;               // matrices in panels, which products are fastest from
  plan::BuildOptions build;
};

// One sequence, special tokens included.
struct EncoderInput {
  std::vector<int32_t> ids;    // not empty, at most max_tokens()
  std::vector<int32_t> types;  // empty: all 0
};

enum class EncoderTask { kEmbed, kClassify };

struct EncoderMemory {
  int64_t weights = 0, arena = 0, other = 0;
};

class Encoder {
 public:
  Encoder(const EncoderModel& model, const EncoderOptions& options);
  ~Encoder();

  int64_t max_tokens() const { return max_tokens_; }
  int64_t batch_tokens() const { return shape_.tokens; }
  int64_t batch_seqs() const { return shape_.seqs; }
  int64_t width(EncoderTask task) const;  // of a result: the model's width, or its labels; 0: cannot do it
  const EncoderMemory& memory() const { return memory_; }

  // Throws Error(kInvalidArgument) when the sequence could never run.
  void check(const EncoderInput& input, EncoderTask task) const;

  // Runs one batch, which keeps to batch_tokens and batch_seqs (CHECK); results by sequence, in order:
  // kEmbed the pooled vector, of unit length where the model's folder says so, kClassify the raw scores
  // (logits). Each input has passed check().
  void run(std::span<const EncoderInput* const> batch, std::span<const EncoderTask> tasks,
           std::vector<std::vector<float>>& results);

 private:
  void pool(const float* hidden, int64_t tokens, std::vector<float>& out) const;

  const EncoderModel& model_;
  models::EncoderShape shape_;
  int64_t max_tokens_ = 0;
  EncoderMemory memory_;
  std::unique_ptr<ThreadPool> threads_;
  std::unique_ptr<device::Device> device_;
  std::unique_ptr<runtime::StateStore> states_;
  std::unique_ptr<runtime::PlanCache> plans_;
  std::unique_ptr<runtime::Executor> executor_;
  // Inputs of the plan, of full capacity.
  std::vector<int32_t> ids_, positions_, segments_, types_, first_;
};

// What batches of some shapes take on this machine, measured now, for a scheduler to fit its costs to. Takes
// about two seconds, longer only where a few small batches do.
struct EncoderTiming {
  int64_t tokens = 0;
  double squares = 0;  // sum of squared lengths
  double seconds = 0;
};
std::vector<EncoderTiming> time_encoder(Encoder& encoder);

}  // namespace hoist::decode
