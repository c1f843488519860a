// An EncoderEngine without a model.
#pragma once

#include <vector>

#include "http/encoder_engine.h"

namespace hoist::http {

// Answers at once, on the caller's thread: vectors of the text's length and first letter; scores likewise.
class FakeEncoder : public EncoderEngine {
 public:
  EncoderInfo model{{"fake-encoder", 32, 1700000000}, 4, false, false, {}};
  std::vector<EncodeRequest> seen;
  bool fail = false;

  EncoderInfo info() const override { return model; }
  Handle submit(EncodeRequest request, EncodeSink sink) override {
    const int64_t n = request.ids.empty() ? static_cast<int64_t>(request.text.size())
                                          : static_cast<int64_t>(request.ids.size());
    if (n > 32 && !request.truncate) throw SequenceLengthError(n, 32);
    EncodeResult result;
    result.tokens = n;
    result.failed = fail;
    result.error = "broken";
    if (request.task == EncodeTask::kEmbed) {
      result.values = {static_cast<float>(n), 1, 0.1f, -2};
    } else if (model.labels.size() == 1) {
      result.values = {static_cast<float>(request.second ? request.second->size() : 0) - 3};
    } else {
      result.values = {0, 1, static_cast<float>(n)};
    }
    seen.push_back(std::move(request));
    sink(std::move(result));
    return seen.size();
  }
  void cancel(Handle) override {}
};

}  // namespace hoist::http
