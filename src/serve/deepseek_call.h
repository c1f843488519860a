// DeepSeekCall: reads a tool call as DeepSeek V3 and R1 write it,
//   <｜tool▁call▁begin｜>function<｜tool▁sep｜>name ```json {...} ```<｜tool▁call▁end｜>
// or V3.1,
//   <｜tool▁call▁begin｜>name<｜tool▁sep｜>{...}<｜tool▁call▁end｜>
#pragma once

#include "serve/call_reader.h"
#include "serve/call_scanner.h"

namespace hoist::serve {

class DeepSeekCall final : public CallReader {
 public:
  static constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>",
                                    kCallsEnd = "<｜tool▁calls▁end｜>";
  static constexpr std::string_view kBegin = "<｜tool▁call▁begin｜>", kEnd = "<｜tool▁call▁end｜>",
                                    kSeparator = "<｜tool▁sep｜>";

 private:
  enum class At : uint8_t { kMark, kHead, kLead, kArguments, kTail };
  void take(char c) override;
  void begin_arguments();

  At at_ = At::kMark;
  std::string held_, head_;
  CallScanner scanner_;
};

}  // namespace hoist::serve
