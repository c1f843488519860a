// TextStream: tokens to text as they come, ended by stop strings. Text that may still become a stop string is
// held back, so that no part of one is ever shown.
#pragma once

#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace hoist::decode {

class TextStream {
 public:
  TextStream(const text::Tokenizer& tokenizer, std::vector<std::string> stops)
      : decoder_(tokenizer), stops_(std::move(stops)) {}

  // Text that is certain now. After a stop string was found (stopped()), feed nothing more.
  std::string feed(int32_t token) { return settle(decoder_.feed(token), false); }
  std::string finish() { return stopped_ ? "" : settle(decoder_.finish(), true); }
  bool stopped() const { return stopped_; }

 private:
  std::string settle(std::string text, bool last);
  text::StreamDecoder decoder_;
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace hoist::decode
