#include "base/error.h"

#include <cstring>

namespace hoist {

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "invalid_argument";
    case ErrorCode::kNotFound: return "not_found";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kCorrupt: return "corrupt";
    case ErrorCode::kIo: return "io";
    case ErrorCode::kResourceExhausted: return "resource_exhausted";
    case ErrorCode::kUnavailable: return "unavailable";
  }
  return "unknown";
}

void throw_invalid(const std::string& message) { throw Error(ErrorCode::kInvalidArgument, message); }
void throw_not_found(const std::string& message) { throw Error(ErrorCode::kNotFound, message); }
void throw_unsupported(const std::string& message) { throw Error(ErrorCode::kUnsupported, message); }
void throw_corrupt(const std::string& message) { throw Error(ErrorCode::kCorrupt, message); }
void throw_io(const std::string& message, int errno_value) {
  throw Error(ErrorCode::kIo, message + ": " + std::strerror(errno_value));
}

}  // namespace hoist
