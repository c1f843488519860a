#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace hoist {

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  std::fprintf(stderr, "hoist: internal error at %s:%d: %s: %s\n", file, line, condition, message.c_str());
  std::abort();
}

}  // namespace hoist
