// See openapi.h. Source: OpenAPI Specification 3.1.
#include "http/openapi.h"

#include "io/json_value.h"

namespace hoist::http {
namespace {

using io::JsonValue;

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

JsonValue error_response_json() {
  return {{"description", "What was wrong"},
          {"content",
           {{"application/json",
             {{"schema", JsonValue::from_text(R"({"type":"object","required":["error"],"properties":{"error":
{"type":"object","required":["message","type","param","code"],"properties":{"message":{"type":"string"},
"type":{"type":"string"},"param":{"type":["string","null"]},"code":{"type":["string","null"]}}}}})")}}}}}};
}

JsonValue operation(const Router::Route& route, const std::string& path) {
  JsonValue out = JsonValue::object();
  std::string id = lower(route.method);
  for (const char c : path) id += (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_';
  out["operationId"] = id;
  if (!route.doc.summary.empty()) out["summary"] = route.doc.summary;
  if (path.ends_with("{name}"))
    out["parameters"] = JsonValue::array(
        {JsonValue{{"name", "name"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}}});
  if (!route.doc.request.empty())
    out["requestBody"] = {
        {"required", true},
        {"content", {{"application/json", {{"schema", JsonValue::from_text(route.doc.request)}}}}}};
  const std::string type = route.doc.response.empty() ? "application/json" : route.doc.response;
  JsonValue content = JsonValue::object();
  content[type] = JsonValue::object();
  JsonValue answers = JsonValue::object();
  answers["200"] = {{"description", "The answer"}, {"content", std::move(content)}};
  answers["default"] = error_response_json();
  out["responses"] = std::move(answers);
  return out;
}

}  // namespace

std::string request_schema(RequestField::Where where) {
  JsonValue properties = JsonValue::object(), required = JsonValue::array();
  for (const RequestField& field : request_fields()) {
    if (!(field.where & where)) continue;
    properties[field.name] = JsonValue::from_text(field.schema);
    if (field.required) required.push_back(field.name);
  }
  JsonValue out = {{"type", "object"}};
  out["properties"] = std::move(properties);
  out["required"] = std::move(required);
  out["additionalProperties"] = false;
  return out.dump();
}

std::string openapi_json(const Router& router) {
  JsonValue paths = JsonValue::object();
  for (const Router::Route& route : router.table()) {
    std::string path = route.pattern;
    if (path.ends_with("/*")) path.replace(path.size() - 1, 1, "{name}");
    paths[path][lower(route.method)] = operation(route, path);
  }
  JsonValue out = {{"openapi", "3.1.0"}};
  out["info"] = {{"title", "Hoist"}, {"version", "1"}};
  out["paths"] = std::move(paths);
  return out.dump();
}

void add_openapi_route(Router& router) {
  router.add("GET", "/openapi.json",
             [&router](const Request&, const ExchangePtr& exchange) {
               Response response;
               response.body = openapi_json(router);
               exchange->respond(std::move(response));
             },
             {"This description", "", ""});
}

}  // namespace hoist::http
