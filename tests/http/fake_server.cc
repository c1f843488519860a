// A server on the fake engine, to look at the page and to run the Python tests without a model.
//   fake_http_server [PORT]     prints its address on the first line; SIGTERM drains
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "http/completions.h"
#include "http/fake_engine.h"
#include "http/page.h"
#include "http/server.h"

int main(int argc, char** argv) try {
  hoist::http::FakeEngineOptions engine_options;
  engine_options.step = std::chrono::milliseconds(25);
  hoist::http::FakeEngine engine(engine_options);
  hoist::http::ServerOptions options;
  options.port = static_cast<uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  options.handle_signals = true;
  options.log = [](std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  hoist::http::Server server(options);
  hoist::http::CompletionsApi api(engine, server);
  hoist::http::Router router;
  api.add_routes(router);
  hoist::http::add_page_routes(router);
  std::printf("%s\n", server.url().c_str());
  std::fflush(stdout);
  return server.serve(router) ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
