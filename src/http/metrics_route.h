// GET /metrics, for Prometheus; also while the server drains.
#pragma once

#include <functional>
#include <string>

#include "http/server.h"

namespace hoist::http {

// `text` is called on the io thread, in Prometheus's text format; it lives as long as the router is used.
void add_metrics_route(Router& router, Server& server, std::function<std::string()> text);

}  // namespace hoist::http
