// PythonCall: reads one call of a Python list, as Llama 3.2 and 4 write them where their templates ask for
// it:
//   [get_weather(city='San Francisco', days=3), now()]
//
// Values are literals - strings, numbers, True, False, None, lists, dictionaries with strings as keys - and
// become JSON as they arrive. What only begins so, like [f(x)], has no name yet where it fails.
#pragma once

#include <set>

#include "serve/call_reader.h"

namespace hoist::serve {

class PythonCall final : public CallReader {
 public:
  static constexpr size_t kMaxDepth = 256;

 private:
  enum class At : uint8_t { kName, kKeyOrEnd, kKey, kEquals, kValue, kText, kWord, kBehind };
  void take(char c) override;
  void take_key(char c);
  void take_value(char c);
  void take_text(char c);
  void take_behind(char c);
  void begin_value();
  void end_escape();
  void end_word();
  void close();
  void end_call();

  At at_ = At::kName;
  std::string function_, held_;  // the name before it is certain; a key or a word so far
  std::string stack_;            // closing brackets that are due inside a value
  std::string escape_;           // of a string, begun and not ended
  char quote_ = 0;
  std::set<std::string> keys_;
  bool opened_ = false;    // the arguments' object has begun
  bool comma_ = false;     // in a list or dictionary: one is due before the next value
  bool may_end_ = false;   // its end may come instead of a value
  bool dict_key_ = false;  // the value is a dictionary's key
};

}  // namespace hoist::serve
