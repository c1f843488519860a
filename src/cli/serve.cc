// hoist serve: an OpenAI-compatible server and a page, on loopback.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>

#include "base/error.h"
#include "cli/options.h"
#include "cli/serve_encoder.h"
#include "cli/servers.h"
#include "http/adapter_routes.h"
#include "http/completions.h"
#include "http/metrics_route.h"
#include "http/page.h"
#include "http/router.h"
#include "http/server.h"
#include "http/tls_files.h"
#include "hub/store.h"
#include "io/encoder_config.h"
#include "io/files.h"
#include "serve/access_log.h"
#include "serve/keys_file.h"
#include "serve/local_model.h"
#include "serve/measured_engine.h"
#include "serve/metrics.h"
#include "serve/model_host.h"
#include "serve/watchdog.h"
#include "serve/work_queue.h"

namespace hoist::cli {

namespace {

struct ServeOptions {
  std::string model, host = "127.0.0.1", name, cache = "f32", trace, keys_file, log_format = "text",
                     policy = "fcfs", memory, swap = "0", swap_folder, draft, tls_cert, tls_key;
  int port = 8080;
  bool allow_remote = false, quiet = false, exact = false;
  std::vector<std::string> allowed_hosts, api_keys, more_models, adapters;
  std::string adapters_folder;
  int64_t max_loaded = 1, adapter_slots = 0, adapter_rank = 16;
  double unload_after = 0, reload_seconds = 5;
  int64_t max_seqs = 16, step_tokens = 256, context = 0, cache_tokens = 0, max_queue = 128, speculate = 0,
          batch_tokens = 1024, max_body = 4 << 20;
  int threads = 0, connections = 256, tenant_requests = 0, tenant_queue = 0;
  double drain_seconds = 30, stall_seconds = 60, header_seconds = 10, body_seconds = 30, write_seconds = 30,
         idle_seconds = 75;
};

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

std::shared_ptr<const http::KeyRing> keys_of(const ServeOptions& o) {
  auto ring = std::make_shared<http::KeyRing>();
  for (const std::string& key : o.api_keys) ring->add(key, "default");
  if (!o.keys_file.empty()) serve::load_keys(o.keys_file, *ring);
  return ring;
}

int64_t tenant_queue(const ServeOptions& o, const http::KeyRing& keys) {
  if (o.tenant_queue > 0 || keys.tenants() < 2) return o.tenant_queue;
  return std::max<int64_t>(1, o.max_queue / 2);
}

http::ServerOptions server_options(const ServeOptions& o) {
  http::ServerOptions s;
  s.host = o.host;
  s.port = static_cast<uint16_t>(o.port);
  s.allow_remote = o.allow_remote;
  s.keys = keys_of(o);
  s.max_tenant_requests = o.tenant_requests;
  if (o.tls_cert.empty() != o.tls_key.empty())
    throw_invalid(std::string(o.tls_cert.empty() ? "--tls-key" : "--tls-cert") + ": found without " +
                  (o.tls_cert.empty() ? "--tls-cert" : "--tls-key") + ", expected both");
  if (!o.tls_cert.empty()) s.tls = http::load_tls(o.tls_cert, o.tls_key);
  s.allowed_hosts = o.allowed_hosts;
  s.max_body_bytes = static_cast<size_t>(o.max_body);
  s.max_connections = o.connections;
  s.header_deadline = milliseconds(o.header_seconds);
  s.body_deadline = milliseconds(o.body_seconds);
  s.write_deadline = milliseconds(o.write_seconds);
  s.idle_deadline = milliseconds(o.idle_seconds);
  s.drain_deadline = milliseconds(o.drain_seconds);
  s.handle_signals = true;
  return s;
}

decode::EngineOptions engine_options(const ServeOptions& o) {
  decode::EngineOptions options;
  options.threads = o.threads;
  options.max_seqs = o.max_seqs;
  options.step_tokens = o.step_tokens;
  options.prompt_rows = decode::kServedPromptRows;
  options.context = o.context;
  options.cache_tokens = o.cache_tokens;
  options.weights_as_stored = !o.exact;
  auto cache = dtype_from_name(o.cache);
  if (cache != DType::f32 && cache != DType::bf16 && cache != DType::i8)
    throw_invalid("--cache-type: found '" + o.cache + "', expected f32, bf16 or i8");
  options.cache = *cache;
  const int64_t adapters = static_cast<int64_t>(o.adapters.size());
  // One more than there are, so that each can be exchanged.
  const int64_t slots = o.adapter_slots > 0 ? o.adapter_slots : adapters > 0 ? adapters + 1 : 0;
  if (slots < adapters)
    throw_invalid("--adapter-slots: found " + std::to_string(slots) + ", expected at least the " +
                  std::to_string(adapters) + " adapters given");
  options.adapters = {slots, o.adapter_rank};
  options.policy = sched::parse_policy(o.policy, "--policy");
  if (!o.memory.empty()) options.memory = parse_bytes(o.memory, "--memory");
  options.swap_bytes = parse_bytes(o.swap, "--swap");
  options.swap_folder = o.swap_folder;
  options.speculate = o.speculate == 0 && !o.draft.empty() ? 4 : o.speculate;
  return options;
}

// The server answers on a thread of its own while the model is loaded on this one: 503 until it is there.
class Listener {
 public:
  Listener(http::Server& server, const http::Router& router)
      : server_(server), thread_([this, &router] {
          server_.serve(router);
          if (loading_) {  // SIGTERM before there was anything to finish
            std::fprintf(stderr, "stopped before the model was loaded\n");
            std::_Exit(0);
          }
        }) {}
  ~Listener() {
    loading_ = false;
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }
  void wait() {
    loading_ = false;
    thread_.join();
  }

 private:
  http::Server& server_;
  std::atomic<bool> loading_{true};
  std::thread thread_;
};

// "name=path" of a flag.
std::pair<std::string, std::string> named(const std::string& text, const char* flag) {
  const size_t equals = text.find('=');
  if (equals == text.npos || equals == 0 || equals + 1 == text.size())
    throw_invalid(std::string(flag) + ": found '" + text + "', expected NAME=PATH");
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::vector<serve::ModelSource> sources(const ServeOptions& o, const std::string& name,
                                        const std::string& path) {
  std::vector<serve::ModelSource> out = {{name, path, {}}};
  for (const std::string& text : o.adapters) {
    auto [adapter, folder] = named(text, "--adapter");
    out[0].adapters[adapter] = folder;
  }
  for (const std::string& text : o.more_models) {
    auto [other, where] = named(text, "--also");
    const std::string found = hub::resolve_model(where);
    if (!io::path_exists(found)) throw_not_found("--also: " + found + ": found no such path");
    out.push_back({other, found, {}});
  }
  return out;
}

void run(const ServeOptions& o) {
  if (o.port < 0 || o.port > 65535)
    throw_invalid("--port: found " + std::to_string(o.port) + ", expected 0..65535");
  decode::EngineOptions options = engine_options(o);
  runtime::Trace trace;
  if (!o.trace.empty()) options.trace = &trace;
  serve::AccessLog log(serve::parse_log_format(o.log_format, "--log-format"));
  const std::string name = o.name.empty() ? io::base_name(o.model) : o.name;
  serve::Metrics metrics(name);
  http::ServerOptions listening = server_options(o);
  listening.on_access = [&](const http::Access& access) {
    metrics.answered(access.status, access.tenant);
    if (!o.quiet) log.access(access);
  };
  listening.log = [&](std::string_view line) { log.problem(line); };
  const std::string path = hub::resolve_model(o.model);
  if (io::is_encoder_folder(path)) {
    if (!o.more_models.empty() || !o.adapters.empty())
      throw_unsupported(o.model + ": an encoder is served alone, without --also and --adapter");
    serve_encoder({path, name, o.threads, o.batch_tokens, std::max<int64_t>(o.max_queue, 8192), o.exact},
                  listening);
    return;
  }
  // Bind first: a port in use should not cost the loading of a model.
  http::Server server(listening);
  serve::MeasuredEngine front(name, metrics);
  std::atomic<const serve::ModelHost*> host_now{nullptr};
  const auto load = [&] {
    const serve::ModelHost* host = host_now;
    return host ? host->load() : serve::EngineLoad{};
  };
  http::Router router;
  http::CompletionsApi api(front, server, listening.max_body_bytes);
  api.add_routes(router);
  http::add_page_routes(router);
  http::add_metrics_route(router, server, [&] { return metrics.text(load()); });

  const std::vector<serve::ModelSource> models = sources(o, name, path);
  serve::LocalModelOptions local{options,
                                 o.draft.empty() ? "" : hub::resolve_model(o.draft),
                                 {o.max_queue, tenant_queue(o, *listening.keys)}};
  const auto load_model = [&](const serve::ModelSource& source) -> std::unique_ptr<serve::HostedModel> {
    auto model = std::make_unique<serve::LocalModel>(source.name, source.path, local);
    const decode::MemoryPlan& m = model->decoder().memory();
    log.event(source.name + ": " + human_count(models::parameter_count(model->model().config)) +
              " parameters; memory planned: weights " + human_bytes(m.weights) + ", KV cache " +
              human_bytes(m.cache) + ", work space " + human_bytes(m.arena) + "; context " +
              std::to_string(model->decoder().context()) + " tokens");
    return model;
  };
  serve::ModelHostOptions hosting;
  hosting.max_loaded = static_cast<size_t>(o.max_loaded);
  hosting.unload_after = o.unload_after;
  hosting.reload_seconds = o.reload_seconds;
  hosting.fingerprint = serve::files_fingerprint;
  hosting.log = [&](const std::string& line) { log.event(line); };
  http::AdapterControl adapters;
  adapters.folder = options.adapters.slots > 0 ? o.adapters_folder : "";
  http::add_adapter_routes(router, server, adapters, listening.max_body_bytes);
  {
    // Destroyed in the opposite order: the listener first, while the engines still live.
    std::optional<serve::ModelHost> host;
    std::optional<serve::Watchdog> watchdog;
    std::optional<serve::WorkQueue> adapter_work;
    std::optional<Listener> listener;
    host.emplace(models, load_model, hosting);
    adapters.load = [&](const std::string& adapter, const std::string& folder, const std::string& model) {
      host->load_adapter(adapter, folder, model);
    };
    adapters.unload = [&](const std::string& adapter) { host->unload_adapter(adapter); };
    adapter_work.emplace(1, 64);
    adapters.run = [&](std::function<void()> work) {
      adapter_work->add([work = std::move(work)](bool) { work(); });
    };
    front.attach(*host);
    listener.emplace(server, router);
    host->wait_for_first();
    host_now = &*host;
    if (o.stall_seconds > 0)
      watchdog.emplace(o.stall_seconds, load, [&](bool stalled) {
        front.set_stalled(stalled);
        if (stalled)
          log.problem("the engine has work and has taken no step for " + std::to_string(o.stall_seconds) +
                      " seconds: not ready");
        else
          log.event("the engine takes steps again: ready");
      });
    const ServerNote note(server.url(), name);
    std::printf("Serving %s at %s  (Ctrl-C ends it)\n", name.c_str(), server.url().c_str());
    std::fflush(stdout);
    listener->wait();
    watchdog.reset();  // it looks at the engines
    host_now = nullptr;
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
           "Permit a --host that other machines can reach although there are no keys");
  app.add_option(
         "--api-key", o->api_keys,
         "A key that requests must carry (Authorization: Bearer KEY), on every path but /health; may be "
         "given several times. In HOIST_API_KEY it is not seen by other users of the machine")
      .repeated();
  app.option(
      "--api-keys-file", o->keys_file,
      "Keys with their tenants, {\"KEY\": \"tenant\"} as JSON or, in a .toml, as TOML. Tenants share no "
      "cached prompts");
  app.option("--tenant-requests", o->tenant_requests,
             "Requests of one tenant under way at once; more are answered 429; 0: any number")
      .range(int64_t{0}, int64_t{1000000});
  app.option("--tls-cert", o->tls_cert,
             "Speak HTTPS: PEM file of the certificate and, after it, its chain; with --tls-key");
  app.option("--tls-key", o->tls_key, "PEM file of its private key, without a passphrase");
  app.option("--tenant-queue", o->tenant_queue,
             "Requests of one tenant that may wait; more are answered 429; 0: half of --max-queue where keys "
             "are of several tenants")
      .range(int64_t{0}, int64_t{100000});
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
  app.option(
      "--memory", o->memory,
      "Bytes for the whole server, such as 6GiB: the KV cache gets what weights and work space leave, and "
      "the context is cut to it");
  app.option(
      "--policy", o->policy,
      "Who runs next: fcfs, srpt, mlfq, sj-mlfq (skip-join feedback queue: short answers first, without "
      "knowing them) or priority (a request's own field), with options as in sj-mlfq:promote=1; see `hoist "
      "simulate serve`");
  app.option("--speculate", o->speculate,
             "Tokens guessed ahead from what was said before, to check several in one step; answers do not "
             "change; "
             "0: none")
      .range(int64_t{0}, int64_t{64});
  app.option("--draft-model", o->draft,
             "A smaller model of the same vocabulary that guesses them (default 4)");
  app.option("--swap", o->swap, "Bytes for keys and values of interrupted sequences; 0: computed again");
  app.option("--swap-folder", o->swap_folder, "Keep those in a file in this folder; empty: in memory");
  app.add_option("--also", o->more_models,
                 "NAME=MODEL: another model, loaded when a request names it; may be given several times")
      .repeated();
  app.option("--max-loaded", o->max_loaded, "Models in memory at once; the one idle longest makes room")
      .range(int64_t{1}, int64_t{64});
  app.option("--unload-after", o->unload_after,
             "Seconds without a request after which a model is unloaded; 0: never")
      .range(0.0, 1e9);
  app.option("--reload-seconds", o->reload_seconds,
             "Look so often whether a model's files have changed, and exchange it then, without failing a "
             "request; 0: never")
      .range(0.0, 1e6);
  app.add_option(
         "--adapter", o->adapters,
         "NAME=FOLDER: a LoRA adapter (PEFT) of the model, chosen by that name; may be given several times")
      .repeated();
  app.option("--adapter-slots", o->adapter_slots,
             "Adapters there is room for; 0: those given and one more, or none")
      .range(int64_t{0}, int64_t{1024});
  app.option("--adapter-rank", o->adapter_rank, "The largest rank of an adapter")
      .range(int64_t{1}, int64_t{1024});
  app.option("--adapters-folder", o->adapters_folder,
             "Folder from which clients may load adapters (/v1/load_lora_adapter); empty: they may not");
  app.flag("--exact", o->exact,
           "Compute in float32 throughout, also where weights are stored in fewer bits; slower");
  app.option("--max-queue", o->max_queue, "Requests that may wait; more are answered 429")
      .range(int64_t{1}, int64_t{100000});
  app.option("--max-body", o->max_body, "Largest request body in bytes")
      .range(int64_t{1024}, int64_t{1} << 30);
  app.option("--max-connections", o->connections, "Open connections").range(int64_t{1}, int64_t{65536});
  app.option("--drain-seconds", o->drain_seconds, "How long requests in flight may finish after SIGTERM")
      .range(0.0, 3600.0);
  app.option("--header-seconds", o->header_seconds,
             "How long a request's header may take to arrive; then 408")
      .range(0.01, 3600.0);
  app.option("--body-seconds", o->body_seconds, "How long its body may take; then 408").range(0.01, 3600.0);
  app.option("--write-seconds", o->write_seconds,
             "How long a client may take nothing of its answer; then its request is cancelled")
      .range(0.01, 3600.0);
  app.option("--idle-seconds", o->idle_seconds, "How long a connection may wait between requests")
      .range(0.01, 86400.0);
  app.option("--stall-seconds", o->stall_seconds,
             "Work without a step for this long is a stall: logged, and /ready says 503; 0: never")
      .range(0.0, 86400.0);
  app.option("--log-format", o->log_format,
             "Lines on standard error: text or json; none hold prompts or keys");
  app.option("--threads", o->threads, "Threads; 0: one per core");
  app.option("--trace", o->trace, "Write a Chrome trace of every instruction to this file at the end");
  app.flag("--quiet", o->quiet, "No line per request");
  app.footer(
      "GET /health and /ready say whether it can answer, GET /metrics what it has done (Prometheus).\n\n"
      "Examples:\n  hoist serve path/to/model --port 8080\n"
      "  hoist serve path/to/model --host 0.0.0.0 --api-keys-file keys.json --tenant-requests 8\n  curl -s "
      "http://127.0.0.1:8080/v1/completions -d "
      "'{\"prompt\": \"Once\", \"max_tokens\": 32}'");
  app.callback([o] { run(*o); });
}

}  // namespace hoist::cli
