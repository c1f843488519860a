// HOIST_CHECK: an invariant of ours. Failing it is our bug, so it aborts with the place and the reason.
// Nothing that comes from a file, a flag or a request may ever reach one: those throw Error.
#pragma once

#include <string>

namespace hoist {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);
}  // namespace hoist

// `message` is evaluated only when the condition fails.
#define HOIST_CHECK(condition, message)                                                 \
  do {                                                                                  \
    if (!(condition)) ::hoist::check_failed(__FILE__, __LINE__, #condition, (message)); \
  } while (0)
