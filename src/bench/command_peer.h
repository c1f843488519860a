// Any program as a peer: a shell command that prints tokens per second somewhere in its output.
#pragma once

#include <string>
#include <vector>

namespace hoist::bench {

struct CommandPeer {
  std::string row;      // of ours it is measured against: "prompt", "decode", "train"
  std::string name;     // "llama.cpp"
  std::string key;      // the number after the last occurrence of this word is taken
  std::string command;  // given to sh -c
};

// "ROW:NAME=COMMAND" or "ROW:NAME:KEY=COMMAND"; KEY is tokens_per_second unless given. Throws Error, also for
// a row that is not among `rows`.
CommandPeer parse_command_peer(const std::string& text, const std::vector<std::string>& rows);

// Runs it and waits; its standard error goes to ours. Throws Error when it fails or prints no such number.
double run_command_peer(const CommandPeer& peer);

// The number after the last occurrence of `key` in `text`, past quotes, colons, equal signs and blanks;
// 0 when there is none, or it is not positive and finite.
double number_after(const std::string& text, const std::string& key);

}  // namespace hoist::bench
