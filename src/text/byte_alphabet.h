// The byte alphabet of byte-level BPE: every byte has a printable character, so a vocabulary is text.
//
// Bytes 0x21-7E, A1-AC and AE-FF stand for themselves; the other 68, in increasing order, for U+0100 upward
// (so a space is U+0120).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hoist::text {

uint32_t char_of_byte(uint8_t byte);
int byte_of_char(uint32_t code_point);  // -1 when the character is not of the alphabet

void append_byte_alphabet(std::string& out, std::string_view bytes);

}  // namespace hoist::text
