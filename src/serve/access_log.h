// The server's log on standard error: one line per request and per event, as text or as JSON. Never a prompt,
// never a key: only what http::Access holds, cut and escaped.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http/server.h"

namespace hoist::serve {

enum class LogFormat { kText, kJson };
// "text" or "json"; throws Error(kInvalidArgument) led by `source`.
LogFormat parse_log_format(std::string_view text, const std::string& source);

// What one request's line says, after its time and level (text), or all of it but those (JSON members).
std::string access_line(const http::Access& access, LogFormat format);

class AccessLog {
 public:
  explicit AccessLog(LogFormat format);
  ~AccessLog();
  void access(const http::Access& access);
  void event(std::string_view message);    // something worth knowing
  void problem(std::string_view message);  // something to look into

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hoist::serve
