// A hub on loopback for tests: files with their digests, and the faults that networks have.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace hoist::hub {

inline std::string hex_digest(const std::string& bytes, const EVP_MD* kind) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), out, &size, kind, nullptr);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", out[i]);
    hex += two;
  }
  return hex;
}

class HubServer {
 public:
  // What is wrong, once each time it is set.
  enum class Fault { kNone, kCut, kError, kNoRange, kWrongBytes, kTooLong, kRedirect };

  HubServer() {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0)
      abort();
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~HubServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  std::map<std::string, std::string> files;  // set before the first request
  std::string commit = std::string(40, 'a');
  int64_t page = 1000;  // entries of a list in one answer

  void fail(Fault fault, size_t times = 1) {
    const std::lock_guard lock(mutex_);
    faults_.assign(times, fault);
  }
  int64_t body_bytes() const { return sent_; }
  std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void serve() {
    while (true) {
      const int socket = ::accept(listener_, nullptr, nullptr);
      if (socket < 0) return;
      answer(socket);
      ::close(socket);
    }
  }

  static void send_all(int socket, const std::string& bytes) {
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::send(socket, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (n <= 0) return;
      done += static_cast<size_t>(n);
    }
  }

  static std::string head(const std::string& status, size_t length, const std::string& more = "") {
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(length) +
           "\r\nConnection: close\r\n" + more + "\r\n";
  }

  std::string list(size_t from) const {
    std::string out = "[{\"type\":\"directory\",\"path\":\"sub\",\"size\":0,\"oid\":\"x\"}";
    size_t at = 0;
    for (const auto& [path, bytes] : files) {
      if (at >= from && at < from + static_cast<size_t>(page)) {
        out += ",{\"type\":\"file\",\"path\":\"" + path + "\",\"size\":" + std::to_string(bytes.size());
        std::string blob = "blob " + std::to_string(bytes.size());
        blob.push_back('\0');
        out += ",\"oid\":\"" + hex_digest(blob + bytes, EVP_sha1()) + "\"";
        if (path.ends_with(".safetensors") || path.ends_with(".gguf"))
          out += ",\"lfs\":{\"oid\":\"" + hex_digest(bytes, EVP_sha256()) +
                 "\",\"size\":" + std::to_string(bytes.size()) + "}";
        out += "}";
      }
      ++at;
    }
    return out + "]";
  }

  void answer(int socket) {
    std::string request;
    char buffer[4096];
    while (request.find("\r\n\r\n") == request.npos) {
      const ssize_t n = ::recv(socket, buffer, sizeof buffer, 0);
      if (n <= 0) return;
      request.append(buffer, static_cast<size_t>(n));
    }
    const std::string target = request.substr(4, request.find(' ', 4) - 4);
    Fault fault = Fault::kNone;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      if (target.find("/resolve/") != target.npos && !faults_.empty()) {
        fault = faults_.back();
        faults_.pop_back();
      }
    }
    if (target.find("/revision/") != target.npos) {
      const std::string body = "{\"sha\":\"" + commit + "\",\"id\":\"org/name\"}";
      send_all(socket, head("200 OK", body.size()) + body);
      return;
    }
    if (target.find("/tree/") != target.npos) {
      const size_t cursor = target.find("&cursor=");
      const size_t from = cursor == target.npos ? 0 : std::stoul(target.substr(cursor + 8));
      const std::string body = list(from);
      const size_t next = from + static_cast<size_t>(page);
      std::string link;
      if (next < files.size())
        link = "Link: <" + url() + target.substr(0, cursor) + "&cursor=" + std::to_string(next) +
               ">; rel=\"next\"\r\n";
      send_all(socket, head("200 OK", body.size(), link) + body);
      return;
    }
    const std::string mark = "/resolve/" + commit + "/";
    const size_t at = target.find(mark);
    const auto file = at == target.npos ? files.end() : files.find(target.substr(at + mark.size()));
    if (file == files.end()) {
      send_all(socket, head("404 Not Found", 2) + "no");
      return;
    }
    std::string bytes = file->second;
    if (fault == Fault::kError) {
      send_all(socket, head("503 Service Unavailable", 4) + "busy");
      return;
    }
    if (fault == Fault::kRedirect) {
      send_all(socket, head("302 Found", 0, "Location: " + url() + target + "\r\n"));
      return;
    }
    size_t from = 0;
    if (const size_t range = request.find("Range: bytes="); range != request.npos && fault != Fault::kNoRange)
      from = std::stoul(request.substr(range + 13));
    const std::string status = from > 0 ? "206 Partial Content" : "200 OK";
    std::string more;
    if (from > 0)
      more = "Content-Range: bytes " + std::to_string(from) + "-" + std::to_string(bytes.size() - 1) + "/" +
             std::to_string(bytes.size()) + "\r\n";
    std::string body = bytes.substr(from);
    if (fault == Fault::kWrongBytes && !body.empty()) body[body.size() / 2] ^= 1;
    if (fault == Fault::kTooLong) body += "more";
    const size_t length = body.size();
    if (fault == Fault::kCut) body.resize(body.size() / 3);
    sent_ += static_cast<int64_t>(body.size());
    send_all(socket, head(status, length, more) + body);
  }

  int listener_ = -1;
  int port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<Fault> faults_;
  std::vector<std::string> requests_;
  std::atomic<int64_t> sent_{0};
};

}  // namespace hoist::hub
