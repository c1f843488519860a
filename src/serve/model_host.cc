#include "serve/model_host.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/error.h"
#include "io/files.h"
#include "serve/model_entries.h"

namespace hoist::serve {

void HostedModel::set_adapter(int64_t, const std::string& folder) {
  throw_unsupported(folder + ": this model has no room for adapters");
}

ModelHost::ModelHost(std::vector<ModelSource> models, Load load, ModelHostOptions options)
    : load_(std::move(load)), options_(std::move(options)) {
  HOIST_CHECK(!models.empty(), "a host of no models");
  std::vector<std::string> names;
  for (ModelSource& m : models) {
    names.push_back(m.name);
    for (const auto& [name, folder] : m.adapters) names.push_back(name);
    auto entry = std::make_unique<Entry>();
    entry->info.id = m.name;
    entry->source = std::move(m);
    entry->used = now();
    entries_.push_back(std::move(entry));
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw_invalid("models: found two of the name '" + *twice + "'");
  last_look_ = now();
  entries_[0]->wanted = true;
  keeper_ = std::thread([this] { keep(); });
}

ModelHost::~ModelHost() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  keeper_.join();
  // Engines end their requests with an error when they are destroyed.
  std::vector<std::shared_ptr<Loaded>> all;
  {
    const std::lock_guard lock(mutex_);
    for (auto& e : entries_)
      if (e->loaded) all.push_back(std::move(e->loaded));
    all.insert(all.end(), ending_.begin(), ending_.end());
    ending_.clear();
  }
  for (auto& l : all) l->model.reset();
}

double ModelHost::now() const {
  if (options_.clock) return options_.clock();
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void ModelHost::wait_for_first() {
  std::unique_lock lock(mutex_);
  Entry& first = *entries_[0];
  changed_.wait(lock, [&] { return stopping_ || first.loaded || first.failed; });
  if (!first.loaded && first.failed) std::rethrow_exception(first.failed);
}

EngineLoad ModelHost::load() const {
  const std::lock_guard lock(mutex_);
  EngineLoad sum;
  const auto add = [&](const std::shared_ptr<Loaded>& l) {
    if (!l) return;
    const EngineLoad one = l->model->load();
    sum.busy = sum.busy || one.busy;
    sum.steps += one.steps;
    sum.rows += one.rows;
    sum.reused_tokens += one.reused_tokens;
    sum.total_blocks += one.total_blocks;
    sum.free_blocks += one.free_blocks;
  };
  for (const auto& e : entries_) add(e->loaded);
  for (const auto& l : ending_) add(l);
  return sum;
}

http::EngineState ModelHost::state() const {
  const std::lock_guard lock(mutex_);
  const Entry& first = *entries_[0];
  // Once it was there, it comes back when somebody asks.
  return first.loaded || first.info.max_model_len > 0 ? http::EngineState::kReady
                                                      : http::EngineState::kLoading;
}

http::ModelInfo ModelHost::info() const {
  const std::lock_guard lock(mutex_);
  return entries_[0]->info;
}

std::vector<http::ModelInfo> ModelHost::models() const {
  const std::lock_guard lock(mutex_);
  std::vector<http::ModelInfo> out;
  for (const auto& e : entries_) {
    out.push_back(e->info);
    out.back().loaded = e->loaded != nullptr;
    for (const auto& [name, folder] : e->source.adapters) {
      out.push_back(e->info);
      out.back().id = name;
      out.back().parent = e->info.id;
      out.back().loaded = e->loaded && e->loaded->slot_of(name) >= 0;
    }
  }
  return out;
}

// With the mutex held.
ModelHost::Target ModelHost::find(const std::string& name) const {
  if (name.empty()) return {entries_[0].get(), ""};
  for (const auto& e : entries_) {
    if (e->source.name == name) return {e.get(), ""};
    if (e->source.adapters.count(name)) return {e.get(), name};
  }
  throw_not_found("model: found '" + name + "', which is not served here");
}

// Calls `then` now, or on the host's thread once the model is loaded or could not be; never with the mutex
// held.
void ModelHost::when_loaded(std::unique_lock<std::mutex>& lock, Entry& entry, Then then) {
  entry.used = now();
  if (entry.loaded) {
    const std::shared_ptr<Loaded> loaded = entry.loaded;
    ++loaded->calls;  // it stays until `then` has begun what it begins
    lock.unlock();
    then(loaded, nullptr);
    lock.lock();
    --loaded->calls;
    return;
  }
  if (stopping_) throw Error(ErrorCode::kUnavailable, "the server is stopping");
  if (waiting_ >= options_.max_waiting)
    throw Error(ErrorCode::kResourceExhausted, "the model is being loaded, and " + std::to_string(waiting_) +
                                                   " requests wait for it already");
  ++waiting_;
  entry.wanted = true;
  entry.waiting.push_back(std::move(then));
  wake_.notify_all();
}

ModelHost::Handle ModelHost::submit(http::CompletionRequest request, http::CompletionSink sink) {
  std::unique_lock lock(mutex_);
  const Target target = find(request.model);
  auto call = std::make_shared<Call>();
  call->id = next_++;
  call->choices = request.n;
  call->sink = std::move(sink);
  calls_[call->id] = call;
  const Handle id = call->id;
  // What a loaded model refuses at once is thrown; what comes later is the first event.
  const bool later = !target.entry->loaded;
  std::exception_ptr thrown;
  auto shared = std::make_shared<http::CompletionRequest>(std::move(request));
  const auto then = [this, call, shared, adapter = target.adapter, later, &thrown](
                        const std::shared_ptr<Loaded>& loaded, std::exception_ptr failed) {
    std::exception_ptr problem = failed;
    if (!problem) try {
        forward(call, std::move(*shared), adapter, loaded);
        return;
      } catch (...) {
        problem = std::current_exception();
      }
    over(call);
    if (!later) {
      thrown = problem;
      return;
    }
    http::CompletionEvent event;
    event.finished = true;
    event.reason = http::FinishReason::kError;
    event.refused = problem;
    if (!call->cancelled) call->sink(std::move(event));
  };
  try {
    when_loaded(lock, *target.entry, then);
  } catch (...) {
    calls_.erase(id);
    throw;
  }
  if (thrown) std::rethrow_exception(thrown);
  return id;
}

// Hands a request to the model's engine. Throws what that throws.
void ModelHost::forward(const std::shared_ptr<Call>& call, http::CompletionRequest request,
                        const std::string& adapter, const std::shared_ptr<Loaded>& loaded) {
  {
    const std::lock_guard lock(mutex_);
    if (call->cancelled) return;
    if (!adapter.empty()) {
      call->slot = loaded->slot_of(adapter);
      if (call->slot < 0)
        throw Error(ErrorCode::kUnavailable, "model: the adapter '" + adapter + "' is not loaded");
      ++loaded->slots[static_cast<size_t>(call->slot)].calls;
    }
    request.adapter = call->slot;
    call->loaded = loaded;
    ++loaded->calls;
  }
  const Handle inner =
      loaded->model->engine().submit(std::move(request), [this, call](http::CompletionEvent e) {
        const bool last = e.refused || (e.finished && --call->choices == 0);
        call->sink(std::move(e));
        if (last) over(call);
      });
  bool late = false;
  {
    const std::lock_guard lock(mutex_);
    call->inner = inner;
    late = call->cancelled && !call->ended;
  }
  if (late) {
    loaded->model->engine().cancel(inner);
    over(call);
  }
}

// The request has ended, in whatever way; what it held may go. Any thread.
void ModelHost::over(const std::shared_ptr<Call>& call) {
  const std::lock_guard lock(mutex_);
  if (call->ended) return;
  call->ended = true;
  calls_.erase(call->id);
  if (!call->loaded) return;
  --call->loaded->calls;
  if (call->slot >= 0) --call->loaded->slots[static_cast<size_t>(call->slot)].calls;
  for (const auto& e : entries_)
    if (e->loaded == call->loaded) e->used = now();
  call->loaded.reset();
  wake_.notify_all();
}

void ModelHost::cancel(Handle handle) {
  std::shared_ptr<Call> call;
  std::shared_ptr<Loaded> loaded;
  Handle inner = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find(handle);
    if (found == calls_.end()) return;
    call = found->second;
    call->cancelled = true;
    loaded = call->loaded;
    inner = call->inner;
  }
  if (!loaded || inner == 0) return;  // forward() sees to it
  loaded->model->engine().cancel(inner);
  over(call);
}

void ModelHost::tokenize(http::TokenizeRequest request, std::function<void(http::TokenizeResult)> done) {
  std::unique_lock lock(mutex_);
  Entry& entry = *find(request.model).entry;
  auto shared = std::make_shared<http::TokenizeRequest>(std::move(request));
  when_loaded(lock, entry, [shared, done](const std::shared_ptr<Loaded>& loaded, std::exception_ptr failed) {
    http::TokenizeResult result;
    result.error = failed;
    if (!failed) try {
        return loaded->model->engine().tokenize(std::move(*shared), done);
      } catch (...) {
        result.error = std::current_exception();
      }
    done(std::move(result));
  });
}

void ModelHost::detokenize(http::DetokenizeRequest request, std::function<void(http::TokenizeResult)> done) {
  std::unique_lock lock(mutex_);
  Entry& entry = *find(request.model).entry;
  auto shared = std::make_shared<http::DetokenizeRequest>(std::move(request));
  when_loaded(lock, entry, [shared, done](const std::shared_ptr<Loaded>& loaded, std::exception_ptr failed) {
    http::TokenizeResult result;
    result.error = failed;
    if (!failed) try {
        return loaded->model->engine().detokenize(std::move(*shared), done);
      } catch (...) {
        result.error = std::current_exception();
      }
    done(std::move(result));
  });
}

// ---- adapters ----

// With the mutex held; -1: all are in use.
int64_t ModelHost::free_slot(const Loaded& loaded) const {
  for (size_t i = 0; i < loaded.slots.size(); ++i) {
    const Loaded::Slot& s = loaded.slots[i];
    if (s.name.empty() && !s.busy && s.calls == 0) return static_cast<int64_t>(i);
  }
  return -1;
}

// Fills a free slot, waiting a while for one, and lets new requests find it there. Unlocks meanwhile.
void ModelHost::put_adapter(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Loaded>& loaded,
                            const std::string& name, const std::string& folder) {
  ++loaded->calls;
  int64_t slot = -1;
  const bool found = wake_.wait_for(lock, std::chrono::seconds(30), [&] {
    slot = free_slot(*loaded);
    return stopping_ || slot >= 0;
  });
  std::exception_ptr failed;
  if (!found || slot < 0) {
    failed = std::make_exception_ptr(
        Error(ErrorCode::kResourceExhausted,
              folder + ": all " + std::to_string(loaded->slots.size()) + " places for adapters are in use"));
  } else {
    Loaded::Slot& s = loaded->slots[static_cast<size_t>(slot)];
    s.busy = true;
    lock.unlock();
    try {
      loaded->model->set_adapter(slot, folder);
    } catch (...) {
      failed = std::current_exception();
    }
    lock.lock();
    s.busy = false;
    if (!failed) {
      if (const int64_t old = loaded->slot_of(name); old >= 0)
        loaded->slots[static_cast<size_t>(old)].name.clear();
      s.name = name;
    }
  }
  --loaded->calls;
  wake_.notify_all();
  if (failed) std::rethrow_exception(failed);
}

void ModelHost::load_adapter(const std::string& name, const std::string& folder, const std::string& model) {
  std::unique_lock lock(mutex_);
  Entry& entry = *find(model).entry;
  for (const auto& e : entries_)
    if (e->source.name == name || (e.get() != &entry && e->source.adapters.count(name)))
      throw_invalid("lora_name: found '" + name + "', which is another model's name");
  if (!entry.loaded)
    throw Error(ErrorCode::kUnavailable, "the model '" + entry.source.name + "' is not loaded");
  const std::shared_ptr<Loaded> loaded = entry.loaded;
  put_adapter(lock, loaded, name, folder);
  entry.source.adapters[name] = folder;
}

void ModelHost::unload_adapter(const std::string& name) {
  const std::lock_guard lock(mutex_);
  for (const auto& e : entries_) {
    if (e->source.adapters.erase(name) == 0) continue;
    if (e->loaded)
      if (const int64_t slot = e->loaded->slot_of(name); slot >= 0)
        e->loaded->slots[static_cast<size_t>(slot)].name.clear();
    wake_.notify_all();
    return;
  }
  throw_not_found("lora_name: found '" + name + "', which is no adapter that is served here");
}

std::string files_fingerprint(const std::string& path) {
  std::string out;
  const auto add = [&](const std::string& file) {
    struct stat st;
    if (::stat(file.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return;
    out += file + " " + std::to_string(st.st_size) + " " + std::to_string(st.st_ino) + " " +
           std::to_string(st.st_mtim.tv_sec) + "." + std::to_string(st.st_mtim.tv_nsec) + "\n";
  };
  if (!io::is_directory(path)) {
    add(path);
    return out;
  }
  for (const std::string& name : io::list_dir(path))
    if (name.ends_with(".safetensors") || name.ends_with(".json") || name.ends_with(".jinja"))
      add(io::join_path(path, name));
  return out;
}

}  // namespace hoist::serve
