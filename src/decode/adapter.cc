#include "decode/adapter.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "io/checkpoint_files.h"
#include "io/files.h"
#include "io/json.h"

namespace hoist::decode {

namespace {

constexpr int64_t kMaxRank = 1024;

struct Config {
  int64_t rank = 0;
  double scale = 1;
};

Config read_config(const std::string& path) {
  const io::JsonDocument document = io::JsonDocument::parse(io::read_file(path, 1 << 20), path);
  const io::Json root = document.root();
  if (const std::string kind = root.get_string_or("peft_type", "LORA"); kind != "LORA")
    throw_unsupported(path + ": peft_type: found \"" + kind + "\", expected \"LORA\"");
  auto refuse = [&](const char* key, bool bad) {
    if (const auto v = root.find(key); bad && v)
      throw_unsupported(path + ": " + key + ": found " + v->excerpt() + ", which adapters here cannot have");
  };
  auto holds = [&](const char* key) {
    const auto v = root.find(key);
    if (!v || v->is_null()) return false;
    if (v->type() == io::JsonType::kBool) return v->as_bool();
    return !(v->is_array() || v->is_object()) || v->size() > 0;
  };
  for (const char* key : {"use_dora", "modules_to_save", "layer_replication", "rank_pattern", "alpha_pattern",
                          "megatron_config", "trainable_token_indices", "lora_bias", "use_qalora",
                          "use_bdlora", "alora_invocation_tokens", "target_parameters"})
    refuse(key, holds(key));
  refuse("bias", root.get_string_or("bias", "none") != "none");
  Config c;
  c.rank = root.get_int("r", 1, kMaxRank);
  const double alpha = root.get_double_or("lora_alpha", 8, -1e6, 1e6);
  const bool stable = root.get_bool_or("use_rslora", false);
  c.scale = alpha / (stable ? std::sqrt(static_cast<double>(c.rank)) : static_cast<double>(c.rank));
  return c;
}

// "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" -> the matrix's name and 'A'; 0: neither.
char split_name(const std::string& name, std::string& matrix) {
  std::string n = name;
  if (n.starts_with("base_model.model.")) n = n.substr(17);
  for (const char side : {'A', 'B'})
    for (const char* end : {".weight", ".default.weight"}) {
      const std::string tail = std::string(".lora_") + side + end;
      if (!n.ends_with(tail)) continue;
      matrix = n.substr(0, n.size() - tail.size()) + ".weight";
      return side;
    }
  return 0;
}

std::string shape_text(int64_t a, int64_t b) {
  return "[" + std::to_string(a) + ", " + std::to_string(b) + "]";
}

}  // namespace

const Adapter::Pair* Adapter::find(const std::string& tensor) const {
  for (const Pair& p : pairs)
    if (p.tensor == tensor) return &p;
  return nullptr;
}

std::unique_ptr<Adapter> load_adapter(const std::string& folder,
                                      const std::vector<models::Parameter>& parameters,
                                      const models::AdapterShape& shape) {
  const Config config = read_config(io::join_path(folder, "adapter_config.json"));
  if (config.rank > shape.rank)
    throw_invalid(io::join_path(folder, "adapter_config.json") + ": r: found " + std::to_string(config.rank) +
                  ", expected at most " + std::to_string(shape.rank) + ", the rank there is room for");
  auto out = std::make_unique<Adapter>();
  out->folder = folder;
  out->rank = config.rank;
  // A tensor that the model cuts into several matrices is one matrix for an adapter.
  struct Size {
    int64_t in = 0, out = 0;
  };
  std::map<std::string, Size> sizes;
  for (const models::AdapterTarget& t : models::adapter_targets(parameters, shape)) {
    Size& s = sizes[t.tensor];
    s.in = t.in;
    s.out = std::max(s.out, t.first_row + t.out);
  }
  const io::CheckpointFiles files(io::join_path(folder, "adapter_model.safetensors"));
  std::map<std::string, Adapter::Pair> pairs;
  for (const auto& e : files.tensors()) {
    const std::string at = e.file->path() + ": tensor '" + e.info->name + "'";
    std::string matrix;
    const char side = split_name(e.info->name, matrix);
    const auto size = sizes.find(matrix);
    if (side == 0 || size == sizes.end())
      throw_unsupported(at + " belongs to no matrix of this model that adapters can change");
    const int64_t rows = side == 'A' ? config.rank : size->second.out;
    const int64_t columns = side == 'A' ? size->second.in : config.rank;
    if (e.info->shape != std::vector<int64_t>{rows, columns})
      throw_corrupt(at + ": found another shape, expected " + shape_text(rows, columns));
    Adapter::Pair& pair = pairs[matrix];
    std::vector<float>& to = side == 'A' ? pair.down : pair.up;
    if (!to.empty()) throw_corrupt(at + ": found twice");
    to.resize(static_cast<size_t>(rows * columns));
    files.read_as(e.info->name, DType::f32, to.data(), 0, rows * columns);
    if (side == 'B')
      for (float& v : to) v *= static_cast<float>(config.scale);
  }
  for (auto& [matrix, pair] : pairs) {
    if (pair.down.empty() || pair.up.empty())
      throw_corrupt(files.path() + ": " + matrix + ": found only one of lora_A and lora_B");
    pair.tensor = matrix;
    out->pairs.push_back(std::move(pair));
  }
  if (out->pairs.empty()) throw_corrupt(files.path() + ": found no lora_A and lora_B");
  return out;
}

void fill_adapter_slot(const Adapter* adapter, const models::AdapterTarget& t, int64_t slot, float* down,
                       float* up) {
  const int64_t rank = t.down_type.size_of("lora_rank");
  float* a = down + slot * rank * t.in;
  float* b = up + slot * t.out * rank;
  std::fill_n(a, rank * t.in, 0.0f);
  std::fill_n(b, t.out * rank, 0.0f);
  const Adapter::Pair* pair = adapter ? adapter->find(t.tensor) : nullptr;
  if (!pair) return;
  std::copy(pair->down.begin(), pair->down.end(), a);
  for (int64_t row = 0; row < t.out; ++row)
    std::copy_n(pair->up.data() + (t.first_row + row) * adapter->rank, adapter->rank, b + row * rank);
}

}  // namespace hoist::decode
