// The element types of the safetensors format in its canonical order. Private to io/safetensors*.cc.
#pragma once

#include <optional>
#include <string_view>

#include "base/dtype.h"

namespace hoist::io {

struct StoredType {
  std::string_view name;
  int bits;
  std::optional<DType> dtype;
};

// Ascending in the order by which writers sort (they write the highest first).
inline constexpr StoredType kStoredTypes[] = {
    {"BOOL", 8, {}},         {"F4", 4, {}},           {"F6_E2M3", 6, {}},        {"F6_E3M2", 6, {}},
    {"U8", 8, DType::u8},    {"I8", 8, DType::i8},    {"F8_E5M2", 8, {}},        {"F8_E4M3", 8, {}},
    {"F8_E8M0", 8, {}},      {"F8_E4M3FNUZ", 8, {}},  {"F8_E5M2FNUZ", 8, {}},    {"I16", 16, {}},
    {"U16", 16, {}},         {"F16", 16, DType::f16}, {"BF16", 16, DType::bf16}, {"I32", 32, DType::i32},
    {"U32", 32, {}},         {"F32", 32, DType::f32}, {"C64", 64, {}},           {"F64", 64, DType::f64},
    {"I64", 64, DType::i64}, {"U64", 64, {}},
};

inline const StoredType* find_stored_type(std::string_view name) {
  for (const StoredType& type : kStoredTypes)
    if (type.name == name) return &type;
  return nullptr;
}
inline const StoredType* find_stored_type(DType dtype) {
  for (const StoredType& type : kStoredTypes)
    if (type.dtype == dtype) return &type;
  return nullptr;
}

}  // namespace hoist::io
