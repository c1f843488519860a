// LoRA adapters as PEFT saves them: a folder with adapter_config.json and adapter_model.safetensors.
//
// Read whole and checked against the model before any of it is used: every tensor must belong to a matrix of
// the model and have its shape. What changes more than low-rank pairs of matrices (biases, saved modules,
// DoRA, other kinds of adapters) is refused by name. Source: PEFT (huggingface.co/docs/peft), LoraConfig.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/adapters.h"

namespace hoist::decode {

struct Adapter {
  std::string name, folder;
  int64_t rank = 0;
  struct Pair {
    std::string tensor;       // the matrix, by its name in the model's checkpoint
    std::vector<float> down;  // [rank, in]
    std::vector<float> up;    // [out, rank], times alpha / rank
  };
  std::vector<Pair> pairs;
  const Pair* find(const std::string& tensor) const;
};

// Throws Error naming file, field or tensor.
std::unique_ptr<Adapter> load_adapter(const std::string& folder,
                                      const std::vector<models::Parameter>& parameters,
                                      const models::AdapterShape& shape);

// Writes an adapter's pairs for one target into a slot of its states, or zeros where it has none (or is
// null).
void fill_adapter_slot(const Adapter* adapter, const models::AdapterTarget& target, int64_t slot, float* down,
                       float* up);

}  // namespace hoist::decode
