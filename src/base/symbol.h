// Symbol: an interned name (an axis, a monoid, a role). Four bytes, compared by identity, trivially
// copyable, so that attributes may hold names. Interning is thread-safe; the table only grows, and only
// by names from our own models and from parsed graphs (at most kMaxSymbols, then Error).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hoist {

class Symbol {
 public:
  static constexpr int kMaxSymbols = 1 << 20;
  Symbol() = default;  // the empty name, written `none` in text: Symbol("none") is the same
  Symbol(std::string_view name);
  Symbol(const char* name) : Symbol(std::string_view(name)) {}
  Symbol(const std::string& name) : Symbol(std::string_view(name)) {}
  std::string_view name() const;
  std::string str() const { return std::string(name()); }
  bool empty() const { return id_ == 0; }
  uint32_t id() const { return id_; }  // differs between runs: never hash or save it
  friend bool operator==(Symbol a, Symbol b) { return a.id_ == b.id_; }

 private:
  uint32_t id_ = 0;
};

}  // namespace hoist
