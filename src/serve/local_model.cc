#include "serve/local_model.h"

namespace hoist::serve {

LocalModel::LocalModel(const std::string& name, const std::string& path, const LocalModelOptions& options)
    : slots_(options.engine.adapters.slots) {
  model_ = std::make_unique<decode::Model>(decode::open_model(path));
  model_->name = name;
  decode::EngineOptions o = options.engine;
  if (!options.draft.empty()) {
    draft_ = std::make_unique<decode::Model>(decode::open_model(options.draft));
    o.draft = draft_.get();
  }
  engine_ = std::make_unique<decode::Engine>(*model_, o);
  async_ = std::make_unique<AsyncEngine>(*model_, *engine_, options.async);
}

LocalModel::~LocalModel() = default;

void LocalModel::set_adapter(int64_t slot, const std::string& folder) {
  // Read here, put in between two steps.
  const std::unique_ptr<decode::Adapter> adapter = folder.empty() ? nullptr : engine_->load_adapter(folder);
  async_->between_steps([&] { engine_->set_adapter(slot, adapter.get()); });
}

}  // namespace hoist::serve
