// What a server of an encoder counts, in the text format that Prometheus reads.
//
// Names and meanings are those of the decoder's (metrics.h) where both have them; docs/operating.md lists
// them. A text or pair of texts is a sequence; a request may have many. Threading: any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace hoist::serve {

class EncoderMetrics {
 public:
  explicit EncoderMetrics(const std::string& model_name);
  ~EncoderMetrics();

  // The life of a sequence: queued(), then one of cached(), cancelled(), failed(), or a batch's. Seconds are
  // those since it was queued.
  void queued();
  void looked_up(bool hit);  // in the cache of answers
  void cached(double seconds, int64_t tokens);
  void cancelled();  // while it waited
  void failed();     // while it waited: the server ends
  void batch_began(int64_t sequences);
  // After batch_began, for each of its sequences; `waited` until the batch began.
  void computed(double waited, double seconds, int64_t tokens);
  void batch_ended(int64_t sequences, int64_t tokens, double seconds);

  // One HTTP request, of nobody or a tenant; status 0: its client left before an answer.
  void answered(int status, std::string_view tenant = {});
  std::string text();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hoist::serve
