#include "serve/access_log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "io/json.h"

namespace hoist::serve {

namespace {

constexpr size_t kMaxShown = 200;  // bytes of a path or a message

std::string printable(std::string_view text) {
  std::string out;
  for (const unsigned char c : text.substr(0, kMaxShown)) {
    if (c < 0x20 || c >= 0x7f || c == '\\') {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return out;
}

}  // namespace

LogFormat parse_log_format(std::string_view text, const std::string& source) {
  if (text == "text") return LogFormat::kText;
  if (text == "json") return LogFormat::kJson;
  throw_invalid(source + ": found '" + std::string(text) + "', expected text or json");
}

std::string access_line(const http::Access& a, LogFormat format) {
  if (format == LogFormat::kJson)
    return fmt::format(
        R"("event":"request","id":"{:x}","method":{},"path":{},"status":{},"bytes":{},"ms":{:.1f},"tenant":{},"end":{})",
        a.id, io::json_quote(printable(a.method)), io::json_quote(printable(a.path)), a.status, a.bytes,
        1000 * a.seconds, io::json_quote(a.tenant), io::json_quote(a.end));
  std::string line = a.method.empty() ? "unreadable request" : printable(a.method) + " " + printable(a.path);
  line += fmt::format(" {} {} bytes {:.0f} ms, request {:x}", a.status, a.bytes, 1000 * a.seconds, a.id);
  if (!a.tenant.empty()) line += fmt::format(", tenant {}", a.tenant);
  if (a.end != "ok") line += fmt::format(", {}", a.end);
  return line;
}

struct AccessLog::State {
  LogFormat format;
  spdlog::logger logger{"hoist", std::make_shared<spdlog::sinks::stderr_sink_mt>()};

  void say(spdlog::level::level_enum level, std::string_view message) {
    if (format == LogFormat::kJson) {
      logger.log(level, R"("event":"message","message":{})", io::json_quote(message.substr(0, 2000)));
    } else {
      logger.log(level, "{}", printable(message));
    }
  }
};

AccessLog::AccessLog(LogFormat format) : state_(std::make_unique<State>()) {
  state_->format = format;
  state_->logger.set_pattern(format == LogFormat::kJson
                                 ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                                 : "%Y-%m-%d %H:%M:%S.%e %l %v",
                             spdlog::pattern_time_type::utc);
}
AccessLog::~AccessLog() = default;

void AccessLog::access(const http::Access& a) {
  state_->logger.log(a.status >= 500 ? spdlog::level::warn : spdlog::level::info, "{}",
                     access_line(a, state_->format));
}
void AccessLog::event(std::string_view message) { state_->say(spdlog::level::info, message); }
void AccessLog::problem(std::string_view message) { state_->say(spdlog::level::err, message); }

}  // namespace hoist::serve
