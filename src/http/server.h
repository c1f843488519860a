// The HTTP/1.1 server: sockets, limits, deadlines and draining. It knows nothing of models; a Router says who
// answers.
//
//   Router router;                       // routes, e.g. CompletionsApi::add_routes, add_page_routes
//   Server server(options);              // binds, or throws Error
//   server.serve(router);                // returns after drain() or stop()
//
// Promises: every limit below answers with the status named beside it; a request whose client leaves, or
// stops reading, is cancelled; nothing a client sends can throw out of serve() or grow memory past the
// limits. Threading: one io thread, the one inside serve(). drain(), stop() and Poster::post may be called
// from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/key_ring.h"
#include "http/message.h"
#include "http/router.h"

namespace hoist::http {

class TlsContext;  // tls.h

// One request that has ended, for logs and metrics. Views live during the call. Holds nothing of any body.
struct Access {
  uint64_t id = 0;                // also in the answer, as X-Request-Id
  std::string_view method, path;  // as sent, decoded: may hold any printable or non-ASCII bytes
  std::string_view tenant;
  int status = 0;        // 0: none was sent
  size_t bytes = 0;      // of the answer's body
  double seconds = 0;    // from its last byte in to its last byte out
  std::string_view end;  // "ok", "client left", "client too slow"
};

struct ServerOptions {
  // The one path that answers without a key: whoever balances load must be able to ask it.
  static constexpr std::string_view kOpenPath = "/health";

  std::string host = "127.0.0.1";  // an IP literal or "localhost"
  uint16_t port = 8080;            // 0: the system chooses, see Server::port()
  bool allow_remote = false;       // without it and without keys an address other than loopback is refused

  // Not null and not empty: every path but kOpenPath wants "Authorization: Bearer KEY"; else 401.
  std::shared_ptr<const KeyRing> keys;
  int max_tenant_requests = 0;  // under way for one tenant; more get 429; 0: any number

  std::shared_ptr<const TlsContext> tls;  // null: plain HTTP (load_tls, tls_files.h)

  // Names besides "localhost" and IP literals that a Host header may carry; others get 403.
  std::vector<std::string> allowed_hosts;

  size_t max_header_bytes = 16 << 10;                // request line and headers; 431
  int max_headers = 100;                             // 431
  size_t max_body_bytes = 4 << 20;                   // 413
  int max_connections = 256;                         // an idle one is closed for a newcomer; none idle: 503
  size_t write_buffer_bytes = 1 << 20;               // unsent bytes of a stream; more cancels the request
  std::chrono::milliseconds header_deadline{10000};  // first byte to blank line; 408. A TLS handshake; closed
  std::chrono::milliseconds body_deadline{30000};    // blank line to last body byte; 408
  std::chrono::milliseconds idle_deadline{75000};    // between requests; closed silently
  std::chrono::milliseconds write_deadline{30000};  // without one byte taken by the client; request cancelled
  std::chrono::milliseconds drain_deadline{30000};  // for requests in flight when drain() is called
  std::chrono::milliseconds heartbeat{15000};       // see Exchange::begin_stream

  bool handle_signals = false;  // SIGINT, SIGTERM: the first drains, the second stops
  // One line per answered request (unless on_access is there) and per internal error, without newline; never
  // holds request bodies.
  std::function<void(std::string_view)> log;
  std::function<void(const Access&)> on_access;  // on the io thread
};

// Runs functions on the io thread. A copy may outlive the server: posting then does nothing.
class Poster {
 public:
  void post(std::function<void()> work) const;

 private:
  friend class Server;
  struct Target;
  std::shared_ptr<Target> target_;
};

class Server {
 public:
  // Binds and listens. Throws Error: kInvalidArgument (host), kIo (address in use, ...).
  explicit Server(ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const;    // the actual one
  std::string url() const;  // "http://127.0.0.1:8080", or https
  Poster poster() const;
  bool draining() const;  // thread-safe
  // Answers until drained or stopped. True when every request in flight was answered before the end.
  bool serve(const Router& router);
  // Stops accepting, answers new requests on open connections with 503 (a route may answer them itself, see
  // answer_while_draining), gives those in flight until the deadline, then cancels them (kShutdown).
  void drain();
  // Ends serve() at once; what is under way is cancelled (kClientLeft).
  void stop();
  // Paths that handlers answer also while draining (health).
  void answer_while_draining(std::string path);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hoist::http
