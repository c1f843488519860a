// Reads what other programs wrote and writes it again with ours; tests/python/test_io.py compares.
//   io_roundtrip weights IN OUT_FILE         one file, one tensor at a time
//   io_roundtrip shards IN OUT_FOLDER BYTES  IN may be a folder; shards of at most BYTES
//   io_roundtrip as IN OUT_FILE DTYPE        every float tensor converted
//   io_roundtrip config IN_FOLDER OUT_FOLDER
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "io/checkpoint_files.h"
#include "io/model_config.h"

using namespace hoist;
using namespace hoist::io;

namespace {

void copy_one(const std::string& in, const std::string& out, std::optional<DType> dtype) {
  const CheckpointFiles source(in);
  std::vector<TensorSpec> specs;
  for (const auto& entry : source.tensors()) {
    if (!entry.info->dtype) throw_unsupported(entry.info->name + ": " + entry.info->dtype_text);
    specs.push_back({entry.info->name, dtype && is_float(*entry.info->dtype) ? *dtype : *entry.info->dtype,
                     entry.info->shape});
  }
  SafetensorsWriter writer(out, specs);
  for (const TensorInfo& info : writer.tensors()) {
    std::vector<char> bytes(static_cast<size_t>(info.bytes()));
    source.read_as(info.name, *info.dtype, bytes.data(), 0, info.elements());
    writer.write(info.name, bytes.data(), info.bytes());
  }
  writer.finish();
}

void shard(const std::string& in, const std::string& out, int64_t limit) {
  const CheckpointFiles source(in);
  std::vector<TensorSpec> specs;
  for (const auto& entry : source.tensors())
    specs.push_back({entry.info->name, *entry.info->dtype, entry.info->shape});
  make_dirs(out);
  CheckpointWriter writer(out, specs, limit);
  for (const TensorSpec& spec : writer.order()) {
    const TensorInfo& info = *source.at(spec.name).info;
    std::vector<char> bytes(static_cast<size_t>(info.bytes()));
    source.read_as(spec.name, spec.dtype, bytes.data(), 0, info.elements());
    writer.write(spec.name, bytes.data(), info.bytes());
  }
  writer.finish();
}

int run(const std::vector<std::string>& args) {
  if (args.size() == 3 && args[0] == "weights") return copy_one(args[1], args[2], std::nullopt), 0;
  if (args.size() == 4 && args[0] == "as") return copy_one(args[1], args[2], dtype_from_name(args[3])), 0;
  if (args.size() == 4 && args[0] == "shards") return shard(args[1], args[2], std::atoll(args[3].c_str())), 0;
  if (args.size() == 3 && args[0] == "config") {
    make_dirs(args[2]);
    atomic_write(join_path(args[2], "config.json"), write_model_config(load_model_config(args[1])));
    atomic_write(join_path(args[2], "generation_config.json"),
                 write_generation_config(load_generation_config(args[1])));
    return 0;
  }
  std::fprintf(stderr, "see the head of tests/io/roundtrip_tool.cc\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
