#include "runtime/state.h"

#include <algorithm>

#include "base/error.h"

namespace hoist::runtime {

namespace {
int64_t align_up(int64_t n) { return (n + 63) / 64 * 64; }
}  // namespace

void StateStore::declare(const plan::Plan& plan) {
  std::map<ir::Role, std::vector<const plan::StateSlot*>> missing;
  for (const plan::StateSlot& s : plan.states) {
    auto it = slots_.find(s.name);
    if (it == slots_.end()) {
      missing[s.role].push_back(&s);
    } else if (!(it->second.type == s.type)) {
      throw_invalid("state '" + s.name + "': plan '" + plan.name + "' expects " + to_string(s.type) +
                    ", but it exists as " + to_string(it->second.type));
    }
  }
  for (auto& [role, list] : missing) {
    int64_t total = 0;
    for (const plan::StateSlot* s : list) total += align_up(s->type.bytes());
    chunks_.push_back(device_.allocate(total));
    bytes_ += total;
    std::byte* at = chunks_.back().data();
    for (const plan::StateSlot* s : list) {
      slots_[s->name] = {s->type, role, at, static_cast<int>(slots_.size())};
      at += align_up(s->type.bytes());
    }
  }
}

const StateStore::Slot& StateStore::slot(const std::string& name) const {
  auto it = slots_.find(name);
  if (it == slots_.end()) throw_not_found("no state named '" + name + "'");
  return it->second;
}

kernels::TensorView StateStore::view(const std::string& name) const {
  const Slot& s = slot(name);
  kernels::TensorView v;
  v.data = s.data;
  v.dtype = s.type.dtype;
  for (const ir::Dim& d : s.type.dims) v.dims.push_back(d.size);
  return v;
}

std::vector<std::string> StateStore::names() const {
  std::vector<std::string> out;
  for (auto& [name, slot] : slots_) out.push_back(name);
  std::sort(out.begin(), out.end(),
            [&](auto& a, auto& b) { return slots_.at(a).order < slots_.at(b).order; });
  return out;
}

}  // namespace hoist::runtime
