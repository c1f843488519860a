// HTTP GET for downloads: redirects, https, proxies from the environment (libcurl), bounded answers, files
// that continue where they stopped.
//
// Errors are Error(kUnavailable) naming the address and the cause; what may pass (a dropped connection, 5xx,
// 429) is tried again a few times first, each after a longer pause. Not thread-safe; one object per thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace hoist::hub {

struct HttpOptions {
  std::string token;       // sent as a bearer token to the first host alone, never after a redirect
  int attempts = 5;        // in a row without a byte of progress
  double first_pause = 1;  // seconds before the second attempt, doubling
  double connect_timeout = 20;
  double stall_timeout = 60;  // seconds without a byte
};

class HttpGet {
 public:
  explicit HttpGet(HttpOptions options = {});
  ~HttpGet();

  struct Text {
    std::string body;
    std::string next;  // of a paged list: the address of its next page (Link: <...>; rel="next"), or empty
  };
  // At most `max_bytes`. Error(kNotFound) for 404, Error(kInvalidArgument) naming what is missing for 401,
  // 403.
  Text text(const std::string& url, size_t max_bytes);

  // Appends to `path` from its present size on until it has `bytes` bytes. A server that cannot continue
  // begins anew. `progress` gets the bytes that are there; false stops with Error(kUnavailable).
  void file(const std::string& url, const std::string& path, int64_t bytes,
            const std::function<bool(int64_t)>& progress);

 private:
  struct Handle;
  HttpOptions options_;
  std::unique_ptr<Handle> handle_;
};

// What may stand in a path of a URL, percent-encoded, slashes kept.
std::string encode_path(const std::string& path);

}  // namespace hoist::hub
