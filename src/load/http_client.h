// A small HTTP/1.1 client for measuring: requests of ready bytes over connections that are kept and reused,
// timers, and one thread for all of it, the one inside run().
//
//   HttpClient client(parse_url("http://127.0.0.1:8080", "--url"), {});
//   client.at(0.5, [&] { client.send(post_text(...), {on_body, on_end, on_fail}); });
//   client.run();  // until nothing is under way
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "load/response_reader.h"

namespace hoist::load {

struct Url {
  std::string host;  // without brackets
  uint16_t port = 80;
  std::string prefix;  // of every path: "" or "/api"

  std::string authority() const;  // as the Host header has it
};
// "http://host[:port][/prefix][/v1]"; the "/v1" that clients of the API are given is dropped. Throws
// Error(kInvalidArgument) led by `source`.
Url parse_url(const std::string& text, const std::string& source);

struct HttpClientOptions {
  double timeout = 600;  // seconds for one exchange, connecting included
};

class HttpClient {
 public:
  // For one exchange: `body` any number of times, then either `end` or `fail`. Called inside run().
  struct Handlers {
    std::function<void(const ResponseHead&, std::string_view)> body;
    std::function<void(const ResponseHead&)> end;
    std::function<void(const std::string& why)> fail;
  };

  // Throws Error(kNotFound) when the host has no address.
  HttpClient(const Url& url, const HttpClientOptions& options);
  ~HttpClient();

  // `bytes`: a whole request, head and body. It goes out over a kept connection if one is free. Should the
  // server have closed that one meanwhile, it is sent once more over a new one.
  void send(std::string bytes, Handlers handlers);
  // `then` runs at `seconds` on now()'s clock, inside run().
  void at(double seconds, std::function<void()> then);
  // Seconds since the client was made; monotonic.
  double now() const;
  // Works until no exchange is under way and no timer waits, or stop(). May be called again.
  void run();
  void stop();
  // Ends every exchange under way without calling its handlers, and forgets the timers.
  void drop_all();
  int64_t connections_opened() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// One exchange, waited for.
struct WholeResponse {
  int status = 0;
  std::string body, error;  // error: why there is no response
};
WholeResponse exchange(HttpClient& client, std::string bytes);

// The bytes of requests. `key` empty: no Authorization.
std::string get_text(const Url& url, const std::string& path, const std::string& key);
std::string post_text(const Url& url, const std::string& path, const std::string& key,
                      const std::string& json);

}  // namespace hoist::load
