// What a handler sees of HTTP: a parsed request, a whole response, and the exchange it answers through.
//
// Promises: a Request has passed the server's limits, framing, Host and Origin checks before a handler sees
// it. Threading: everything here belongs to the server's io thread; from elsewhere go through Poster
// (server.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::http {

struct Header {
  std::string name, value;
};

struct Request {
  std::string method;  // as sent: "GET", "POST", ...
  std::string path;    // percent-decoded, always starts with '/', never holds control characters
  std::string query;   // raw, without '?'
  std::string tail;    // what the "*" of a matched route stands for
  std::vector<Header> headers;
  std::string body;
  std::string tenant;  // whose key it came with; empty: this server asks for none
  uint32_t scope = 0;  // that tenant's number, from 1; 0: none. What one scope computes, no other may see

  // First header of that name (ASCII case ignored), or null.
  const std::string* header(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<Header> headers;
};

enum class CancelReason {
  kClientLeft,  // the connection is gone; nothing can be written any more
  kTooSlow,     // the client does not read: the write buffer is full; nothing can be written any more
  kShutdown,    // the drain deadline has passed; the handler may still write a last word and must end now
};

// One request being answered: either respond() once, or begin_stream(), write()..., end().
// An exchange dropped without an answer answers 500. After the end or a cancel every call does nothing, so a
// late event of an engine needs no check.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void respond(Response response) = 0;
  // Sends the head now; the body follows chunked (HTTP/1.0: until close). With a heartbeat, those bytes are
  // written whenever nothing else was for ServerOptions::heartbeat.
  virtual void begin_stream(int status, std::string_view content_type, std::vector<Header> headers,
                            std::string heartbeat) = 0;
  // Queues body bytes. More than ServerOptions::write_buffer_bytes unsent cancels the exchange (kTooSlow).
  virtual void write(std::string_view bytes) = 0;
  virtual void end() = 0;
  // Called at most once, unless the answer has been completed first.
  virtual void on_cancel(std::function<void(CancelReason)> callback) = 0;
  virtual bool open() const = 0;
};

using ExchangePtr = std::shared_ptr<Exchange>;
// May throw hoist::Error or ApiError before answering: the server turns either into its JSON error.
using Handler = std::function<void(const Request&, const ExchangePtr&)>;

}  // namespace hoist::http
