// Errors that are the user's to mend: a typed exception with what was wrong, where, and what to do.
//
// Thrown while building, planning, loading or admitting; never from inside a running plan (see DESIGN
// in docs/architecture.md, "Errors by blame"). Our own mistakes go to HOIST_CHECK (base/check.h).
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace hoist {

enum class ErrorCode {
  kInvalidArgument,    // a flag, a request field, an attribute of an op
  kNotFound,           // a file, a tensor, a model
  kUnsupported,        // well-formed, but we do not do it; the message names the field
  kCorrupt,            // a file that breaks its own format
  kIo,                 // the operating system refused
  kResourceExhausted,  // memory, disk, blocks, queue
  kUnavailable,        // try again later
};

// A short stable name: "invalid_argument", ...
std::string_view error_code_name(ErrorCode code);

class Error : public std::runtime_error {
 public:
  // `message` leads with the file, field or op: "config.json: hidden_size: found -1, expected 1..1048576".
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

[[noreturn]] void throw_invalid(const std::string& message);      // kInvalidArgument
[[noreturn]] void throw_not_found(const std::string& message);    // kNotFound
[[noreturn]] void throw_unsupported(const std::string& message);  // kUnsupported
[[noreturn]] void throw_corrupt(const std::string& message);      // kCorrupt
// kIo; appends strerror(errno_value).
[[noreturn]] void throw_io(const std::string& message, int errno_value);

}  // namespace hoist
