#include "serve/call_reader.h"

namespace hoist::serve {
namespace {

constexpr char kHex[] = "0123456789abcdef";

void add_unit(uint32_t unit, std::string& out) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[unit >> shift & 15];
}

}  // namespace

void add_json_char(char c, std::string& out) {
  const auto u = static_cast<unsigned char>(c);
  if (c == '"' || c == '\\') {
    out += '\\';
    out += c;
  } else if (c == '\n') {
    out += "\\n";
  } else if (c == '\t') {
    out += "\\t";
  } else if (u < 0x20 || u == 0x7f) {
    add_unit(u, out);
  } else {
    out += c;
  }
}

void add_json_code(uint32_t code, std::string& out) {
  if (code < 0x80) return add_json_char(static_cast<char>(code), out);
  if (code < 0x10000) return add_unit(code, out);
  add_unit(0xD800 + ((code - 0x10000) >> 10), out);
  add_unit(0xDC00 + ((code - 0x10000) & 0x3FF), out);
}

}  // namespace hoist::serve
