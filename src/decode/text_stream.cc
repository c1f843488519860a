#include "decode/text_stream.h"

#include <algorithm>

namespace hoist::decode {

std::string TextStream::settle(std::string text, bool last, bool may_stop) {
  held_ += text;
  size_t first = std::string::npos;
  for (const std::string& s : options_.stops)
    if (!s.empty() && may_stop) first = std::min(first, held_.find(s));
  if (first != std::string::npos) {
    stopped_ = true;
    std::string out = held_.substr(0, first);
    held_.clear();
    return out;
  }
  // The longest end of the held text that begins a stop string stays back.
  size_t keep = 0;
  if (!last)
    for (const std::string& s : options_.stops)
      for (size_t n = std::min(s.size(), held_.size() + 1); n-- > keep + 1;)
        if (held_.compare(held_.size() - n, n, s, 0, n) == 0) keep = n;
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

}  // namespace hoist::decode
