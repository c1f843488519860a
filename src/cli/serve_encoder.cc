#include "cli/serve_encoder.h"

#include <cstdio>

#include "cli/options.h"
#include "http/encoder_api.h"
#include "http/metrics_route.h"
#include "http/router.h"
#include "serve/encoder_engine.h"

namespace hoist::cli {

void serve_encoder(const EncoderServeFlags& flags, const http::ServerOptions& server_options) {
  decode::EncoderModel model = decode::open_encoder(flags.model);
  if (!flags.name.empty()) model.name = flags.name;
  serve::EncoderMetrics metrics(model.name);
  http::ServerOptions listening = server_options;
  listening.on_access = [&](const http::Access& access) {
    metrics.answered(access.status, access.tenant);
    if (server_options.on_access) server_options.on_access(access);
  };
  // Bind first: a port in use should not cost the loading of a model.
  http::Server server(listening);
  decode::EncoderOptions options;
  options.threads = flags.threads;
  options.batch_tokens = flags.batch_tokens;
  options.weights_as_stored = !flags.exact;
  decode::Encoder encoder(model, options);
  serve::EncoderServeOptions serve_options;
  serve_options.max_queue = flags.max_queue;
  serve_options.metrics = &metrics;
  serve::EncoderEngine engine(model, encoder, serve_options);
  std::fprintf(
      stderr,
      "%s: %s parameters; memory planned: weights %s, work space %s; sequences of at most %lld tokens\n"
      "a batch takes %.3g ms, %.3g us per token and %.3g ns per token and token of its sequence\n",
      model.name.c_str(), human_count(models::parameter_count(model.config)).c_str(),
      human_bytes(encoder.memory().weights).c_str(), human_bytes(encoder.memory().arena).c_str(),
      static_cast<long long>(encoder.max_tokens()), engine.cost().fixed * 1e3, engine.cost().token * 1e6,
      engine.cost().square * 1e9);
  http::Router router;
  http::EncoderApi api(engine, server, server_options.max_body_bytes);
  api.add_routes(router);
  http::add_metrics_route(router, server, [&] { return metrics.text(); });
  std::printf("Serving %s at %s  (Ctrl-C ends it)\n", model.name.c_str(), server.url().c_str());
  std::fflush(stdout);
  server.serve(router);
  std::fprintf(stderr, "stopped\n");
}

}  // namespace hoist::cli
