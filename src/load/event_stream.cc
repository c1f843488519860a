#include "load/event_stream.h"

#include "base/error.h"

namespace hoist::load {

void EventStream::feed(std::string_view bytes, FunctionRef<void(std::string_view)> event) {
  while (!bytes.empty()) {
    if (after_cr_) {
      after_cr_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    const size_t end = bytes.find_first_of("\r\n");
    if (line_.size() + (end == bytes.npos ? bytes.size() : end) > kMaxEvent)
      throw_corrupt("event stream: a line is too long");
    if (end == bytes.npos) {
      line_ += bytes;
      return;
    }
    after_cr_ = bytes[end] == '\r';
    if (line_.empty()) {
      on_line(bytes.substr(0, end), event);
    } else {
      line_ += bytes.substr(0, end);
      on_line(line_, event);
      line_.clear();
    }
    bytes.remove_prefix(end + 1);
  }
}

void EventStream::on_line(std::string_view line, FunctionRef<void(std::string_view)> event) {
  if (first_line_ && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  first_line_ = false;
  if (line.empty()) {
    if (has_data_) event(data_);
    has_data_ = false;
    data_.clear();
    return;
  }
  const size_t colon = line.find(':');
  if (line.substr(0, colon) != "data") return;
  std::string_view value = colon == line.npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (data_.size() + value.size() + 1 > kMaxEvent) throw_corrupt("event stream: an event is too long");
  if (has_data_) data_ += '\n';
  has_data_ = true;
  data_ += value;
}

}  // namespace hoist::load
