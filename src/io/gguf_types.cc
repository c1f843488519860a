// The tables of io/gguf.h: value types, tensor types; and metadata with its getters.
#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "io/gguf.h"
#include "io/json.h"

namespace hoist::io {
namespace {

constexpr std::string_view kTypeNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};

constexpr GgufTensorType kTensorTypes[] = {
    {0, "F32", 1, 4, DType::f32, ""},    {1, "F16", 1, 2, DType::f16, ""},
    {2, "Q4_0", 32, 18, {}, "q4_0"},     {3, "Q4_1", 32, 20, {}, "q4_1"},
    {6, "Q5_0", 32, 22, {}, "q5_0"},     {7, "Q5_1", 32, 24, {}, "q5_1"},
    {8, "Q8_0", 32, 34, {}, "q8_0"},     {9, "Q8_1", 32, 36, {}, ""},
    {10, "Q2_K", 256, 84, {}, ""},       {11, "Q3_K", 256, 110, {}, ""},
    {12, "Q4_K", 256, 144, {}, "q4_k"},  {13, "Q5_K", 256, 176, {}, "q5_k"},
    {14, "Q6_K", 256, 210, {}, "q6_k"},  {15, "Q8_K", 256, 292, {}, ""},
    {16, "IQ2_XXS", 256, 66, {}, ""},    {17, "IQ2_XS", 256, 74, {}, ""},
    {18, "IQ3_XXS", 256, 98, {}, ""},    {19, "IQ1_S", 256, 50, {}, ""},
    {20, "IQ4_NL", 32, 18, {}, ""},      {21, "IQ3_S", 256, 110, {}, ""},
    {22, "IQ2_S", 256, 82, {}, ""},      {23, "IQ4_XS", 256, 136, {}, ""},
    {24, "I8", 1, 1, DType::i8, ""},     {25, "I16", 1, 2, {}, ""},
    {26, "I32", 1, 4, DType::i32, ""},   {27, "I64", 1, 8, DType::i64, ""},
    {28, "F64", 1, 8, DType::f64, ""},   {29, "IQ1_M", 256, 56, {}, ""},
    {30, "BF16", 1, 2, DType::bf16, ""}, {34, "TQ1_0", 256, 54, {}, ""},
    {35, "TQ2_0", 256, 66, {}, ""},      {39, "MXFP4", 32, 17, {}, ""},
    {40, "NVFP4", 64, 36, {}, ""},       {41, "Q1_0", 128, 18, {}, ""},
    {42, "Q2_0", 64, 18, {}, ""},
};

template <class T>
T element(const std::string& bytes, uint64_t i) {
  T x;
  std::memcpy(&x, bytes.data() + i * sizeof(T), sizeof(T));
  return x;
}

}  // namespace

std::string_view gguf_type_name(GgufType type) { return kTypeNames[static_cast<size_t>(type)]; }

const GgufTensorType* find_gguf_type(uint32_t id) {
  for (const GgufTensorType& type : kTensorTypes)
    if (type.id == id) return &type;
  return nullptr;
}

const GgufTensorType* find_gguf_type(std::string_view name) {
  for (const GgufTensorType& type : kTensorTypes)
    if ((type.dtype && dtype_name(*type.dtype) == name) || (!type.format.empty() && type.format == name))
      return &type;
  return nullptr;
}

int64_t GgufTensor::elements() const {
  int64_t n = 1;
  for (int64_t dim : dims) n *= dim;
  return n;
}

bool GgufValue::is_integer() const {
  return type != GgufType::kString && type != GgufType::kF32 && type != GgufType::kF64 &&
         type != GgufType::kBool;
}

std::optional<int64_t> GgufValue::integer(uint64_t i) const {
  switch (type) {
    case GgufType::kU8: return element<uint8_t>(bytes, i);
    case GgufType::kI8: return element<int8_t>(bytes, i);
    case GgufType::kU16: return element<uint16_t>(bytes, i);
    case GgufType::kI16: return element<int16_t>(bytes, i);
    case GgufType::kU32: return element<uint32_t>(bytes, i);
    case GgufType::kI32: return element<int32_t>(bytes, i);
    case GgufType::kBool: return element<uint8_t>(bytes, i) != 0;
    case GgufType::kI64: return element<int64_t>(bytes, i);
    case GgufType::kU64: {
      const auto x = element<uint64_t>(bytes, i);
      if (x > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<int64_t>(x);
    }
    default: return std::nullopt;
  }
}

std::optional<double> GgufValue::number(uint64_t i) const {
  if (type == GgufType::kF32) return element<float>(bytes, i);
  if (type == GgufType::kF64) return element<double>(bytes, i);
  if (const auto x = integer(i)) return static_cast<double>(*x);
  return std::nullopt;
}

std::string GgufValue::excerpt() const {
  constexpr uint64_t kShown = 6;
  const auto one = [&](uint64_t i) -> std::string {
    if (type == GgufType::kString) {
      const std::string_view whole = text(i);
      return json_quote(whole.substr(0, 60)) + (whole.size() > 60 ? "..." : "");
    }
    if (type == GgufType::kBool) return *integer(i) ? "true" : "false";
    if (type == GgufType::kU64) return fmt::format("{}", element<uint64_t>(bytes, i));
    if (const auto x = integer(i)) return fmt::format("{}", *x);
    if (type == GgufType::kF32) return fmt::format("{}", element<float>(bytes, i));
    return fmt::format("{}", element<double>(bytes, i));
  };
  if (!is_array) return one(0);
  std::string out = "[";
  for (uint64_t i = 0; i < count && i < kShown; ++i) out += (i ? ", " : "") + one(i);
  if (count > kShown) out += fmt::format(", ... {} in all", count);
  return out + "]";
}

bool GgufMetadata::add(std::string key, GgufValue value) {
  if (!by_key_.emplace(key, entries_.size()).second) return false;
  entries_.emplace_back(std::move(key), std::move(value));
  return true;
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto at = by_key_.find(key);
  return at == by_key_.end() ? nullptr : &entries_[at->second].second;
}

const GgufValue& GgufMetadata::at(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) throw_corrupt(fmt::format("{}: {}: found no such key, which the model needs", source_, key));
  return *value;
}

void GgufMetadata::refuse(std::string_view key, std::string_view expected) const {
  const GgufValue& value = at(key);
  throw_corrupt(fmt::format("{}: {}: found {} ({}{}), expected {}", source_, key, value.excerpt(),
                            value.is_array ? "array of " : "", gguf_type_name(value.type), expected));
}

std::optional<int64_t> GgufMetadata::integer(std::string_view key, int64_t low, int64_t high) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  const auto x = value->is_array || !value->is_integer() ? std::nullopt : value->integer();
  if (!x || *x < low || *x > high) refuse(key, fmt::format("a whole number from {} to {}", low, high));
  return x;
}

std::optional<double> GgufMetadata::number(std::string_view key, double low, double high) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  const auto x = value->is_array ? std::nullopt : value->number();
  if (!x || !(*x >= low && *x <= high)) refuse(key, fmt::format("a number from {} to {}", low, high));
  return x;
}

std::optional<bool> GgufMetadata::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->is_array || value->type != GgufType::kBool) refuse(key, "true or false");
  return *value->integer() != 0;
}

std::optional<std::string_view> GgufMetadata::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->is_array || value->type != GgufType::kString) refuse(key, "a string");
  return value->text();
}

const GgufValue* GgufMetadata::array(std::string_view key, GgufType type) const {
  const GgufValue* value = find(key);
  if (value && (!value->is_array || value->type != type))
    refuse(key, fmt::format("an array of {}", gguf_type_name(type)));
  return value;
}

void GgufMetadata::set(std::string_view key, GgufType type, const void* data, size_t bytes, uint64_t count,
                       bool is_array) {
  add(std::string(key), {type, is_array, count, std::string(static_cast<const char*>(data), bytes), {}});
}
void GgufMetadata::set_text(std::string_view key, std::string_view value) {
  add(std::string(key), {GgufType::kString, false, 1, std::string(value), {value.size()}});
}
void GgufMetadata::set_u32(std::string_view key, uint64_t value) {
  const auto x = static_cast<uint32_t>(value);
  set(key, GgufType::kU32, &x, sizeof x, 1, false);
}
void GgufMetadata::set_f32(std::string_view key, double value) {
  const auto x = static_cast<float>(value);
  set(key, GgufType::kF32, &x, sizeof x, 1, false);
}
void GgufMetadata::set_bool(std::string_view key, bool value) {
  const uint8_t x = value;
  set(key, GgufType::kBool, &x, sizeof x, 1, false);
}
void GgufMetadata::set_texts(std::string_view key, std::span<const std::string> values) {
  GgufValue value{GgufType::kString, true, values.size(), {}, {}};
  for (const std::string& text : values) {
    value.bytes += text;
    value.ends.push_back(value.bytes.size());
  }
  add(std::string(key), std::move(value));
}
void GgufMetadata::set_i32s(std::string_view key, std::span<const int32_t> values) {
  set(key, GgufType::kI32, values.data(), values.size_bytes(), values.size(), true);
}
void GgufMetadata::set_f32s(std::string_view key, std::span<const float> values) {
  set(key, GgufType::kF32, values.data(), values.size_bytes(), values.size(), true);
}

}  // namespace hoist::io
