// Server-sent events: bytes in any pieces, the data of whole events out.
//
// Source: the HTML standard, section 9.2.6 (event streams). Comments and the fields event, id and retry are
// passed over, since completions use none of them. What has not ended with a blank line is never an event.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/function_ref.h"

namespace hoist::load {

class EventStream {
 public:
  static constexpr size_t kMaxEvent = 16 << 20;  // bytes of one event's data, or of one line

  // Calls `event` with the data of each event that these bytes complete; the view lives during the call.
  // Throws Error(kCorrupt) when an event grows beyond kMaxEvent.
  void feed(std::string_view bytes, FunctionRef<void(std::string_view)> event);

 private:
  void on_line(std::string_view line, FunctionRef<void(std::string_view)> event);

  std::string line_;  // begun, not ended
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;  // a line feed now ends no line of its own
  bool first_line_ = true;
};

}  // namespace hoist::load
