// A raw loopback client for the tests: sends exactly the bytes it is told, reads answers, and tells how they
// ended.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::http {

struct Answer {
  int status = 0;
  std::string head;  // status line and headers, without the blank line
  std::string body;  // unchunked
  bool chunked = false;
  std::string header(std::string_view name) const;  // "" when absent
};

class Client {
 public:
  // `receive_buffer` > 0 asks the system for a small one, to act as a slow reader.
  explicit Client(uint16_t port, int receive_buffer = 0);
  Client();  // a socket, not yet connected
  void connect(uint16_t port);
  virtual ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool send(std::string_view bytes);  // false: the server has closed
  // The next answer; none when the connection ends before a whole one came (or after ten seconds of silence).
  std::optional<Answer> receive(bool head_request = false);
  // Bytes as they come, until `text` was seen or the connection ended; returns what came.
  std::string receive_until(std::string_view text);
  bool closed_by_server();  // reads to the end; false when bytes came, or after ten seconds
  void close_sending();
  void close();

 protected:
  // As ::send and ::recv; TLS puts itself between.
  virtual long write_some(const char* bytes, size_t size);
  virtual long read_some(char* bytes, size_t size);
  int fd_ = -1;

 private:
  bool fill();  // more bytes into in_; false at the end
  std::string in_;
};

// A request with Host and, for a body, Content-Type and Content-Length.
std::string request_text(std::string_view method, std::string_view target, std::string_view body = {},
                         std::string_view extra_headers = {});
Answer ask(uint16_t port, std::string_view method, std::string_view target, std::string_view body = {},
           std::string_view extra_headers = {});
// The payloads of "data: ..." events, in order; fails the test on any other line but comments.
std::vector<std::string> sse_events(std::string_view stream);

}  // namespace hoist::http
