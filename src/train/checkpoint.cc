#include "train/checkpoint.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "base/error.h"
#include "decode/model.h"
#include "io/checkpoint_dir.h"
#include "io/checkpoint_files.h"
#include "io/files.h"
#include "io/json.h"
#include "io/json_value.h"
#include "passes/add_optimizer.h"

namespace hoist::train {

namespace {

constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kTrainerFile = "trainer.json";

// A state's whole data: its own memory on one rank, else gathered into `buffer`.
const std::byte* whole_state(const Ranks& ranks, const std::string& name, std::vector<std::byte>& buffer) {
  if (std::byte* p = ranks.direct(name)) return p;
  buffer.resize(static_cast<size_t>(ranks.global_type(name).bytes()));
  ranks.read_state(name, buffer.data());
  return buffer.data();
}

std::vector<int64_t> sizes(const ir::Type& type) {
  std::vector<int64_t> out;
  for (const ir::Dim& d : type.dims) out.push_back(d.size);
  return out;
}

void write_text(io::StagedFolder& staged, const std::string& file, const std::string& text) {
  io::FileWriter out(io::join_path(staged.path(), file));
  out.write(text.data(), text.size());
  staged.add(file, out.commit());
}

void write_model(io::StagedFolder& staged, const CheckpointParts& parts, bool averages = false) {
  io::ModelConfig config = parts.config;
  config.dtype = parts.parameters.front().type.dtype;
  write_text(staged, "config.json", io::write_model_config(config));
  io::GenerationConfig generation;
  generation.bos_id = config.bos_id;
  generation.eos_ids = config.eos_ids;
  generation.eos_is_list = config.eos_is_list;
  write_text(staged, "generation_config.json", io::write_generation_config(generation));
  write_text(staged, "tokenizer.json", parts.tokenizer.json());
  io::JsonValue tokenizer_config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                    {"model_max_length", config.max_position}};
  if (!config.eos_ids.empty())
    if (auto token = parts.tokenizer.id_to_token(static_cast<int32_t>(config.eos_ids[0])))
      tokenizer_config["eos_token"] = std::string(*token);
  auto is_config = [](const auto& file) { return file.first == "tokenizer_config.json"; };
  if (std::none_of(parts.kept.begin(), parts.kept.end(), is_config))
    write_text(staged, "tokenizer_config.json", tokenizer_config.dump(2));
  for (const auto& [name, text] : parts.kept) write_text(staged, name, text);
  // The last few parameters, where they are not in memory of their own.
  struct Kept {
    std::string state;
    std::vector<std::byte> buffer;
    const std::byte* data = nullptr;
  };
  std::array<Kept, decode::kMostJoined> last;
  size_t next = 0;
  const std::vector<std::string> names = parts.ranks.state_names();
  const std::set<std::string> known(names.begin(), names.end());
  auto source = [&](const models::Parameter& p) {
    const std::string average = passes::ema_name(p.name);
    const bool averaged = averages && known.count(average);  // what is not trained has none
    const std::string& state = averaged ? average : p.name;
    const DType dtype = averaged ? DType::f32 : p.type.dtype;
    for (const Kept& k : last)
      if (k.state == state) return decode::WeightData{k.data, dtype};
    Kept& k = last[next++ % last.size()];
    k.state = state;
    k.data = whole_state(parts.ranks, state, k.buffer);
    return decode::WeightData{k.data, dtype};
  };
  staged.add(
      decode::save_weights(staged.path(), parts.parameters, parts.parameters.front().type.dtype, source));
}

void write_optimizer(io::StagedFolder& staged, const Ranks& ranks) {
  std::vector<io::TensorSpec> specs;
  for (const std::string& name : ranks.state_names())
    if (ranks.role(name) == ir::Role::kOptimizer)
      specs.push_back({name, ranks.global_type(name).dtype, sizes(ranks.global_type(name))});
  io::SafetensorsWriter writer(io::join_path(staged.path(), kOptimizerFile), specs);
  std::vector<std::byte> buffer;
  for (const io::TensorInfo& t : writer.tensors())
    writer.write(t.name, whole_state(ranks, t.name, buffer), t.bytes());
  staged.add(kOptimizerFile, writer.finish());
}

}  // namespace

std::string save_checkpoint(const std::string& root, const CheckpointParts& parts,
                            const CheckpointInfo& info) {
  io::StagedFolder staged(root, io::checkpoint_name(info.step));
  write_model(staged, parts);
  write_optimizer(staged, parts.ranks);
  io::JsonValue trainer = {
      {"version", 1}, {"step", info.step}, {"data", info.data_hash}, {"recipe", info.recipe}};
  write_text(staged, kTrainerFile, trainer.dump(2));
  return staged.commit();
}

std::string save_model(const std::string& root, const std::string& name, const CheckpointParts& parts,
                       bool averages) {
  io::StagedFolder staged(root, name);
  write_model(staged, parts, averages);
  return staged.commit();
}

CheckpointInfo read_checkpoint_info(const std::string& folder) {
  const std::string path = io::join_path(folder, kTrainerFile);
  io::JsonDocument doc = io::JsonDocument::parse(io::read_file(path, 1 << 20), path);
  io::Json root = doc.root();
  root.get_int("version", 1, 1);
  CheckpointInfo info;
  info.step = root.get_int("step", 0, INT64_MAX);
  info.data_hash = std::string(root.get_string("data"));
  info.recipe = std::string(root.get_string("recipe"));
  return info;
}

void load_model_weights(const std::string& folder, const io::ModelConfig& config,
                        const std::vector<models::Parameter>& parameters, Ranks& ranks) {
  io::CheckpointFiles files(folder);
  // Straight into a state's own memory where it is whole; split ones pass through a buffer, one at a time.
  std::vector<std::byte> buffer;
  auto load = [&](const models::Parameter& p, const std::string& state) {
    std::byte* to = ranks.direct(state);
    if (!to) {
      buffer.resize(static_cast<size_t>(p.type.bytes()));
      to = buffer.data();
    }
    auto destination = [&](const models::Parameter&) { return to; };
    decode::load_weights(config, files, {p}, destination, /*partial=*/true);
    if (to == buffer.data()) ranks.write_state(state, to);
  };
  const std::vector<std::string> names = ranks.state_names();
  const std::set<std::string> known(names.begin(), names.end());
  for (models::Parameter p : parameters) {
    load(p, p.name);
    p.type.dtype = DType::f32;
    for (const std::string& wide : {passes::master_name(p.name), passes::ema_name(p.name)})
      if (known.count(wide)) load(p, wide);
  }
  decode::check_tensors(config, files, parameters);
}

void load_checkpoint(const std::string& folder, const io::ModelConfig& config,
                     const std::vector<models::Parameter>& parameters, Ranks& ranks) {
  load_model_weights(folder, config, parameters, ranks);
  io::SafetensorsFile file(io::join_path(folder, kOptimizerFile));
  std::vector<std::byte> buffer;
  for (const std::string& name : ranks.state_names()) {
    if (ranks.role(name) != ir::Role::kOptimizer) continue;
    const io::TensorInfo* t = file.find(name);
    if (!t) throw_corrupt(file.path() + ": found no tensor '" + name + "'");
    const ir::Type& type = ranks.global_type(name);
    if (t->dtype != type.dtype || t->bytes() != type.bytes())
      throw_corrupt(file.path() + ": tensor '" + name + "': expected " + to_string(type));
    if (std::byte* to = ranks.direct(name)) {
      file.read(*t, to);
      continue;
    }
    buffer.resize(static_cast<size_t>(t->bytes()));
    file.read(*t, buffer.data());
    ranks.write_state(name, buffer.data());
  }
}

}  // namespace hoist::train
