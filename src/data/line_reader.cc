#include "data/line_reader.h"

#include <algorithm>

#include "base/error.h"

namespace hoist::data {

LineReader::LineReader(const std::string& path, size_t max_line)
    : bytes_of_(path), path_(path), max_line_(max_line) {}

bool LineReader::next(std::string_view& line) {
  size_t searched = at_;
  size_t end;
  while ((end = pending_.find('\n', searched)) == std::string::npos && !ended_) {
    searched = pending_.size() - at_;
    pending_.erase(0, at_);
    at_ = 0;
    if (pending_.size() > max_line_)
      throw_corrupt(path_ + ":" + std::to_string(line_ + 1) + ": found a line of more than " +
                    std::to_string(max_line_) + " bytes");
    ended_ = !bytes_of_.read(pending_);
  }
  if (end == std::string::npos) {
    if (at_ == pending_.size()) return false;
    end = pending_.size();
  }
  line = std::string_view(pending_).substr(at_, end - at_);
  bytes_ += static_cast<int64_t>(std::min(end + 1, pending_.size()) - at_);
  at_ = std::min(end + 1, pending_.size());
  ++line_;
  if (line.size() > max_line_)
    throw_corrupt(path_ + ":" + std::to_string(line_) + ": found a line of more than " +
                  std::to_string(max_line_) + " bytes");
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line_ == 1 && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  return true;
}

}  // namespace hoist::data
