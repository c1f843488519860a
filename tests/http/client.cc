// See client.h.
#include "http/client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "http/guard.h"

namespace hoist::http {

std::string Answer::header(std::string_view name) const {
  for (size_t at = head.find("\r\n"); at != std::string::npos; at = head.find("\r\n", at + 2)) {
    const std::string_view line = std::string_view(head).substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    const size_t colon = line.find(": ");
    if (colon != std::string_view::npos && equals_ignore_case(line.substr(0, colon), name))
      return std::string(line.substr(colon + 2));
  }
  return "";
}

Client::Client() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval limit{10, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Client::Client(uint16_t port, int receive_buffer) : Client() {
  if (receive_buffer) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  connect(port);
}

void Client::connect(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) close();
}

Client::~Client() { close(); }

void Client::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Client::close_sending() { ::shutdown(fd_, SHUT_WR); }

bool Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const long n = write_some(bytes.data(), bytes.size());
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

long Client::write_some(const char* bytes, size_t size) { return ::send(fd_, bytes, size, MSG_NOSIGNAL); }
long Client::read_some(char* bytes, size_t size) { return ::recv(fd_, bytes, size, 0); }

bool Client::fill() {
  char buffer[16384];
  const long n = read_some(buffer, sizeof buffer);
  if (n <= 0) return false;
  in_.append(buffer, static_cast<size_t>(n));
  return true;
}

std::optional<Answer> Client::receive(bool head_request) {
  Answer answer;
  do {
    size_t end;
    while ((end = in_.find("\r\n\r\n")) == std::string::npos)
      if (!fill()) return std::nullopt;
    answer.head = in_.substr(0, end);
    in_.erase(0, end + 4);
    answer.status = std::atoi(answer.head.c_str() + answer.head.find(' '));
  } while (answer.status == 100);
  if (head_request) return answer;
  answer.chunked = answer.header("Transfer-Encoding") == "chunked";
  const std::string length = answer.header("Content-Length");
  if (!answer.chunked && length.empty()) {  // until the server closes
    while (fill()) {
    }
    answer.body = std::move(in_);
    in_.clear();
    return answer;
  }
  if (!answer.chunked) {
    const size_t size = std::stoul(length);
    while (in_.size() < size)
      if (!fill()) return std::nullopt;
    answer.body = in_.substr(0, size);
    in_.erase(0, size);
    return answer;
  }
  for (;;) {
    size_t eol;
    while ((eol = in_.find("\r\n")) == std::string::npos)
      if (!fill()) return std::nullopt;
    const size_t size = std::stoul(in_.substr(0, eol), nullptr, 16);
    while (in_.size() < eol + 2 + size + 2)
      if (!fill()) return std::nullopt;
    answer.body += in_.substr(eol + 2, size);
    in_.erase(0, eol + 2 + size + 2);
    if (size == 0) return answer;
  }
}

std::string Client::receive_until(std::string_view text) {
  while (in_.find(text) == std::string::npos)
    if (!fill()) break;
  return in_;
}

bool Client::closed_by_server() {
  char buffer[256];
  const long n = in_.empty() ? read_some(buffer, sizeof buffer) : 1;
  return n == 0 || (n < 0 && errno == ECONNRESET);
}

std::string request_text(std::string_view method, std::string_view target, std::string_view body,
                         std::string_view extra_headers) {
  std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n";
  text += extra_headers;
  if (!body.empty() || method == "POST")
    text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  return text + "\r\n" + std::string(body);
}

Answer ask(uint16_t port, std::string_view method, std::string_view target, std::string_view body,
           std::string_view extra_headers) {
  Client client(port);
  EXPECT_TRUE(client.send(request_text(method, target, body, extra_headers)));
  const auto answer = client.receive(method == "HEAD");
  EXPECT_TRUE(answer) << "no answer to " << method << " " << target << " " << body;
  return answer.value_or(Answer{});
}

std::vector<std::string> sse_events(std::string_view stream) {
  std::vector<std::string> events;
  while (!stream.empty()) {
    const size_t end = stream.find("\n\n");
    if (end == std::string_view::npos) {
      ADD_FAILURE() << "the stream ends within an event: " << stream;
      break;
    }
    const std::string_view event = stream.substr(0, end);
    stream.remove_prefix(end + 2);
    if (event.starts_with(':')) continue;
    EXPECT_TRUE(event.starts_with("data: ")) << event;
    EXPECT_EQ(event.find('\n'), std::string_view::npos) << event;
    events.emplace_back(event.substr(std::min<size_t>(6, event.size())));
  }
  return events;
}

}  // namespace hoist::http
