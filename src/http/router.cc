// See router.h.
#include "http/router.h"

#include <algorithm>

#include "http/api_error.h"

namespace hoist::http {
namespace {

bool matches(std::string_view pattern, std::string_view path, std::string_view& tail) {
  tail = {};
  if (!pattern.ends_with("/*")) return pattern == path;
  const std::string_view prefix = pattern.substr(0, pattern.size() - 1);
  if (path.size() <= prefix.size() || !path.starts_with(prefix)) return false;
  tail = path.substr(prefix.size());
  return true;
}

}  // namespace

void Router::add(std::string method, std::string pattern, Handler handler, RouteDoc doc) {
  routes_.push_back({std::move(method), std::move(pattern), std::move(handler), std::move(doc)});
}

const Handler& Router::find(Request& request) const {
  const std::string_view wanted = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  std::vector<std::string> allowed;
  for (const Route& route : routes_) {
    std::string_view tail;
    if (!matches(route.pattern, request.path, tail)) continue;
    if (route.method == wanted) {
      request.tail = tail;
      return route.handler;
    }
    allowed.push_back(route.method);
    if (route.method == "GET") allowed.push_back("HEAD");
  }
  if (allowed.empty()) throw ApiError(404, "no such path: " + request.path, "", "unknown_path");
  std::sort(allowed.begin(), allowed.end());
  allowed.erase(std::unique(allowed.begin(), allowed.end()), allowed.end());
  std::string list;
  for (const std::string& method : allowed) list += (list.empty() ? "" : ", ") + method;
  ApiError error(405, request.path + ": method " + request.method + " is not allowed, expected " + list, "",
                 "method_not_allowed");
  error.headers.push_back({"Allow", list});
  throw error;
}

std::vector<std::pair<std::string, std::string>> Router::routes() const {
  std::vector<std::pair<std::string, std::string>> result;
  for (const Route& route : routes_) result.emplace_back(route.method, route.pattern);
  return result;
}

}  // namespace hoist::http
