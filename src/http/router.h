// Which handler answers a method and a path. Exact paths, and paths ending in "/*" that match any longer
// tail.
//
// Promises: an unknown path is 404, a known path with another method 405 with Allow; HEAD goes where GET
// goes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace hoist::http {

// What the API's description says of a route (openapi.h). All may be empty.
struct RouteDoc {
  std::string summary;
  std::string request;   // JSON schema of the body
  std::string response;  // media type of the answer; empty: application/json
};

class Router {
 public:
  void add(std::string method, std::string pattern, Handler handler, RouteDoc doc = {});
  // Sets request.tail. Throws ApiError 404 or 405.
  const Handler& find(Request& request) const;
  // Every (method, pattern), in the order added: tests walk them all.
  std::vector<std::pair<std::string, std::string>> routes() const;

  struct Route {
    std::string method, pattern;
    Handler handler;
    RouteDoc doc;
  };
  const std::vector<Route>& table() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace hoist::http
