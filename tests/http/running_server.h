// A server on its own thread and a port of the system's choice, with or without the completions API.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "http/completions.h"
#include "http/fake_engine.h"
#include "http/page.h"
#include "http/server.h"

namespace hoist::http {

inline ServerOptions test_options() {
  ServerOptions options;
  options.port = 0;
  return options;
}

class RunningServer {
 public:
  explicit RunningServer(ServerOptions options = test_options(), FakeEngineOptions engine_options = {})
      : engine(std::move(engine_options)), server(std::move(options)), api(engine, server) {
    api.add_routes(router);
    add_page_routes(router);
  }
  ~RunningServer() {
    server.stop();
    if (thread_.joinable()) thread_.join();
  }
  // Routes may be added before.
  RunningServer& start() {
    thread_ = std::thread([this] { clean_ = server.serve(router); });
    return *this;
  }
  uint16_t port() const { return server.port(); }
  // Waits for serve() to return; its result.
  bool join() {
    thread_.join();
    return clean_;
  }

  FakeEngine engine;
  Server server;
  CompletionsApi api;
  Router router;

 private:
  std::thread thread_;
  bool clean_ = false;
};

}  // namespace hoist::http
