// See key_ring.h.
#include "http/key_ring.h"

#include <algorithm>

#include "base/error.h"
#include "http/guard.h"

namespace hoist::http {

void KeyRing::add(std::string_view key, std::string_view tenant) {
  const auto visible = [](std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  };
  const std::string where = "API key number " + std::to_string(entries_.size() + 1) + ": ";
  if (key.empty() || key.size() > kMaxKeyBytes || !visible(key))
    throw_invalid(where + "found " + std::to_string(key.size()) +
                  " bytes, expected 1 to 256 printable ASCII characters without spaces");
  if (tenant.empty() || tenant.size() > 64 || !visible(tenant))
    throw_invalid(where + "its tenant: expected a name of 1 to 64 printable ASCII characters without spaces");
  if (entries_.size() == kMaxKeys)
    throw_invalid(where + "expected at most " + std::to_string(kMaxKeys) + " keys");
  if (find(key) != 0) throw_invalid(where + "the same key was given before");
  const auto known = std::find(tenants_.begin() + 1, tenants_.end(), tenant);
  Entry entry{};
  std::copy(key.begin(), key.end(), entry.key.begin());
  entry.length = static_cast<uint32_t>(key.size());
  entry.tenant = static_cast<uint32_t>(known - tenants_.begin());
  if (known == tenants_.end()) tenants_.emplace_back(tenant);
  entries_.push_back(entry);
}

uint32_t KeyRing::find(std::string_view presented) const {
  std::array<unsigned char, kMaxKeyBytes> padded{};
  std::copy_n(presented.begin(), std::min(presented.size(), kMaxKeyBytes), padded.begin());
  uint32_t found = 0;
  for (const Entry& entry : entries_) {
    // Lengths may differ by more than 32 bits hold.
    uint64_t difference = entry.length ^ uint64_t { presented.size() };
    for (size_t i = 0; i < kMaxKeyBytes; ++i) difference |= entry.key[i] ^ padded[i];
    // All ones when equal; without a branch that could be timed.
    const uint64_t folded = (difference | (0 - difference)) >> 63;
    found |= entry.tenant & (static_cast<uint32_t>(folded) - 1);
  }
  return found;
}

namespace {

// What follows the scheme's name; nothing when it is another scheme.
std::string_view after_scheme(std::string_view authorization, std::string_view scheme) {
  if (authorization.size() <= scheme.size() || authorization[scheme.size()] != ' ' ||
      !equals_ignore_case(authorization.substr(0, scheme.size()), scheme))
    return {};
  authorization.remove_prefix(scheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  return authorization;
}

// RFC 4648; empty for what is not base64.
std::string decode_base64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int digit = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (digit < 0) return {};
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8) & 255);
  }
  return out;
}

}  // namespace

std::string KeyRing::presented(std::string_view authorization) {
  if (const auto key = after_scheme(authorization, "bearer"); !key.empty()) return std::string(key);
  const std::string both = decode_base64(after_scheme(authorization, "basic"));
  const size_t colon = both.find(':');
  return colon == both.npos ? std::string() : both.substr(colon + 1);
}

}  // namespace hoist::http
