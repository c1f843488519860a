#include "bench/command_peer.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"

namespace hoist::bench {

CommandPeer parse_command_peer(const std::string& text, const std::vector<std::string>& rows) {
  const size_t equals = text.find('=');
  const std::string head = text.substr(0, equals);
  const size_t colon = head.find(':');
  if (equals == std::string::npos || colon == std::string::npos || equals + 1 == text.size())
    throw_invalid("--peer: found '" + text + "', expected ROW:NAME=COMMAND or ROW:NAME:KEY=COMMAND");
  CommandPeer peer;
  peer.row = head.substr(0, colon);
  peer.name = head.substr(colon + 1);
  peer.key = "tokens_per_second";
  peer.command = text.substr(equals + 1);
  if (const size_t second = peer.name.find(':'); second != std::string::npos) {
    peer.key = peer.name.substr(second + 1);
    peer.name.resize(second);
  }
  if (std::find(rows.begin(), rows.end(), peer.row) == rows.end() || peer.name.empty() || peer.key.empty()) {
    std::string list;
    for (const std::string& r : rows) list += (list.empty() ? "" : ", ") + r;
    throw_invalid("--peer: found '" + head + "', expected ROW:NAME or ROW:NAME:KEY with a row of " + list);
  }
  return peer;
}

double number_after(const std::string& text, const std::string& key) {
  size_t at = text.rfind(key);
  if (at == std::string::npos) return 0;
  at = text.find_first_not_of("\"' \t:=", at + key.size());
  if (at == std::string::npos) return 0;
  const double value = std::strtod(text.c_str() + at, nullptr);
  return std::isfinite(value) && value > 0 ? value : 0;
}

double run_command_peer(const CommandPeer& peer) {
  std::fflush(stdout);
  std::FILE* pipe = popen(peer.command.c_str(), "r");
  if (!pipe) throw_io("--peer " + peer.name, errno);
  std::string output;
  char buffer[4096];
  while (size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) {
    output.append(buffer, n);
    // The number wanted is the last one: what came long before it may go.
    if (output.size() > (2u << 20)) output.erase(0, 1u << 20);
  }
  const int status = pclose(pipe);
  if (status != 0)
    throw Error(ErrorCode::kUnavailable, "--peer " + peer.name + ": found that the command failed (status " +
                                             std::to_string(status) + ")");
  const double value = number_after(output, peer.key);
  if (value == 0)
    throw_invalid("--peer " + peer.name + ": found no positive number after '" + peer.key +
                  "' in its output");
  return value;
}

}  // namespace hoist::bench
