// Getters for the keys of a GGUF file's architecture. Private to io/.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/gguf.h"
#include "io/model_config.h"

namespace hoist::io {

inline const GgufTensor* find_gguf_tensor(const GgufSet& set, std::string_view name) {
  for (const auto& part : set.parts())
    for (const GgufTensor& tensor : part->tensors())
      if (tensor.name == name) return &tensor;
  return nullptr;
}

// Getters for keys below the architecture's name; what was asked for is remembered, so that the rest can be
// looked at.
class GgufKeys {
 public:
  GgufKeys(const GgufMetadata& metadata, std::string_view architecture)
      : metadata_(metadata), prefix_(std::string(architecture) + ".") {}

  std::string name(std::string_view key) const { return prefix_ + std::string(key); }

  // A number, or an array that gives every layer the same one.
  std::optional<int64_t> integer(std::string_view key, int64_t low, int64_t high) {
    const std::string full = name(key);
    read_.insert(full);
    const GgufValue* value = metadata_.find(full);
    if (!value || !value->is_array) return metadata_.integer(full, low, high);
    std::optional<int64_t> same;
    for (uint64_t i = 0; i < value->count; ++i) {
      const auto x = value->is_integer() ? value->integer(i) : std::nullopt;
      if (!x || *x < low || *x > high)
        metadata_.refuse(full, fmt::format("whole numbers from {} to {}", low, high));
      if (same && *same != *x)
        throw_unsupported(
            fmt::format("{}: {}: found {}, which differs from layer to layer, expected one number",
                        metadata_.source(), full, value->excerpt()));
      same = x;
    }
    return same;
  }
  int64_t need(std::string_view key, int64_t low, int64_t high) {
    const auto x = integer(key, low, high);
    if (!x) metadata_.refuse(name(key), "a whole number");  // there is none, or an array of none
    return *x;
  }
  std::optional<double> number(std::string_view key, double low, double high) {
    read_.insert(name(key));
    return metadata_.number(name(key), low, high);
  }
  std::optional<std::string_view> text(std::string_view key) {
    read_.insert(name(key));
    return metadata_.text(name(key));
  }
  std::optional<bool> boolean(std::string_view key) {
    read_.insert(name(key));
    return metadata_.boolean(name(key));
  }
  void benign(std::string_view key) { read_.insert(name(key)); }

  // Whatever nobody asked for may change what the model computes, unless it says nothing.
  void refuse_the_rest() const {
    for (const auto& [key, value] : metadata_.entries()) {
      if (!key.starts_with(prefix_) || read_.contains(key)) continue;
      const auto x = value.is_array ? std::nullopt : value.number();
      if (x && *x == 0) continue;
      throw_unsupported(fmt::format(
          "{}: {}: found {}: a key that may change what the model computes and that we do not know",
          metadata_.source(), key, value.excerpt()));
    }
  }

 private:
  const GgufMetadata& metadata_;
  std::string prefix_;
  std::set<std::string, std::less<>> read_;
};

// gguf_rope.cc: the keys and tensors that speak of rope, both ways.
void read_gguf_rope(const GgufSet& set, GgufKeys& keys, ModelConfig& config);
void write_gguf_rope(const ModelConfig& config, const std::string& architecture, GgufMetadata& metadata);

}  // namespace hoist::io
