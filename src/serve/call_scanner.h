// CallScanner: reads one tool call, {"name": ..., "arguments": {...}}, from text that arrives in pieces.
//
// Members may come in any order; "parameters" is another name for the arguments, others are skipped. What is
// emitted is the text as the model wrote it. Linear in the text, no recursion; nesting beyond kMaxDepth
// fails.
#pragma once

#include "serve/call_reader.h"

namespace hoist::serve {

class CallScanner final : public CallReader {
 public:
  static constexpr size_t kMaxDepth = 256;
  bool behind_value() const { return at_ == At::kNext; }  // between two members, or a member and the end

 private:
  enum class At : uint8_t { kBegin, kKeyOrEnd, kKey, kKeyText, kColon, kValue, kInValue, kNext };
  void take(char c) override;
  bool end_value();

  At at_ = At::kBegin;
  bool in_string_ = false, escaped_ = false;
  std::string stack_;  // closing brackets that are due inside a value
  std::string key_, value_;
  bool has_arguments_ = false, streaming_ = false;
};

}  // namespace hoist::serve
