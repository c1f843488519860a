// See server.h. Listening, admission of connections, and the drain; connection.cc does the rest.
#include "http/server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <mutex>

#include "base/error.h"
#include "http/connection.h"
#include "http/guard.h"
#include "http/stream.h"
#include "http/tls.h"

namespace hoist::http {
namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kAcceptPause{50};      // after the system refused us a descriptor
constexpr milliseconds kShutdownGrace{1000};  // to write the last words of cancelled requests

constexpr std::string_view kFull =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: "
    "close\r\n"
    "Content-Length: 111\r\n\r\n"
    R"({"error":{"message":"too many connections","type":"unavailable_error","param":null,"code":"too_many_clients"}})"
    "\n";

tcp::endpoint endpoint_of(const ServerOptions& options) {
  const std::string host = options.host == "localhost" ? "127.0.0.1" : options.host;
  if (!is_ip_literal(host))
    throw_invalid("host: found '" + options.host + "', expected an IP address or localhost");
  const bool keyed = options.keys && !options.keys->empty();
  if (!options.allow_remote && !keyed && !is_loopback_literal(host))
    throw_invalid("host: " + host +
                  " can be reached from other machines, and this server asks nobody for a key; give it keys "
                  "(--api-key), say --allow-remote if that is meant, or use 127.0.0.1");
  return {asio::ip::make_address(host), options.port};
}

bool out_of_descriptors(const error_code& ec) {
  return ec == asio::error::no_descriptors || ec == boost::system::errc::too_many_files_open_in_system ||
         ec == asio::error::no_memory || ec == asio::error::no_buffer_space;
}

}  // namespace

struct Poster::Target {
  std::mutex mutex;
  asio::io_context* io = nullptr;
};

void Poster::post(std::function<void()> work) const {
  const std::lock_guard lock(target_->mutex);
  if (target_->io) asio::post(*target_->io, std::move(work));
}

struct Server::State {
  ServerCore core;
  tcp::acceptor acceptor{core.io};
  asio::steady_timer accept_timer{core.io}, drain_timer{core.io};
  asio::signal_set signals{core.io};
  Poster poster;
  uint64_t next_id = 0;
  uint16_t port = 0;
  int reserve_fd = -1;  // given up for a moment to turn a client away when descriptors run out
  bool clean = true, serving = false;

  void listen();
  void accept_next();
  void on_accept(const error_code& ec, tcp::socket socket);
  void on_no_descriptors();
  bool evict_idle();
  void wait_signal();
  void begin_drain();
  void on_drain_deadline();
  void check_drained();
};

Server::Server(ServerOptions options) : state_(std::make_unique<State>()) {
  state_->core.options = std::move(options);
  state_->poster.target_ = std::make_shared<Poster::Target>();
  state_->poster.target_->io = &state_->core.io;
  state_->core.on_answered = [state = state_.get()] { state->check_drained(); };
  state_->listen();
}

Server::~Server() {
  {
    const std::lock_guard lock(state_->poster.target_->mutex);
    state_->poster.target_->io = nullptr;
  }
  state_->core.on_answered = nullptr;
  state_->core.connections.clear();
  if (state_->reserve_fd >= 0) ::close(state_->reserve_fd);
}

void Server::State::listen() {
  const tcp::endpoint endpoint = endpoint_of(core.options);
  const std::string where = fmt::format("{}:{}", core.options.host, core.options.port);
  error_code ec;
  const auto check = [&] {
    if (ec) throw_io(where + ": cannot listen", ec.value());
  };
  acceptor.open(endpoint.protocol(), ec);
  check();
  acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  check();
  acceptor.bind(endpoint, ec);
  check();
  acceptor.listen(asio::socket_base::max_listen_connections, ec);
  check();
  acceptor.non_blocking(true, ec);
  check();
  port = acceptor.local_endpoint(ec).port();
  check();
}

void Server::State::accept_next() {
  if (!acceptor.is_open()) return;
  // Waits first: without free descriptors, accept fails even when no client is there to be let in.
  acceptor.async_wait(tcp::acceptor::wait_read, [this](error_code waited) {
    if (waited || !acceptor.is_open()) return;
    tcp::socket socket(core.io);
    error_code ec;
    acceptor.accept(socket, ec);
    on_accept(ec, std::move(socket));
  });
}

void Server::State::on_accept(const error_code& ec, tcp::socket socket) {
  if (ec && out_of_descriptors(ec)) return on_no_descriptors();
  if (!ec) {
    const size_t limit = static_cast<size_t>(core.options.max_connections);
    if (core.connections.size() < limit || evict_idle()) {
      try {
        const uint64_t id = next_id++;
        error_code ignored;
        socket.non_blocking(true, ignored);
        socket.set_option(tcp::no_delay(true), ignored);
        const TlsContext* tls = core.options.tls.get();
        auto stream = tls ? tls->stream(std::move(socket), core.scratch)
                          : plain_stream(std::move(socket), core.scratch);
        auto connection = std::make_shared<Connection>(core, std::move(stream), id);
        core.connections.emplace(id, connection);
        connection->start();
      } catch (const std::exception& e) {  // out of memory: this client is lost, the next is still accepted
        core.log(std::string("internal error: ") + e.what());
      }
    } else if (!core.options.tls) {  // without a handshake nothing can be said under TLS
      error_code ignored;
      socket.non_blocking(true, ignored);
      socket.read_some(asio::buffer(core.scratch),
                       ignored);  // unread input would turn our close into a reset
      socket.write_some(asio::buffer(kFull), ignored);
      socket.shutdown(tcp::socket::shutdown_send, ignored);
    }
  }
  accept_next();
}

// The waiting client stays in the system's queue, and accept would report the same error at once for ever.
void Server::State::on_no_descriptors() {
  if (!evict_idle() && reserve_fd >= 0) {
    ::close(reserve_fd);
    const int client = ::accept(acceptor.native_handle(), nullptr, nullptr);
    if (client >= 0) {
      [[maybe_unused]] const ssize_t sent =
          core.options.tls ? 0 : ::send(client, kFull.data(), kFull.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      ::close(client);
    }
    reserve_fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    core.log("out of file descriptors: turned a client away");
  }
  accept_timer.expires_after(kAcceptPause);
  accept_timer.async_wait([this](error_code ec) {
    if (!ec) accept_next();
  });
}

bool Server::State::evict_idle() {
  std::shared_ptr<Connection> oldest;
  for (const auto& [id, connection] : core.connections)
    if (connection->evictable() && (!oldest || connection->phase_since() < oldest->phase_since()))
      oldest = connection;
  if (oldest) oldest->close();
  return oldest != nullptr;
}

void Server::State::wait_signal() {
  signals.async_wait([this](error_code ec, int) {
    if (ec) return;
    if (core.draining) {
      clean = false;
      core.io.stop();
      return;
    }
    begin_drain();
    wait_signal();
  });
}

void Server::State::begin_drain() {
  if (core.draining.exchange(true)) return;
  error_code ignored;
  acceptor.close(ignored);
  accept_timer.cancel();
  drain_timer.expires_after(core.options.drain_deadline);
  drain_timer.async_wait([this](error_code ec) {
    if (!ec) on_drain_deadline();
  });
  check_drained();
}

void Server::State::on_drain_deadline() {
  clean = false;
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [id, connection] : core.connections) all.push_back(connection);
  for (const auto& connection : all) connection->shut_down();
  drain_timer.expires_after(kShutdownGrace);
  drain_timer.async_wait([this](error_code ec) {
    if (!ec) core.io.stop();
  });
  check_drained();
}

void Server::State::check_drained() {
  if (!core.draining) return;
  for (const auto& [id, connection] : core.connections)
    if (connection->busy()) return;
  core.io.stop();
}

uint16_t Server::port() const { return state_->port; }

std::string Server::url() const {
  const std::string& host = state_->core.options.host;
  const std::string_view scheme = state_->core.options.tls ? "https" : "http";
  return host.find(':') == std::string::npos ? fmt::format("{}://{}:{}", scheme, host, port())
                                             : fmt::format("{}://[{}]:{}", scheme, host, port());
}

Poster Server::poster() const { return state_->poster; }

bool Server::draining() const { return state_->core.draining; }

bool Server::serve(const Router& router) {
  State& s = *state_;
  s.core.router = &router;
  s.reserve_fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (s.core.options.handle_signals) {
    error_code ec;
    for (const int signal : {SIGINT, SIGTERM}) s.signals.add(signal, ec);
    s.wait_signal();
  }
  s.accept_next();
  for (;;) {
    try {
      s.core.io.run();
      break;
    } catch (const std::exception& e) {
      // A handler of ours threw (out of memory, at the worst): that connection is lost, the others are not.
      s.core.log(std::string("internal error: ") + e.what());
    }
  }
  error_code ignored;
  s.acceptor.close(ignored);
  // What is still under way is cancelled here, while whoever added the routes still lives.
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [id, connection] : s.core.connections) all.push_back(connection);
  for (const auto& connection : all) connection->close();
  return s.clean;
}

void Server::drain() {
  state_->poster.post([state = state_.get()] { state->begin_drain(); });
}

void Server::stop() {
  state_->poster.post([state = state_.get()] {
    for (const auto& [id, connection] : state->core.connections)
      if (connection->busy()) state->clean = false;
    state->core.io.stop();
  });
}

void Server::answer_while_draining(std::string path) {
  state_->core.answered_while_draining.push_back(std::move(path));
}

}  // namespace hoist::http
