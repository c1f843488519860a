#include "runtime/state.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
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
      if (s.tier == ir::Tier::kDisk) {
        HOIST_CHECK(disk_ != nullptr, "state '" + s.name + "' moves, but there is no disk tier");
        const int64_t home = disk_->reserve(s.type.bytes());
        disk_bytes_ += s.type.bytes();
        slots_[s.name] = {s.type, s.role, nullptr, static_cast<int>(slots_.size()), home};
      } else {
        missing[s.role].push_back(&s);
      }
    } else if (!(it->second.type == s.type)) {
      throw_invalid("state '" + s.name + "': plan '" + plan.name + "' expects " + to_string(s.type) +
                    ", but it exists as " + to_string(it->second.type));
    } else {
      HOIST_CHECK((it->second.data == nullptr) == (s.tier == ir::Tier::kDisk),
                  "two plans disagree on whether state '" + s.name + "' moves");
    }
  }
  for (auto& [role, list] : missing) {
    int64_t total = 0;
    for (const plan::StateSlot* s : list) total += align_up(s->type.bytes());
    chunks_.push_back(device_.allocate(total));
    bytes_ += total;
    std::byte* at = chunks_.back().data();
    for (const plan::StateSlot* s : list) {
      slots_[s->name] = {s->type, role, at, static_cast<int>(slots_.size()), -1};
      at += align_up(s->type.bytes());
    }
  }
}

const StateStore::Slot& StateStore::slot(const std::string& name) const {
  auto it = slots_.find(name);
  if (it == slots_.end()) throw_not_found("no state named '" + name + "'");
  return it->second;
}

int64_t StateStore::home(const std::string& name) const {
  const Slot& s = slot(name);
  HOIST_CHECK(s.data == nullptr, "state '" + name + "' has no home on disk");
  return s.home;
}

void StateStore::carry(const void* carrier, std::vector<Carried> states) {
  carrier_ = carrier;
  carried_ = std::move(states);
}

void StateStore::release() {
  std::vector<device::DiskTier::Ticket> none;
  for (const Carried& c : carried_)
    if (c.dirty) disk_->start_store(home(c.name) + c.at, c.data, c.bytes, none);
  if (disk_) disk_->wait_all();
  carried_.clear();
  carrier_ = nullptr;
}

void StateStore::read(const std::string& name, void* to) const {
  const Slot& s = slot(name);
  const auto bytes = static_cast<size_t>(s.type.bytes());
  if (s.data) {
    std::memcpy(to, s.data, bytes);
    return;
  }
  disk_->read(s.home, static_cast<std::byte*>(to), s.type.bytes());
  for (const Carried& c : carried_)
    if (c.name == name && c.dirty)
      std::memcpy(static_cast<std::byte*>(to) + c.at, c.data, static_cast<size_t>(c.bytes));
}

void StateStore::write(const std::string& name, const void* from) {
  const Slot& s = slot(name);
  const auto bytes = static_cast<size_t>(s.type.bytes());
  if (s.data) {
    std::memcpy(s.data, from, bytes);
    return;
  }
  for (const Carried& c : carried_)
    if (c.name == name)
      std::memcpy(c.data, static_cast<const std::byte*>(from) + c.at, static_cast<size_t>(c.bytes));
  disk_->write(s.home, static_cast<const std::byte*>(from), s.type.bytes());
}

kernels::TensorView StateStore::view(const std::string& name) const {
  const Slot& s = slot(name);
  HOIST_CHECK(s.data != nullptr, "state '" + name + "' moves between tiers: read it");
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
