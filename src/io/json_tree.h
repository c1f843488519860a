// The flat tree behind io/json.h: one 8-byte node per value or key, in the order of the text.
// Private to io/json*.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace hoist::io {

// tag (4 bits) | a (30 bits) | b (30 bits), or tag | 60-bit signed integer.
//   string: a = offset in `strings`, b = flag (1 bit: the key was read) and length (29 bits)
//   wide numbers: a = index in `wide`;  containers: a = index one past the last node, b = count
enum class NodeTag : uint8_t {
  kNull,
  kBool,
  kInt,
  kWideInt,
  kWideUnsigned,
  kDouble,
  kString,
  kArray,
  kObject
};

struct JsonNode {
  static constexpr uint64_t kMask30 = (uint64_t{1} << 30) - 1;
  static constexpr uint32_t kReadFlag = uint32_t{1} << 29;
  uint64_t bits = 0;

  static JsonNode pair(NodeTag tag, uint64_t a, uint64_t b) {
    return {uint64_t{static_cast<uint8_t>(tag)} << 60 | (a & kMask30) << 30 | (b & kMask30)};
  }
  static JsonNode integer(int64_t x) {
    return {uint64_t{static_cast<uint8_t>(NodeTag::kInt)} << 60 |
            (static_cast<uint64_t>(x) & ((uint64_t{1} << 60) - 1))};
  }
  NodeTag tag() const { return static_cast<NodeTag>(bits >> 60); }
  uint32_t a() const { return static_cast<uint32_t>(bits >> 30 & kMask30); }
  uint32_t b() const { return static_cast<uint32_t>(bits & kMask30); }
  int64_t integer() const { return static_cast<int64_t>(bits << 4) >> 4; }
};

struct JsonTree {
  std::string source;
  JsonOptions options;
  std::vector<JsonNode> nodes;
  std::vector<uint64_t> wide;  // numbers that need all 64 bits
  std::string strings;

  std::string_view text(uint32_t index) const {
    const JsonNode node = nodes[index];
    return {strings.data() + node.a(), node.b() & ~JsonNode::kReadFlag};
  }
  // Index of the value that follows the one at `index` in its container.
  uint32_t next(uint32_t index) const {
    const NodeTag tag = nodes[index].tag();
    return tag == NodeTag::kArray || tag == NodeTag::kObject ? nodes[index].a() : index + 1;
  }
};

}  // namespace hoist::io
