// Adapters that come and go while the server runs, as vLLM has them:
//
//   POST /v1/load_lora_adapter    {"lora_name", "lora_path", "model"?}: adds one, or exchanges one of that
//   name POST /v1/unload_lora_adapter  {"lora_name"}
//
// A path is below the folder that the operator named, and cannot leave it; without such a folder both answer
// 501. Answers come when the adapter is in place. Requests under way end with what they began with.
#pragma once

#include <functional>
#include <string>

#include "http/message.h"
#include "http/router.h"
#include "http/server.h"

namespace hoist::http {

struct AdapterControl {
  std::string folder;  // empty: adapters do not come and go
  // Both may block and throw Error; called on a thread of `run`.
  std::function<void(const std::string& name, const std::string& path, const std::string& model)> load;
  std::function<void(const std::string& name)> unload;
  std::function<void(std::function<void()>)> run;  // on a thread that may wait
};

// `control` outlives the router.
void add_adapter_routes(Router& router, Server& server, const AdapterControl& control, size_t max_body_bytes);

}  // namespace hoist::http
