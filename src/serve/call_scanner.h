// CallScanner: reads one tool call, {"name": ..., "arguments": {...}}, from text that arrives in pieces.
//
// Members may come in any order; "parameters" is another name for the arguments, others are skipped. What is
// emitted is the text as the model wrote it. Linear in the text, no recursion; nesting beyond kMaxDepth
// fails.
#pragma once

#include <string>
#include <string_view>

namespace hoist::serve {

class CallScanner {
 public:
  static constexpr size_t kMaxDepth = 256, kMaxName = 256;
  enum class State : uint8_t { kOpen, kDone, kFailed };

  // Takes bytes up to the end of the object or the first that cannot be; returns how many. Appends to
  // arguments() what is new of them.
  size_t feed(std::string_view text);
  State state() const { return state_; }
  // The name is known, so the call is certain. Failing later only ends the arguments early.
  bool named() const { return !name_.empty(); }
  bool behind_value() const { return at_ == At::kNext; }  // between two members, or a member and the end
  const std::string& name() const { return name_; }
  // What is new of the arguments since the last call; nothing before the name is known.
  std::string take_arguments();

 private:
  enum class At : uint8_t { kBegin, kKeyOrEnd, kKey, kKeyText, kColon, kValue, kInValue, kNext };
  void take(char c);
  bool end_value();
  void fail() { state_ = State::kFailed; }

  State state_ = State::kOpen;
  At at_ = At::kBegin;
  bool in_string_ = false, escaped_ = false;
  std::string stack_;  // closing brackets that are due inside a value
  std::string key_, value_, name_, arguments_;
  bool has_arguments_ = false, streaming_ = false;
};

}  // namespace hoist::serve
