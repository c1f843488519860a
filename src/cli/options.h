// Command-line helpers: every flag is also an environment variable (--top-k is HOIST_TOP_K), every command
// has an example, byte sizes read as 512MiB or 2GB.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace hoist::cli {

// "--repeat-penalty" -> "HOIST_REPEAT_PENALTY"
std::string env_name(const std::string& flag);

template <class T>
CLI::Option* option(CLI::App& app, const std::string& flag, T& variable, const std::string& help) {
  const std::string longest = flag.substr(flag.find("--"));
  return app.add_option(flag, variable, help)->envname(env_name(longest))->capture_default_str();
}

inline CLI::Option* flag(CLI::App& app, const std::string& name, bool& variable, const std::string& help) {
  return app.add_flag(name, variable, help)->envname(env_name(name.substr(name.find("--"))));
}

// "512MiB" -> bytes; throws Error naming `flag`.
int64_t parse_bytes(const std::string& text, const std::string& flag);
// 1536 -> "1.50 KiB"
std::string human_bytes(int64_t bytes);
// 1100000 -> "1.1 M"
std::string human_count(int64_t n);

// Each adds one sub-command; its callback does the work and throws Error.
void add_generate(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_inspect(CLI::App& app);
void add_train(CLI::App& app);
void add_serve(CLI::App& app);
void add_quantize(CLI::App& app);
void add_bench(CLI::App& app);
void add_tune(CLI::App& app);
void add_simulate(CLI::App& app);

}  // namespace hoist::cli
