#include "base/symbol.h"

#include <deque>
#include <mutex>
#include <unordered_map>

#include "base/error.h"

namespace hoist {

namespace {
struct Table {
  std::mutex mutex;
  std::deque<std::string> names{""};  // a deque: addresses of its strings are stable
  std::unordered_map<std::string_view, uint32_t> ids{{"", 0}, {"none", 0}};
};
Table& table() {
  static Table* t = new Table;  // never destroyed: symbols may be used during exit
  return *t;
}
}  // namespace

Symbol::Symbol(std::string_view name) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  auto it = t.ids.find(name);
  if (it != t.ids.end()) {
    id_ = it->second;
    return;
  }
  if (static_cast<int>(t.names.size()) >= kMaxSymbols) throw_invalid("too many distinct names");
  id_ = static_cast<uint32_t>(t.names.size());
  t.names.emplace_back(name);
  t.ids.emplace(t.names.back(), id_);
}

std::string_view Symbol::name() const {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  return t.names[id_];
}

}  // namespace hoist
