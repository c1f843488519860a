// LocalModel: a model in this process - its weights, engine and thread - as a ModelHost holds it.
#pragma once

#include <memory>
#include <string>

#include "decode/engine.h"
#include "serve/async_engine.h"
#include "serve/model_host.h"

namespace hoist::serve {

struct LocalModelOptions {
  decode::EngineOptions engine;
  std::string draft;  // path of the model that guesses ahead; empty: none
  AsyncOptions async;
};

class LocalModel final : public HostedModel {
 public:
  LocalModel(const std::string& name, const std::string& path, const LocalModelOptions& options);
  ~LocalModel() override;

  http::CompletionEngine& engine() override { return *async_; }
  EngineLoad load() const override { return async_->load(); }
  int64_t adapter_slots() const override { return slots_; }
  void set_adapter(int64_t slot, const std::string& folder) override;

  const decode::Model& model() const { return *model_; }
  const decode::Engine& decoder() const { return *engine_; }

 private:
  const int64_t slots_;
  std::unique_ptr<decode::Model> model_, draft_;
  std::unique_ptr<decode::Engine> engine_;
  std::unique_ptr<AsyncEngine> async_;  // ends first
};

}  // namespace hoist::serve
