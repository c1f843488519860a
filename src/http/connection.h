// One client connection: reads requests, hands them to the router, writes answers. Internal to http/.
//
// The only state is the phase: idle -> head -> body -> answering -> idle, under TLS a handshake before, and
// lingering before a close. A read is always outstanding, so that a client's leaving is seen while its answer
// is pending. Plain bytes are read into one buffer shared by all connections, so an idle connection costs
// little more than its socket.
// Threading: io thread only. Lifetime: owned by ServerCore::connections and by the operations under way.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "http/api_error.h"
#include "http/server.h"

namespace hoist::http {

class Connection;
class Stream;        // stream.h
struct RequestHead;  // request_head.h

// What the connections of one server share.
struct ServerCore {
  ServerOptions options;
  const Router* router = nullptr;
  std::atomic<bool> draining = false;
  std::vector<std::string> answered_while_draining;
  std::unordered_map<uint64_t, std::shared_ptr<Connection>> connections;
  std::unordered_map<uint32_t, int> tenant_requests;  // under way, by tenant
  uint64_t next_request = 1;
  std::function<void()> on_answered;  // after each answer and each close: the drain may be complete
  std::vector<char> scratch = std::vector<char>(64 << 10);
  // Last, so destroyed first: operations under way hold connections, which refer to what is above.
  boost::asio::io_context io{1};

  void log(std::string_view line) const {
    if (options.log) options.log(line);
  }
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;
  Connection(ServerCore& core, std::shared_ptr<Stream> stream, uint64_t id);
  ~Connection();

  void start();
  // Closes at once; an exchange under way is cancelled (kClientLeft).
  void close() { abandon(CancelReason::kClientLeft); }
  // The drain deadline has passed: cancels the exchange (kShutdown) and lets its last word be written.
  void shut_down();

  bool busy() const { return phase_ == Phase::kAnswering; }
  // Nothing would be lost by closing it.
  bool evictable() const {
    return phase_ == Phase::kHandshake || phase_ == Phase::kIdle || phase_ == Phase::kLingering;
  }
  Clock::time_point phase_since() const { return phase_since_; }

 private:
  friend class HttpExchange;
  enum class Phase { kHandshake, kIdle, kHead, kBody, kAnswering, kLingering, kClosed };

  void enter(Phase phase, std::chrono::milliseconds deadline);
  void on_deadline();
  void wait_readable();
  void on_bytes(std::string_view bytes);
  void on_end_of_input();

  void process();       // as much of in_ as can be used now
  bool process_head();  // each: false when more bytes are needed or an answer is under way
  bool process_body();
  void check_key();  // throws ApiError 401
  void dispatch();
  void take_tenant_place();  // throws ApiError 429
  void end_access(const char* how);
  void reject(const ApiError& error);

  // The answer, called through HttpExchange.
  void respond(Response response);
  void begin_stream(int status, std::string_view content_type, std::vector<Header> headers,
                    std::string heartbeat);
  void write_stream(std::string_view bytes);
  void end_stream();
  void append_head(int status, std::string_view content_type, const std::vector<Header>& headers);
  void heartbeat_after(std::chrono::milliseconds delay);

  void pump();
  void write_some();
  void finish_answer();
  void linger();
  void abandon(CancelReason reason);
  void close_socket();

  ServerCore& core_;
  const std::shared_ptr<Stream> stream_;
  boost::asio::steady_timer deadline_, write_deadline_, heartbeat_timer_;
  const uint64_t id_;

  Phase phase_ = Phase::kIdle;
  Clock::time_point phase_since_;
  uint64_t deadline_serial_ = 0, write_serial_ = 0;  // stale timers do nothing
  bool waiting_ = false;                             // a wait for input is outstanding
  bool input_ended_ = false;
  std::string in_;                     // received, not yet used
  size_t scanned_ = 0;                 // in_ holds no blank line before here
  size_t lingered_ = 0;                // bytes thrown away while lingering
  std::unique_ptr<RequestHead> head_;  // from the end of the header block to the end of the answer

  uint64_t exchange_ = 0;  // serial of the current exchange; stale handles do nothing
  bool keep_alive_ = false, streaming_ = false, chunked_ = false, ended_ = false, wrote_ = false;
  int status_ = 0;
  uint64_t request_id_ = 0;
  bool counted_ = false;  // holds a place of its tenant
  size_t sent_ = 0;
  std::string heartbeat_;
  std::function<void(CancelReason)> on_cancel_;

  std::string out_, writing_;  // queued; being written
  size_t written_ = 0;
};

}  // namespace hoist::http
