#include "http/metrics_route.h"

namespace hoist::http {

void add_metrics_route(Router& router, Server& server, std::function<std::string()> text) {
  server.answer_while_draining("/metrics");
  router.add("GET", "/metrics", [text = std::move(text)](const Request&, const ExchangePtr& exchange) {
    Response response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = text();
    exchange->respond(std::move(response));
  });
}

}  // namespace hoist::http
