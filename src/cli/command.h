// Commands and their flags, without the parser behind them: CLI11 is the largest header of this program, and
// only command.cc reads it.
//
// Every flag is also an environment variable: --top-k is HOIST_TOP_K. A Command or an Option is a handle that
// is valid as long as its Program.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace hoist::cli {

// "--repeat-penalty" -> "HOIST_REPEAT_PENALTY"
std::string env_name(const std::string& flag);

class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  Option& required();
  Option& envname(const std::string& name);  // for what is named by its position
  Option& range(int64_t low, int64_t high);  // both included
  Option& range(double low, double high);
  Option& repeated();  // of a vector: one value each time the flag is given
  Option& comma_separated();
  Option& excludes(const std::string& flag);

 private:
  CLI::Option* option_;
};

class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}
  Command command(const std::string& name, const std::string& description);
  void require_command();
  void footer(const std::string& text);
  void callback(std::function<void()> run);  // does the work; throws Error

  // T: std::string, int, int64_t, double, std::optional of a number, std::vector<std::string> or of numbers.
  // `name` is "model" for what is named by its position, "-n,--max-tokens" for a flag. `set` holds the
  // default, and the help text shows it; add_option shows none.
  template <class T>
  Option option(const std::string& name, T& set, const std::string& help);
  template <class T>
  Option add_option(const std::string& name, T& set, const std::string& help);
  void flag(const std::string& name, bool& set, const std::string& help);

 private:
  CLI::App* app_;
};

class Program {
 public:
  Program(const std::string& name, const std::string& description, const std::string& version);
  ~Program();
  Command root();
  // Runs the command that argv names. Returns the exit status: 2 if argv is wrong, after saying so on
  // standard error. Throws what the command throws.
  int run(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace hoist::cli
