// hoist: one binary, a sub-command for each thing a user does.
#include <cstdio>
#include <exception>

#include "autotune/schedule_file.h"
#include "base/error.h"
#include "cli/options.h"

int main(int argc, char** argv) {
  hoist::cli::Program program(
      "hoist", "Hoist trains and serves transformers bigger than the machine they run on.", HOIST_VERSION);
  hoist::cli::Command root = program.root();
  root.require_command();
  root.footer(
      "Examples:\n"
      "  hoist generate path/to/model -p \"Once upon a time\"\n"
      "  hoist train recipes/start.toml steps=500\n"
      "  hoist serve path/to/model --port 8080\n"
      "  hoist quantize path/to/model --to q4_k\n\n"
      "Every flag is also an environment variable: --top-k is HOIST_TOP_K. `hoist COMMAND --help` says "
      "more.");
  hoist::cli::add_generate(root);
  hoist::cli::add_chat(root);
  hoist::cli::add_serve(root);
  hoist::cli::add_train(root);
  hoist::cli::add_models(root);
  hoist::cli::add_ps(root);
  hoist::cli::add_doctor(root);
  hoist::cli::add_inspect(root);
  hoist::cli::add_quantize(root);
  hoist::cli::add_tokenize(root);
  hoist::cli::add_embed(root);
  hoist::cli::add_bench(root);
  hoist::cli::add_tune(root);
  hoist::cli::add_simulate(root);
  hoist::autotune::use_saved_schedules();
  try {
    return program.run(argc, argv);
  } catch (const hoist::Error& e) {
    std::fprintf(stderr, "hoist: %s\n", e.what());
    return e.code() == hoist::ErrorCode::kInvalidArgument ? 2 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "hoist: %s\n", e.what());
    return 1;
  }
}
