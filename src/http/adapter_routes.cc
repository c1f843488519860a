#include "http/adapter_routes.h"

#include <algorithm>

#include "http/api_error.h"
#include "http/completions.h"
#include "io/files.h"
#include "io/json.h"
#include "io/json_value.h"

namespace hoist::http {

namespace {

using io::Json;

struct AdapterCall {
  std::string name, path, model;
};

void check_name(const std::string& name) {
  const bool good = !name.empty() && name.size() <= 128 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-' || c == '/' || c == ':';
  });
  if (!good)
    throw ApiError(400, "lora_name: expected 1 to 128 letters, digits or any of . _ - / :", "lora_name",
                   "invalid_value");
}

void check_path(const std::string& path) {
  try {
    if (path.size() > 1024) throw_invalid("lora_path: too long");
    for (size_t at = 0; at <= path.size();) {
      const size_t slash = std::min(path.find('/', at), path.size());
      io::check_file_name(path.substr(at, slash - at), "lora_path");
      at = slash + 1;
    }
  } catch (const Error& e) {
    throw ApiError(400, e.what(), "lora_path", "invalid_value");
  }
}

// Where the folder lies is nobody's business.
ApiError without_folder(ApiError error, const std::string& folder) {
  const std::string prefix = folder.ends_with('/') ? folder : folder + '/';
  for (size_t at; (at = error.message.find(prefix)) != std::string::npos;)
    error.message.erase(at, prefix.size());
  return error;
}

AdapterCall parse(const Request& request, size_t max_body_bytes, bool with_path) {
  io::JsonOptions options;
  options.max_bytes = max_body_bytes;
  options.syntax_error = ErrorCode::kInvalidArgument;
  const io::JsonDocument document = io::JsonDocument::parse(request.body, "request body", options);
  AdapterCall call;
  const Json root = document.root();
  if (!root.is_object()) throw ApiError(400, "request body: expected an object", "", "invalid_value");
  const auto text = [&](const char* key, std::string& to, bool needed) {
    const auto value = root.find(key);
    if (!value) {
      if (needed) throw ApiError(400, std::string(key) + ": missing", key, "missing_field");
      return;
    }
    if (!value->is_string())
      throw ApiError(400, std::string(key) + ": found " + value->excerpt() + ", expected a string", key,
                     "invalid_type");
    to = value->as_string();
  };
  text("lora_name", call.name, true);
  text("lora_path", call.path, with_path);
  text("model", call.model, false);
  for (const std::string& key : root.unread_keys())
    throw ApiError(400, key + ": found a field that is not supported here", key, "unsupported");
  check_name(call.name);
  if (with_path) check_path(call.path);
  return call;
}

}  // namespace

void add_adapter_routes(Router& router, Server& server, const AdapterControl& control,
                        size_t max_body_bytes) {
  const Poster poster = server.poster();
  const auto add = [&](const char* path, bool loads, const char* summary, const char* schema) {
    router.add(
        "POST", path,
        [&control, poster, loads, max_body_bytes](const Request& request, const ExchangePtr& exchange) {
          check_content_type(request);
          const AdapterCall call = parse(request, max_body_bytes, loads);
          if (control.folder.empty())
            throw ApiError(501,
                           "adapters are loaded while the server runs only where it was started with "
                           "--adapters-folder",
                           "", "not_implemented");
          control.run([&control, poster, exchange, call, loads] {
            Response response;
            try {
              if (loads)
                control.load(call.name, io::join_path(control.folder, call.path), call.model);
              else
                control.unload(call.name);
              response.body = io::JsonValue{{"status", "ok"}, {"lora_name", call.name}}.dump();
            } catch (...) {
              ApiError error = current_api_error();
              response = error_response(without_folder(std::move(error), control.folder));
            }
            poster.post([exchange, response]() mutable { exchange->respond(std::move(response)); });
          });
        },
        {summary, schema, ""});
  };
  add("/v1/load_lora_adapter", true, "Add a LoRA adapter, or exchange one of that name",
      R"({"type":"object","required":["lora_name","lora_path"],"properties":{"lora_name":{"type":"string"},)"
      R"("lora_path":{"type":"string"},"model":{"type":"string"}}})");
  add("/v1/unload_lora_adapter", false, "Take a LoRA adapter away; requests that use it go on",
      R"({"type":"object","required":["lora_name"],"properties":{"lora_name":{"type":"string"}}})");
}

}  // namespace hoist::http
