#include "text/byte_alphabet.h"

#include <array>

#include "text/utf8.h"

namespace hoist::text {
namespace {

constexpr bool stands_for_itself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct Tables {
  std::array<uint16_t, 256> chars{};
  std::array<int16_t, 256 + 68> bytes{};
};

constexpr Tables make_tables() {
  Tables tables;
  for (auto& byte : tables.bytes) byte = -1;
  uint32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const uint32_t c = stands_for_itself(byte) ? byte : next++;
    tables.chars[byte] = static_cast<uint16_t>(c);
    tables.bytes[c] = static_cast<int16_t>(byte);
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

uint32_t char_of_byte(uint8_t byte) { return kTables.chars[byte]; }

int byte_of_char(uint32_t code_point) {
  return code_point < kTables.bytes.size() ? kTables.bytes[code_point] : -1;
}

void append_byte_alphabet(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) append_char(out, kTables.chars[static_cast<unsigned char>(byte)]);
}

}  // namespace hoist::text
