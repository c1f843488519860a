// The host's own thread: loads what is wanted, makes room for it, ends what is idle, exchanges what has
// changed.
#include <chrono>
#include <cstdio>
#include <map>
#include <new>
#include <tuple>

#include "base/error.h"
#include "serve/model_entries.h"

namespace hoist::serve {

void ModelHost::keep() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    // Each does at most one thing, with the mutex released while it takes its time.
    if (tidy(lock) || load_one(lock) || look_for_changes(lock)) continue;
    const bool timed = options_.unload_after > 0 || options_.reload_seconds > 0;
    if (timed)
      wake_.wait_for(lock, std::chrono::milliseconds(200));
    else
      wake_.wait(lock);
  }
  std::vector<Then> waiting;
  for (const auto& e : entries_)
    for (Then& t : e->waiting) waiting.push_back(std::move(t));
  lock.unlock();
  for (const Then& t : waiting)
    t(nullptr, std::make_exception_ptr(Error(ErrorCode::kUnavailable, "the server is stopping")));
}

// Ends what nobody uses any more: exchanged models, idle ones.
bool ModelHost::tidy(std::unique_lock<std::mutex>& lock) {
  for (const auto& e : entries_)
    if (options_.unload_after > 0 && e->loaded && e->loaded->calls == 0 && !e->wanted &&
        now() - e->used >= options_.unload_after) {
      ending_.push_back(std::move(e->loaded));
      e->loaded.reset();
      if (options_.log) options_.log("model " + e->source.name + " unloaded: idle");
      break;
    }
  for (size_t i = 0; i < ending_.size(); ++i)
    if (ending_[i]->calls == 0) {
      std::shared_ptr<Loaded> gone = std::move(ending_[i]);
      ending_.erase(ending_.begin() + static_cast<std::ptrdiff_t>(i));
      lock.unlock();
      gone.reset();
      lock.lock();
      return true;
    }
  return false;
}

// Unloads the model that was not asked for longest, of those without requests; false when none can go.
bool ModelHost::make_room(std::unique_lock<std::mutex>& lock, const Entry& wanted) {
  Entry* oldest = nullptr;
  for (const auto& e : entries_)
    if (e.get() != &wanted && e->loaded && e->loaded->calls == 0 && (!oldest || e->used < oldest->used))
      oldest = e.get();
  if (!oldest) return false;
  std::shared_ptr<Loaded> gone = std::move(oldest->loaded);
  oldest->loaded.reset();
  if (options_.log) options_.log("model " + oldest->source.name + " unloaded: another is wanted");
  lock.unlock();
  gone.reset();
  lock.lock();
  return true;
}

bool ModelHost::load_one(std::unique_lock<std::mutex>& lock) {
  Entry* entry = nullptr;
  for (const auto& e : entries_)
    if (e->wanted && !e->loaded) entry = e.get();
  if (!entry) return false;
  size_t loaded_now = 0;
  for (const auto& e : entries_) loaded_now += e->loaded != nullptr;
  if (loaded_now >= options_.max_loaded && !make_room(lock, *entry)) {
    wake_.wait_for(lock, std::chrono::milliseconds(200));  // all are in use: until a request ends
    return true;
  }
  const ModelSource source = entry->source;
  const double begin = now();
  auto loaded = std::make_shared<Loaded>();
  std::exception_ptr failed;
  for (bool again = true; again;) {
    again = false;
    failed = nullptr;
    lock.unlock();
    try {
      if (options_.fingerprint) loaded->fingerprint = options_.fingerprint(source.path);
      loaded->model = load_(source);
      loaded->slots.resize(static_cast<size_t>(loaded->model->adapter_slots()));
    } catch (...) {
      failed = std::current_exception();
    }
    lock.lock();
    // Memory that another model holds may be what it lacks.
    if (failed && !stopping_) try {
        std::rethrow_exception(failed);
      } catch (const Error& e) {
        again = e.code() == ErrorCode::kResourceExhausted && make_room(lock, *entry);
      } catch (const std::bad_alloc&) {
        again = make_room(lock, *entry);
      } catch (...) {
      }
  }
  if (!failed) {
    const std::string problem = put_adapters(lock, *entry, loaded);
    if (!problem.empty()) {
      if (options_.log) options_.log(problem);
      // At the start: say so and end. Later the model is worth more than one of its adapters.
      if (entry->info.max_model_len == 0)
        failed = std::make_exception_ptr(Error(ErrorCode::kInvalidArgument, problem));
    }
  }
  std::vector<Then> waiting = std::move(entry->waiting);
  entry->waiting.clear();
  waiting_ -= waiting.size();
  entry->wanted = false;
  entry->failed = failed;
  entry->used = now();
  if (!failed) {
    entry->info = loaded->model->engine().info();
    entry->info.id = entry->source.name;
    entry->loaded = loaded;
    ++loaded->calls;
  }
  const double took = now() - begin;
  lock.unlock();
  if (!failed && options_.log) {
    char text[64];
    std::snprintf(text, sizeof text, " loaded in %.2f s", took);
    options_.log("model " + source.name + text);
  }
  for (const Then& t : waiting) t(failed ? nullptr : loaded, failed);
  lock.lock();
  if (!failed) --loaded->calls;
  changed_.notify_all();
  return true;
}

// Fills a model that nobody uses yet with the adapters that its entry has, also with those that come while it
// does. Returns what went wrong with the last that could not be put in.
std::string ModelHost::put_adapters(std::unique_lock<std::mutex>& lock, Entry& entry,
                                    const std::shared_ptr<Loaded>& loaded) {
  std::map<std::string, std::string> tried;
  std::string problem;
  const auto next = [&] {
    for (const auto& [name, folder] : entry.source.adapters) {
      const auto had = tried.find(name);
      if (had == tried.end() || had->second != folder) return std::pair{name, folder};
    }
    return std::pair<std::string, std::string>{};
  };
  for (auto [name, folder] = next(); !name.empty(); std::tie(name, folder) = next()) {
    tried[name] = folder;
    try {
      put_adapter(lock, loaded, name, folder);
    } catch (const std::exception& e) {
      problem = "adapter " + name + ": " + e.what();
    }
  }
  for (Loaded::Slot& s : loaded->slots)  // taken away meanwhile
    if (!entry.source.adapters.count(s.name)) s.name.clear();
  return problem;
}

// A model whose files changed, and then stayed as they are from one look to the next, is loaded beside the
// old one and takes its place.
bool ModelHost::look_for_changes(std::unique_lock<std::mutex>& lock) {
  if (options_.reload_seconds <= 0 || !options_.fingerprint || now() - last_look_ < options_.reload_seconds)
    return false;
  last_look_ = now();
  for (const auto& e : entries_) {
    if (!e->loaded) continue;
    const std::string path = e->source.path, before = e->loaded->fingerprint;
    std::string seen;
    lock.unlock();
    try {
      seen = options_.fingerprint(path);
    } catch (const std::exception&) {
      // Half of it may be there yet.
    }
    lock.lock();
    if (seen.empty() || seen == before || seen == e->refused) {
      e->changed.clear();
      continue;
    }
    if (seen != e->changed) {
      e->changed = seen;
      continue;
    }
    auto loaded = std::make_shared<Loaded>();
    loaded->fingerprint = seen;
    const ModelSource source = e->source;
    std::string problem;
    lock.unlock();
    try {
      loaded->model = load_(source);
      loaded->slots.resize(static_cast<size_t>(loaded->model->adapter_slots()));
    } catch (const std::exception& error) {
      problem = error.what();
    }
    lock.lock();
    if (problem.empty()) problem = put_adapters(lock, *e, loaded);
    if (problem.empty()) {
      e->info = loaded->model->engine().info();
      e->info.id = e->source.name;
      if (e->loaded) ending_.push_back(std::move(e->loaded));
      e->loaded = std::move(loaded);
      e->refused.clear();
    } else {
      e->refused = seen;
    }
    e->changed.clear();
    lock.unlock();
    loaded.reset();
    if (options_.log)
      options_.log(problem.empty() ? "model " + source.name + " exchanged: its files have changed"
                                   : "model " + source.name +
                                         ": its files have changed, and the old one stays: " + problem);
    lock.lock();
    return true;
  }
  return false;
}

}  // namespace hoist::serve
