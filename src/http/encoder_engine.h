// What the embedding and scoring API needs of whatever computes: the seam between sockets and encoders.
//
// The server never sees a tensor and the engine never sees a socket. An engine runs on its own thread; submit
// and cancel are called on the server's io thread and must not wait for a batch.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "http/completion_engine.h"

namespace hoist::http {

enum class EncodeTask {
  kEmbed,    // the pooled vector
  kClassify  // the head's raw scores, one per label
};

// One sequence, or a pair of texts as the model was trained to see pairs.
struct EncodeRequest {
  EncodeTask task = EncodeTask::kEmbed;
  std::string text;                   // UTF-8; used when `ids` is empty
  std::optional<std::string> second;  // the pair's other text
  std::vector<int64_t> ids;           // >= 0, special tokens included; the engine checks them
  bool truncate = false;              // cut to the model's longest sequence instead of refusing
};

struct EncodeResult {
  std::vector<float> values;
  int64_t tokens = 0;   // of the sequence
  bool failed = false;  // then nothing but these two counts
  ErrorCode error_code = ErrorCode::kUnavailable;
  std::string error;
};

// Called once, on the engine's thread; must return quickly and not throw.
using EncodeSink = std::function<void(EncodeResult result)>;

// submit() throws this for a sequence longer than the model's longest. Both numbers are in the message.
class SequenceLengthError : public Error {
 public:
  SequenceLengthError(int64_t tokens, int64_t most)
      : Error(ErrorCode::kInvalidArgument, "found " + std::to_string(tokens) + " tokens, expected at most " +
                                               std::to_string(most) +
                                               "; \"truncate\": true cuts what is longer") {}
};

struct EncoderInfo {
  ModelInfo model;
  int64_t dimensions = 0;           // of a vector
  bool shorter = false;             // whether a vector's beginning is a vector, too
  bool unit = false;                // vectors have unit length
  std::vector<std::string> labels;  // of the head; empty: none
};

class EncoderEngine {
 public:
  using Handle = uint64_t;
  virtual ~EncoderEngine() = default;
  virtual EncoderInfo info() const = 0;
  // Throws SequenceLengthError; Error(kInvalidArgument) for ids outside the
  // vocabulary; Error(kResourceExhausted) when the queue is full (answered 429). After a throw the sink is
  // never called.
  virtual Handle submit(EncodeRequest request, EncodeSink sink) = 0;
  // The sink may still be called until this returns, and is then dropped. Unknown or finished handles are
  // ignored.
  virtual void cancel(Handle handle) = 0;
};

}  // namespace hoist::http
