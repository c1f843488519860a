// What a ModelHost knows of its models and requests. Private to model_host.cc and model_keeper.cc; all of it
// is guarded by the host's mutex, but for Call::choices and Call::sink, which are the engine's thread's.
#pragma once

#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "serve/model_host.h"

namespace hoist::serve {

// A model in memory. Slots of adapters are counted here: who began with one keeps it.
struct ModelHost::Loaded {
  std::unique_ptr<HostedModel> model;
  std::string fingerprint;
  int64_t calls = 0;  // under way
  struct Slot {
    std::string name;   // of the adapter that new requests find here; empty: none
    bool busy = false;  // being filled
    int64_t calls = 0;
  };
  std::vector<Slot> slots;
  int64_t slot_of(const std::string& name) const {
    for (size_t i = 0; i < slots.size(); ++i)
      if (!name.empty() && slots[i].name == name) return static_cast<int64_t>(i);
    return -1;
  }
};

struct ModelHost::Entry {
  ModelSource source;
  std::shared_ptr<Loaded> loaded;  // null: not in memory
  bool wanted = false;             // somebody waits for it
  std::vector<Then> waiting;
  http::ModelInfo info;       // as of when it was last loaded
  std::string changed;        // a fingerprint seen once: files may still be being written
  std::string refused;        // one that could not be loaded
  double used = 0;            // when a request last began or ended
  std::exception_ptr failed;  // of the last attempt to load it
};

struct ModelHost::Call {
  Handle id = 0, inner = 0;
  std::shared_ptr<Loaded> loaded;  // null: waits
  int64_t slot = -1;
  int64_t choices = 1;  // not ended
  http::CompletionSink sink;
  bool cancelled = false, ended = false;
};

}  // namespace hoist::serve
