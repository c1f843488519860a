#include "cli/command.h"

#include <CLI/CLI.hpp>
#include <cctype>
#include <optional>
#include <utility>
#include <vector>

namespace hoist::cli {

std::string env_name(const std::string& flag) {
  std::string out = "HOIST_";
  for (char c : flag.substr(flag.find_first_not_of('-')))
    out += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

Option& Option::required() {
  option_->required();
  return *this;
}

Option& Option::envname(const std::string& name) {
  option_->envname(name);
  return *this;
}

Option& Option::range(int64_t low, int64_t high) {
  option_->check(CLI::Range(low, high));
  return *this;
}

Option& Option::range(double low, double high) {
  option_->check(CLI::Range(low, high));
  return *this;
}

Option& Option::repeated() {
  option_->expected(1)->take_all();
  return *this;
}

Option& Option::comma_separated() {
  option_->delimiter(',');
  return *this;
}

Option& Option::excludes(const std::string& flag) {
  option_->excludes(flag);
  return *this;
}

Command Command::command(const std::string& name, const std::string& description) {
  return Command(app_->add_subcommand(name, description));
}

void Command::require_command() { app_->require_subcommand(1); }

void Command::footer(const std::string& text) { app_->footer(text); }

void Command::callback(std::function<void()> run) { app_->callback(std::move(run)); }

template <class T>
Option Command::add_option(const std::string& name, T& set, const std::string& help) {
  CLI::Option* option = app_->add_option(name, set, help);
  const size_t longest = name.find("--");
  if (longest != std::string::npos) option->envname(env_name(name.substr(longest)));
  return Option(option);
}

template <class T>
Option Command::option(const std::string& name, T& set, const std::string& help) {
  CLI::Option* option = app_->add_option(name, set, help)->capture_default_str();
  const size_t longest = name.find("--");
  if (longest != std::string::npos) option->envname(env_name(name.substr(longest)));
  return Option(option);
}

void Command::flag(const std::string& name, bool& set, const std::string& help) {
  app_->add_flag(name, set, help)->envname(env_name(name.substr(name.find("--"))));
}

template Option Command::option(const std::string&, std::string&, const std::string&);
template Option Command::option(const std::string&, int&, const std::string&);
template Option Command::option(const std::string&, int64_t&, const std::string&);
template Option Command::option(const std::string&, double&, const std::string&);
template Option Command::add_option(const std::string&, std::string&, const std::string&);
template Option Command::add_option(const std::string&, std::optional<double>&, const std::string&);
template Option Command::add_option(const std::string&, std::optional<int64_t>&, const std::string&);
template Option Command::add_option(const std::string&, std::optional<uint64_t>&, const std::string&);
template Option Command::add_option(const std::string&, std::vector<std::string>&, const std::string&);
template Option Command::add_option(const std::string&, std::vector<double>&, const std::string&);
template Option Command::add_option(const std::string&, std::vector<int32_t>&, const std::string&);

Program::Program(const std::string& name, const std::string& description, const std::string& version)
    : app_(std::make_unique<CLI::App>(description, name)) {
  app_->set_version_flag("--version", name + " " + version);
}

Program::~Program() = default;

Command Program::root() { return Command(app_.get()); }

int Program::run(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app_->exit(e) == 0 ? 0 : 2;
  }
  return 0;
}

}  // namespace hoist::cli
