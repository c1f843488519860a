// hoist serve: an OpenAI-compatible server and a page, on loopback.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "cli/options.h"
#include "cli/serve_encoder.h"
#include "http/completions.h"
#include "http/page.h"
#include "http/router.h"
#include "http/server.h"
#include "io/encoder_config.h"
#include "serve/async_engine.h"

namespace hoist::cli {

namespace {

struct ServeOptions {
  std::string model, host = "127.0.0.1", name, cache = "f32", trace;
  int port = 8080;
  bool allow_remote = false, quiet = false, exact = false;
  std::vector<std::string> allowed_hosts;
  int64_t max_seqs = 16, step_tokens = 256, context = 0, cache_tokens = 0, max_queue = 128,
          batch_tokens = 1024, max_body = 4 << 20;
  int threads = 0, connections = 256;
  double drain_seconds = 30;
};

void run(const ServeOptions& o) {
  if (o.port < 0 || o.port > 65535)
    throw_invalid("--port: found " + std::to_string(o.port) + ", expected 0..65535");
  http::ServerOptions server_options;
  server_options.host = o.host;
  server_options.port = static_cast<uint16_t>(o.port);
  server_options.allow_remote = o.allow_remote;
  server_options.allowed_hosts = o.allowed_hosts;
  server_options.max_body_bytes = static_cast<size_t>(o.max_body);
  server_options.max_connections = o.connections;
  server_options.drain_deadline = std::chrono::milliseconds(static_cast<int64_t>(o.drain_seconds * 1000));
  server_options.handle_signals = true;
  if (!o.quiet)
    server_options.log = [](std::string_view line) {
      std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
    };
  if (io::is_encoder_folder(o.model))
    return serve_encoder(
        {o.model, o.name, o.threads, o.batch_tokens, std::max<int64_t>(o.max_queue, 8192), o.exact},
        server_options);
  decode::Model model = decode::open_model(o.model);
  if (!o.name.empty()) model.name = o.name;
  // Bind first: a port in use should not cost the loading of a model.
  http::Server server(server_options);

  runtime::Trace trace;
  decode::EngineOptions options;
  options.threads = o.threads;
  options.max_seqs = o.max_seqs;
  options.step_tokens = o.step_tokens;
  options.context = o.context;
  options.cache_tokens = o.cache_tokens;
  options.weights_as_stored = !o.exact;
  auto cache = dtype_from_name(o.cache);
  if (cache != DType::f32 && cache != DType::bf16 && cache != DType::i8)
    throw_invalid("--cache-type: found '" + o.cache + "', expected f32, bf16 or i8");
  options.cache = *cache;
  if (!o.trace.empty()) options.trace = &trace;
  decode::Engine engine(model, options);
  const decode::MemoryPlan& m = engine.memory();
  std::fprintf(
      stderr,
      "%s: %s parameters; memory planned: weights %s, KV cache %s, work space %s; context %lld tokens\n",
      model.name.c_str(), human_count(models::parameter_count(model.config)).c_str(),
      human_bytes(m.weights).c_str(), human_bytes(m.cache).c_str(), human_bytes(m.arena).c_str(),
      static_cast<long long>(engine.context()));
  {
    serve::AsyncEngine async(model, engine, {o.max_queue});
    http::Router router;
    http::CompletionsApi api(async, server, server_options.max_body_bytes);
    api.add_routes(router);
    http::add_page_routes(router);
    std::printf("Serving %s at %s  (Ctrl-C ends it)\n", model.name.c_str(), server.url().c_str());
    std::fflush(stdout);
    server.serve(router);
  }
  if (!o.trace.empty()) trace.write(o.trace);
  std::fprintf(stderr, "stopped\n");
}

}  // namespace

void add_serve(Command root) {
  auto o = std::make_shared<ServeOptions>();
  Command app = root.command("serve", "Serve a model: OpenAI-compatible completions and a page");
  app.add_option("model", o->model, "Model folder (config.json, *.safetensors, tokenizer.json) or .gguf file")
      .required()
      .envname("HOIST_MODEL");
  app.option("--host", o->host, "Address to listen on");
  app.option("--port", o->port, "Port; 0: any free one, printed");
  app.flag("--allow-remote", o->allow_remote,
           "Permit a --host that other machines can reach (there are no keys yet)");
  app.add_option("--allowed-host", o->allowed_hosts,
                 "A name that requests may carry as Host, besides localhost and addresses");
  app.option("--name", o->name, "The model's name in the API (default: the folder's)");
  app.option("--max-seqs", o->max_seqs, "Sequences generated at once").range(int64_t{1}, int64_t{4096});
  app.option("--step-tokens", o->step_tokens,
             "Tokens in one step: larger reads prompts faster, smaller streams smoother")
      .range(int64_t{1}, int64_t{65536});
  app.option("--batch-tokens", o->batch_tokens,
             "Encoders: tokens of one batch, at least the longest sequence's")
      .range(int64_t{16}, int64_t{1} << 20);
  app.option("--context", o->context, "Longest sequence in tokens; 0: the model's own, at most 8192");
  app.option("--cache-tokens", o->cache_tokens,
             "Tokens the KV cache holds; 0: as many as sequences may need, within a quarter of memory");
  app.option("--cache-type", o->cache, "Element type of the KV cache: f32, bf16 or i8");
  app.flag("--exact", o->exact,
           "Compute in float32 throughout, also where weights are stored in fewer bits; slower");
  app.option("--max-queue", o->max_queue, "Requests that may wait; more are answered 429")
      .range(int64_t{1}, int64_t{100000});
  app.option("--max-body", o->max_body, "Largest request body in bytes")
      .range(int64_t{1024}, int64_t{1} << 30);
  app.option("--max-connections", o->connections, "Open connections").range(int64_t{1}, int64_t{65536});
  app.option("--drain-seconds", o->drain_seconds, "How long requests in flight may finish after SIGTERM")
      .range(0.0, 3600.0);
  app.option("--threads", o->threads, "Threads; 0: one per core");
  app.option("--trace", o->trace, "Write a Chrome trace of every instruction to this file at the end");
  app.flag("--quiet", o->quiet, "No line per request");
  app.footer(
      "Example:\n  hoist serve path/to/model --port 8080\n  curl -s http://127.0.0.1:8080/v1/completions -d "
      "'{\"prompt\": \"Once\", \"max_tokens\": 32}'");
  app.callback([o] { run(*o); });
}

}  // namespace hoist::cli
