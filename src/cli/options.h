// What the commands share: their list, and byte sizes that read as 512MiB or 2GB.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "cli/command.h"

namespace hoist::cli {

// 1536 -> "1.50 KiB"
std::string human_bytes(int64_t bytes);
// 1100000 -> "1.1 M"
std::string human_count(int64_t n);

// Each adds one sub-command; its callback does the work and throws Error.
void add_generate(Command root);
void add_chat(Command root);
void add_tokenize(Command root);
void add_inspect(Command root);
void add_models(Command root);
void add_ps(Command root);
void add_doctor(Command root);
void add_train(Command root);
void add_serve(Command root);
void add_quantize(Command root);
void add_embed(Command root);
void add_bench(Command root);
void add_bench_policies(Command bench);
void add_tune(Command root);
void add_simulate(Command root);
// Under `hoist bench`.
void add_bench_serve(Command bench);

}  // namespace hoist::cli
