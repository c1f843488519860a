// TextStream: tokens to text as they come, ended by stop strings. Text that may still become a stop string is
// held back, so that no part of one is ever shown.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace hoist::decode {

struct TextStreamOptions {
  std::vector<std::string> stops;
  bool at_start = true;        // see text::StreamDecoder
  std::vector<int32_t> shown;  // special tokens to write out, such as [TOOL_CALLS]; others write nothing
};

class TextStream {
 public:
  TextStream(const text::Tokenizer& tokenizer, std::vector<std::string> stops)
      : TextStream(tokenizer, TextStreamOptions{std::move(stops), true, {}}) {}
  TextStream(const text::Tokenizer& tokenizer, TextStreamOptions options)
      : tokenizer_(&tokenizer), decoder_(tokenizer, false, options.at_start), options_(std::move(options)) {}

  // Text that is certain now. After a stop string was found (stopped()), feed nothing more. With `may_stop`
  // false no stop string is looked for in the text so far.
  std::string feed(int32_t token, bool may_stop = true) {
    return settle(skipped(token) ? "" : decoder_.feed(token), !may_stop, may_stop);
  }
  std::string finish(bool may_stop = true) {
    return stopped_ ? "" : settle(decoder_.finish(), true, may_stop);
  }
  bool stopped() const { return stopped_; }

 private:
  bool skipped(int32_t token) const {
    return tokenizer_->is_special(token) &&
           std::find(options_.shown.begin(), options_.shown.end(), token) == options_.shown.end();
  }
  std::string settle(std::string text, bool last, bool may_stop);
  const text::Tokenizer* tokenizer_;
  text::StreamDecoder decoder_;
  TextStreamOptions options_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace hoist::decode
