// ModelHost: several models behind one API - loaded when somebody asks, unloaded when idle or when others
// need the memory, exchanged when their files change, with adapters that come and go.
//
// A request names its model, or an adapter of one; without a name it goes to the first. What it was started
// with it ends with: an exchanged model or adapter stays as long as requests of it run, and nothing fails or
// mixes. Loading, unloading and looking for changes happen on a thread of the host's own; requests for a
// model that is being loaded wait for it, up to a limit.
//
// Threading: as CompletionEngine says; the others may be called from any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "http/completion_engine.h"
#include "serve/engine_load.h"

namespace hoist::serve {

// A model that is loaded, with what serves it.
class HostedModel {
 public:
  virtual ~HostedModel() = default;
  virtual http::CompletionEngine& engine() = 0;
  virtual EngineLoad load() const = 0;
  virtual int64_t adapter_slots() const { return 0; }
  // Reads a folder and puts it into a slot that nobody uses; empty: clears it. Returns when that is done;
  // throws Error naming the folder.
  virtual void set_adapter(int64_t slot, const std::string& folder);
};

struct ModelSource {
  std::string name;
  std::string path;
  std::map<std::string, std::string> adapters;  // name: folder, put in when the model is loaded
};

struct ModelHostOptions {
  size_t max_loaded = 1;      // models in memory at once, beside those that are ending
  double unload_after = 0;    // seconds without a request; 0: never. The first model too.
  double reload_seconds = 0;  // look for changed files so often; 0: never
  size_t max_waiting = 256;   // requests that wait for a model to be loaded; more are refused
  // Of the files a model consists of: changes when they do. Throws when they cannot be read.
  std::function<std::string(const std::string& path)> fingerprint;
  std::function<void(const std::string&)> log;  // one line; called on the host's thread
  std::function<double()> clock;                // seconds, monotonic; empty: the steady clock
};

class ModelHost final : public http::CompletionEngine {
 public:
  using Load = std::function<std::unique_ptr<HostedModel>(const ModelSource&)>;
  // `models` is not empty; names, adapters' too, are distinct. The first is loaded at once.
  ModelHost(std::vector<ModelSource> models, Load load, ModelHostOptions options);
  ~ModelHost() override;  // waits for nobody: requests under way get kError

  // Until the first model is loaded. Throws what loading it threw.
  void wait_for_first();
  // Of all loaded models together.
  EngineLoad load() const;

  http::EngineState state() const override;
  http::ModelInfo info() const override;
  std::vector<http::ModelInfo> models() const override;
  Handle submit(http::CompletionRequest request, http::CompletionSink sink) override;
  void cancel(Handle handle) override;
  void tokenize(http::TokenizeRequest request, std::function<void(http::TokenizeResult)> done) override;
  void detokenize(http::DetokenizeRequest request, std::function<void(http::TokenizeResult)> done) override;

  // Adds an adapter, or exchanges one of that name: requests from now on use it. Blocks until it is in place;
  // throws Error. `model` empty: the first.
  void load_adapter(const std::string& name, const std::string& folder, const std::string& model);
  // Requests that run with it go on.
  void unload_adapter(const std::string& name);

 private:
  struct Loaded;
  struct Entry;
  struct Call;
  struct Target {
    Entry* entry = nullptr;
    std::string adapter;  // empty: none
  };
  using Then = std::function<void(const std::shared_ptr<Loaded>&, std::exception_ptr)>;

  Target find(const std::string& name) const;
  void when_loaded(std::unique_lock<std::mutex>& lock, Entry& entry, Then then);
  void forward(const std::shared_ptr<Call>& call, http::CompletionRequest request, const std::string& adapter,
               const std::shared_ptr<Loaded>& loaded);
  void over(const std::shared_ptr<Call>& call);
  int64_t free_slot(const Loaded& loaded) const;
  void keep();
  bool load_one(std::unique_lock<std::mutex>& lock);
  bool make_room(std::unique_lock<std::mutex>& lock, const Entry& wanted);
  bool tidy(std::unique_lock<std::mutex>& lock);
  bool look_for_changes(std::unique_lock<std::mutex>& lock);
  void put_adapter(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Loaded>& loaded,
                   const std::string& name, const std::string& folder);
  std::string put_adapters(std::unique_lock<std::mutex>& lock, Entry& entry,
                           const std::shared_ptr<Loaded>& loaded);
  double now() const;

  const Load load_;
  const ModelHostOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_, changed_;
  std::vector<std::unique_ptr<Entry>> entries_;
  std::vector<std::shared_ptr<Loaded>> ending_;  // exchanged or unloaded, with requests under way
  std::unordered_map<Handle, std::shared_ptr<Call>> calls_;
  Handle next_ = 1;
  size_t waiting_ = 0;
  double last_look_ = 0;
  bool stopping_ = false;
  std::thread keeper_;
};

// Names, sizes and times of the files of a model folder, or of a GGUF file.
std::string files_fingerprint(const std::string& path);

}  // namespace hoist::serve
