// hoist: one binary, a sub-command for each thing a user does.
#include <cstdio>

#include "autotune/schedule_file.h"
#include "base/error.h"
#include "cli/options.h"

int main(int argc, char** argv) {
  CLI::App app{"Hoist trains and serves transformers bigger than the machine they run on.", "hoist"};
  app.set_version_flag("--version", std::string("hoist ") + HOIST_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  hoist generate path/to/model -p \"Once upon a time\"\n"
      "  hoist train recipes/start.toml steps=500\n"
      "  hoist serve path/to/model --port 8080\n"
      "  hoist quantize path/to/model --to q4_k\n\n"
      "Every flag is also an environment variable: --top-k is HOIST_TOP_K. `hoist COMMAND --help` says "
      "more.");
  hoist::cli::add_generate(app);
  hoist::cli::add_serve(app);
  hoist::cli::add_train(app);
  hoist::cli::add_inspect(app);
  hoist::cli::add_quantize(app);
  hoist::cli::add_tokenize(app);
  hoist::cli::add_bench(app);
  hoist::cli::add_tune(app);
  hoist::cli::add_simulate(app);
  hoist::autotune::use_saved_schedules();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const hoist::Error& e) {
    std::fprintf(stderr, "hoist: %s\n", e.what());
    return e.code() == hoist::ErrorCode::kInvalidArgument ? 2 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "hoist: %s\n", e.what());
    return 1;
  }
  return 0;
}
