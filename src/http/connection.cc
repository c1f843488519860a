// See connection.h.
#include "http/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "http/guard.h"
#include "http/request_head.h"
#include "http/stream.h"

namespace hoist::http {
using boost::system::error_code;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kLingerDeadline{2000};
constexpr size_t kMaxLingerBytes = 8 << 20;
// Bytes of further requests that may arrive before the current one is answered.
constexpr size_t kMaxPipelinedBytes = 128 << 10;

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[64];
  return std::string(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

// What a client wrote, fit for a line of a log.
std::string printable(std::string_view text) {
  std::string out;
  for (const unsigned char c : text.substr(0, 200)) {
    if (c < 0x20 || c >= 0x7f || c == '\\') {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return out;
}

}  // namespace

// The handle a handler keeps. It outlives the connection harmlessly.
class HttpExchange : public Exchange {
 public:
  HttpExchange(std::weak_ptr<Connection> connection, uint64_t serial)
      : connection_(std::move(connection)), serial_(serial) {}
  ~HttpExchange() override {
    if (auto c = current(); c && !c->streaming_) {
      c->core_.log("internal error: a handler dropped its exchange");
      c->respond(error_response(ApiError(500, "internal error", "", "internal_error")));
    } else if (c) {
      c->abandon(CancelReason::kClientLeft);  // a cut stream must not look complete
    }
  }
  void respond(Response response) override {
    if (auto c = current()) c->respond(std::move(response));
  }
  void begin_stream(int status, std::string_view content_type, std::vector<Header> headers,
                    std::string heartbeat) override {
    if (auto c = current()) c->begin_stream(status, content_type, std::move(headers), std::move(heartbeat));
  }
  void write(std::string_view bytes) override {
    if (auto c = current()) c->write_stream(bytes);
  }
  void end() override {
    if (auto c = current()) c->end_stream();
  }
  void on_cancel(std::function<void(CancelReason)> callback) override {
    if (auto c = current()) c->on_cancel_ = std::move(callback);
  }
  bool open() const override { return current() != nullptr; }

 private:
  std::shared_ptr<Connection> current() const {
    auto c = connection_.lock();
    return c && c->busy() && c->exchange_ == serial_ && !c->ended_ ? c : nullptr;
  }
  std::weak_ptr<Connection> connection_;
  const uint64_t serial_;
};

Connection::Connection(ServerCore& core, std::shared_ptr<Stream> stream, uint64_t id)
    : core_(core),
      stream_(std::move(stream)),
      deadline_(core.io),
      write_deadline_(core.io),
      heartbeat_timer_(core.io),
      id_(id) {}

Connection::~Connection() = default;

void Connection::start() {
  if (!stream_->needs_handshake()) {
    enter(Phase::kIdle, core_.options.header_deadline);
    return wait_readable();
  }
  enter(Phase::kHandshake, core_.options.header_deadline);
  stream_->handshake([self = shared_from_this()](error_code ec) {
    if (self->phase_ == Phase::kClosed) return;
    if (ec) return self->linger();
    self->enter(Phase::kIdle, self->core_.options.header_deadline);
    self->wait_readable();
  });
}

// ---- phases and deadlines ----

void Connection::enter(Phase phase, milliseconds deadline) {
  phase_ = phase;
  phase_since_ = Clock::now();
  const uint64_t serial = ++deadline_serial_;
  if (deadline == milliseconds::zero()) {
    deadline_.cancel();
    return;
  }
  deadline_.expires_after(deadline);
  deadline_.async_wait([self = shared_from_this(), serial](error_code) {
    if (serial == self->deadline_serial_) self->on_deadline();
  });
}

void Connection::on_deadline() {
  if (phase_ == Phase::kHead || phase_ == Phase::kBody) {
    reject(ApiError(408,
                    phase_ == Phase::kHead ? "the request header did not arrive in time"
                                           : "the request body did not arrive in time",
                    "", "request_timeout"));
  } else if (phase_ != Phase::kAnswering) {
    close();
  }
}

void Connection::wait_readable() {
  if (waiting_ || input_ended_ || phase_ == Phase::kClosed) return;
  waiting_ = true;
  stream_->read([self = shared_from_this()](error_code ec, std::string_view bytes) {
    self->waiting_ = false;
    if (self->phase_ == Phase::kClosed) return;
    if (ec) return self->on_end_of_input();
    self->on_bytes(bytes);
  });
}

void Connection::on_bytes(std::string_view bytes) {
  if (phase_ == Phase::kLingering) {
    lingered_ += bytes.size();
    return lingered_ > kMaxLingerBytes ? close() : wait_readable();
  }
  in_.append(bytes);
  if (phase_ == Phase::kAnswering && in_.size() > kMaxPipelinedBytes) return close();
  process();
  wait_readable();
}

void Connection::on_end_of_input() {
  input_ended_ = true;
  // A client that has sent its request and closed its side may still read an answer that is already complete.
  if (phase_ == Phase::kAnswering && ended_) return;
  close();
}

// ---- requests ----

void Connection::process() {
  for (;;) {
    if (phase_ == Phase::kIdle) {
      // Blank lines before a request line are ignored (RFC 9112 section 2.2).
      size_t skip = 0;
      while (in_.compare(skip, 2, "\r\n") == 0) skip += 2;
      in_.erase(0, skip);
      if (in_.empty() || in_ == "\r") return;
      scanned_ = 0;
      enter(Phase::kHead, core_.options.header_deadline);
    }
    try {
      if (phase_ == Phase::kHead && !process_head()) return;
      if (phase_ == Phase::kBody && !process_body()) return;
    } catch (const ApiError& error) {
      return reject(error);
    }
    if (phase_ != Phase::kBody) return;
    dispatch();
    if (phase_ != Phase::kIdle) return;
  }
}

bool Connection::process_head() {
  const size_t from = scanned_ < 3 ? 0 : scanned_ - 3;
  const size_t end = in_.find("\r\n\r\n", from);
  const size_t limit = core_.options.max_header_bytes;
  if (end == std::string::npos ? in_.size() >= limit : end + 4 > limit)
    throw ApiError(431, fmt::format("request header is too large: expected at most {} bytes", limit), "",
                   "header_too_large");
  if (end == std::string::npos) {
    scanned_ = in_.size();
    return false;
  }
  head_ = std::make_unique<RequestHead>(
      parse_request_head(std::string_view(in_).substr(0, end + 4), core_.options));
  in_.erase(0, end + 4);
  check_key();
  enter(Phase::kBody, core_.options.body_deadline);
  if (head_->wants_continue && in_.empty()) {
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    pump();
  }
  return true;
}

// Before the body is read: nobody unknown makes us keep megabytes.
void Connection::check_key() {
  const KeyRing* keys = core_.options.keys.get();
  if (!keys || keys->empty()) return;
  Request& request = head_->request;
  const std::string* given = nullptr;
  for (const Header& h : request.headers) {
    if (!equals_ignore_case(h.name, "Authorization")) continue;
    if (given) throw ApiError(401, "Authorization: found more than one, expected one", "", "invalid_api_key");
    given = &h.value;
  }
  const uint32_t tenant = given ? keys->find(KeyRing::presented(*given)) : 0;
  if (tenant != 0) {
    request.tenant = keys->tenant(tenant);
    request.scope = tenant;
  } else if (request.path != ServerOptions::kOpenPath) {
    ApiError error(401,
                   given ? "Authorization: expected \"Bearer KEY\" with a key of this server"
                         : "this server wants a key: \"Authorization: Bearer KEY\"",
                   "", "invalid_api_key");
    error.headers.push_back({"WWW-Authenticate", "Basic realm=\"hoist\", Bearer"});
    throw error;
  }
}

bool Connection::process_body() {
  in_.erase(0, head_->body.feed(in_));
  return head_->body.complete();
}

void Connection::take_tenant_place() {
  const uint32_t scope = head_->request.scope;
  if (scope == 0) return;
  int& taken = core_.tenant_requests[scope];
  const int limit = core_.options.max_tenant_requests;
  if (limit > 0 && taken >= limit) {
    ApiError error(429, fmt::format("{} requests of yours are under way, expected at most {}", taken, limit),
                   "", "too_many_requests");
    error.headers.push_back({"Retry-After", "1"});
    throw error;
  }
  ++taken;
  counted_ = true;
}

// A request has ended; what it held is given back, and it is told of.
void Connection::end_access(const char* how) {
  if (counted_) --core_.tenant_requests[head_->request.scope];
  counted_ = false;
  const double seconds = std::chrono::duration<double>(Clock::now() - phase_since_).count();
  if (core_.options.on_access) {
    Access access{request_id_, "", "", "", status_, sent_, seconds, how};
    if (head_) {
      access.method = head_->request.method;
      access.path = head_->request.path;
      access.tenant = head_->request.tenant;
    }
    return core_.options.on_access(access);
  }
  const std::string line =
      head_ ? head_->request.method + " " + printable(head_->request.path) : "unreadable request";
  if (std::string_view(how) == "ok")
    return core_.log(fmt::format("{} {} {} bytes {:.0f} ms", line, status_, sent_, 1000 * seconds));
  core_.log(fmt::format("{} cancelled: the {}", line, how));
}

void Connection::dispatch() {
  keep_alive_ = head_->keep_alive && !core_.draining;
  head_->request.body = head_->body.take();
  enter(Phase::kAnswering, milliseconds::zero());
  ended_ = streaming_ = false;
  sent_ = 0;
  status_ = 0;
  request_id_ = core_.next_request++;
  auto exchange = std::make_shared<HttpExchange>(weak_from_this(), ++exchange_);
  const auto self = shared_from_this();
  try {
    Request& request = head_->request;
    const auto& always = core_.answered_while_draining;
    if (core_.draining && std::find(always.begin(), always.end(), request.path) == always.end()) {
      ApiError error(503, "the server is shutting down", "", "shutting_down");
      error.headers.push_back({"Retry-After", "5"});
      throw error;
    }
    const Handler& handler = core_.router->find(request);
    take_tenant_place();
    handler(request, exchange);
  } catch (...) {
    const ApiError error = current_api_error();
    if (error.status == 500) {
      std::string what = "unknown exception";
      try {
        throw;
      } catch (const std::exception& e) {
        what = e.what();
      } catch (...) {
      }
      core_.log("internal error: " + printable(what));
    }
    if (streaming_) return abandon(CancelReason::kClientLeft);
    exchange->respond(error_response(error));
  }
}

// An answer to a request that cannot be read to its end: the connection is not usable after it.
void Connection::reject(const ApiError& error) {
  enter(Phase::kAnswering, milliseconds::zero());
  ++exchange_;
  keep_alive_ = false;
  ended_ = streaming_ = false;
  sent_ = 0;
  status_ = 0;
  request_id_ = core_.next_request++;
  in_.clear();
  respond(error_response(error));
}

// ---- answers ----

void Connection::append_head(int status, std::string_view content_type, const std::vector<Header>& headers) {
  status_ = status;
  out_ += fmt::format(
      "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nX-Content-Type-Options: nosniff\r\n"
      "X-Request-Id: {:x}\r\n",
      status, reason_phrase(status), http_date(), content_type, request_id_);
  for (const Header& h : headers) out_ += fmt::format("{}: {}\r\n", h.name, h.value);
  if (!keep_alive_) out_ += "Connection: close\r\n";
  if (keep_alive_ && head_ && head_->http10) out_ += "Connection: keep-alive\r\n";
}

void Connection::respond(Response response) {
  if (streaming_) return;
  if (core_.draining) keep_alive_ = false;
  append_head(response.status, response.content_type, response.headers);
  out_ += fmt::format("Content-Length: {}\r\n\r\n", response.body.size());
  if (!(head_ && head_->request.method == "HEAD")) {
    out_ += response.body;
    sent_ = response.body.size();
  }
  ended_ = true;
  on_cancel_ = nullptr;
  pump();
}

void Connection::begin_stream(int status, std::string_view content_type, std::vector<Header> headers,
                              std::string heartbeat) {
  if (streaming_) return;
  streaming_ = true;
  chunked_ = !head_->http10;
  if (!chunked_ || core_.draining) keep_alive_ = false;
  append_head(status, content_type, headers);
  out_ += chunked_ ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
  heartbeat_ = std::move(heartbeat);
  if (!heartbeat_.empty()) heartbeat_after(core_.options.heartbeat);
  pump();
}

void Connection::heartbeat_after(milliseconds delay) {
  wrote_ = false;
  heartbeat_timer_.expires_after(delay);
  heartbeat_timer_.async_wait([self = shared_from_this(), serial = exchange_, delay](error_code ec) {
    if (ec || serial != self->exchange_ || !self->busy() || self->ended_) return;
    if (!self->wrote_) self->write_stream(self->heartbeat_);
    self->heartbeat_after(delay);
  });
}

void Connection::write_stream(std::string_view bytes) {
  if (!streaming_ || bytes.empty()) return;  // an empty chunk would end the body
  const size_t waiting = out_.size() + writing_.size() - written_;
  if (waiting + bytes.size() > core_.options.write_buffer_bytes) return abandon(CancelReason::kTooSlow);
  wrote_ = true;
  sent_ += bytes.size();
  if (chunked_) out_ += fmt::format("{:x}\r\n", bytes.size());
  out_ += bytes;
  if (chunked_) out_ += "\r\n";
  pump();
}

void Connection::end_stream() {
  if (!streaming_) return;
  if (chunked_) out_ += "0\r\n\r\n";
  ended_ = true;
  on_cancel_ = nullptr;
  heartbeat_timer_.cancel();
  pump();
}

void Connection::pump() {
  if (!writing_.empty() || phase_ == Phase::kClosed) return;
  if (out_.empty()) return;
  writing_.swap(out_);
  written_ = 0;
  write_some();
}

void Connection::write_some() {
  write_deadline_.expires_after(core_.options.write_deadline);
  write_deadline_.async_wait([self = shared_from_this(), serial = ++write_serial_](error_code) {
    if (serial == self->write_serial_) self->abandon(CancelReason::kTooSlow);
  });
  stream_->write(std::string_view(writing_).substr(written_),
                 [self = shared_from_this()](error_code ec, size_t n) {
                   if (self->phase_ == Phase::kClosed) return;
                   ++self->write_serial_;
                   self->write_deadline_.cancel();
                   if (ec) return self->close();
                   self->written_ += n;
                   if (self->written_ < self->writing_.size()) return self->write_some();
                   self->writing_.clear();
                   self->written_ = 0;
                   if (!self->out_.empty()) return self->pump();
                   if (self->phase_ == Phase::kAnswering && self->ended_) self->finish_answer();
                 });
}

void Connection::finish_answer() {
  end_access("ok");
  head_.reset();
  ++exchange_;
  std::string().swap(out_);  // an idle connection keeps no buffers
  std::string().swap(writing_);
  if (in_.empty()) std::string().swap(in_);
  if (keep_alive_ && !core_.draining && !input_ended_) {
    enter(Phase::kIdle, core_.options.idle_deadline);
    process();
    wait_readable();
  } else {
    linger();
  }
  if (core_.on_answered) core_.on_answered();
}

// Closing a socket that holds unread input makes the system send a reset, which may destroy the answer on its
// way: so we say that we are done, and read on for a while.
void Connection::linger() {
  stream_->end_sending();
  if (input_ended_) return close();
  lingered_ = 0;
  in_.clear();
  enter(Phase::kLingering, kLingerDeadline);
  wait_readable();
}

void Connection::abandon(CancelReason reason) {
  if (phase_ == Phase::kClosed) return;
  const auto self = shared_from_this();
  const bool answering = phase_ == Phase::kAnswering && !ended_;
  // Also when the whole answer was queued: it was not taken.
  if (phase_ == Phase::kAnswering)
    end_access(reason == CancelReason::kTooSlow ? "client too slow" : "client left");
  ++exchange_;
  close_socket();
  auto callback = std::move(on_cancel_);
  on_cancel_ = nullptr;
  if (answering && callback) callback(reason);
  if (core_.on_answered) core_.on_answered();
}

void Connection::shut_down() {
  if (!busy() || ended_) return;
  const auto self = shared_from_this();
  keep_alive_ = false;
  auto callback = std::move(on_cancel_);
  on_cancel_ = nullptr;
  if (callback) callback(CancelReason::kShutdown);
  if (!busy() || ended_) return;
  if (streaming_) return abandon(CancelReason::kClientLeft);
  respond(error_response(ApiError(503, "the server is shutting down", "", "shutting_down")));
}

void Connection::close_socket() {
  phase_ = Phase::kClosed;
  ++deadline_serial_;
  ++write_serial_;
  deadline_.cancel();
  write_deadline_.cancel();
  heartbeat_timer_.cancel();
  stream_->close();
  core_.connections.erase(id_);
}

}  // namespace hoist::http
