// CallReader: reads one tool call, in one of the forms that models write, from text that arrives in pieces.
//
// Byte by byte, without recursion, in time linear in the text: how it was cut changes nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hoist::serve {

class CallReader {
 public:
  static constexpr size_t kMaxName = 256;
  enum class State : uint8_t { kOpen, kDone, kFailed };
  virtual ~CallReader() = default;

  // Takes bytes up to the end of the call or the first that cannot be; returns how many.
  size_t feed(std::string_view text) {
    size_t i = 0;
    while (i < text.size() && state_ == State::kOpen) take(text[i++]);
    return i;
  }
  State state() const { return state_; }
  // The name is known, so the call is certain. Failing later only ends the arguments early.
  bool named() const { return !name_.empty(); }
  const std::string& name() const { return name_; }
  // What is new of the arguments, as JSON, since the last call; nothing before the name is known.
  std::string take_arguments() {
    if (!named()) return "";
    std::string out = std::move(arguments_);
    arguments_.clear();
    return out;
  }

 protected:
  virtual void take(char c) = 0;
  void fail() { state_ = State::kFailed; }

  State state_ = State::kOpen;
  std::string name_, arguments_;
};

// Appends a byte of UTF-8 or ASCII, or a character that is no surrogate, as a JSON string has it.
void add_json_char(char c, std::string& out);
void add_json_code(uint32_t code, std::string& out);

// Spaces, tabs and line ends, as all the forms have them between their parts.
inline constexpr std::string_view kBlanks = " \t\r\n";
inline bool is_blank(char c) { return kBlanks.find(c) != std::string_view::npos; }

}  // namespace hoist::serve
