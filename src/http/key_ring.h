// API keys and whose they are. Asked for every request before anything else of it is looked at
// (connection.cc), so that no route can forget to ask.
//
// Promises: the time a lookup takes depends on how many keys there are, not on the keys nor on what was
// presented. Threading: filled before the server starts, then read only.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::http {

class KeyRing {
 public:
  static constexpr size_t kMaxKeyBytes = 256;
  static constexpr size_t kMaxKeys = 10000;

  // Several keys may be one tenant's. Throws Error(kInvalidArgument), which never shows the key: empty, too
  // long, not printable ASCII without spaces, given twice; a tenant's name that is none.
  void add(std::string_view key, std::string_view tenant);
  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  // Tenants are numbered from 1; 0: nobody's key.
  uint32_t find(std::string_view presented) const;
  // The key that "Authorization: Bearer KEY" presents, or "Basic" with the key as password (what a browser
  // asks its user for); empty when it is of another form.
  static std::string presented(std::string_view authorization);
  size_t tenants() const { return tenants_.size() - 1; }
  const std::string& tenant(uint32_t number) const { return tenants_[number]; }

 private:
  struct Entry {
    std::array<unsigned char, kMaxKeyBytes> key;  // zeros after its end
    uint32_t length, tenant;
  };
  std::vector<Entry> entries_;
  std::vector<std::string> tenants_ = {""};
};

}  // namespace hoist::http
