#include "hub/http_get.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/error.h"
#include "io/files.h"

namespace hoist::hub {

namespace {

constexpr int64_t kMaxHeaderBytes = 256 << 10;

void start_library() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

// What one attempt fills.
struct Sink {
  CURL* curl = nullptr;
  std::string* body = nullptr;  // of text
  size_t most = 0;
  int fd = -1;  // of a file
  int64_t offset = 0, bytes = 0, begun = 0;
  const std::function<bool(int64_t)>* progress = nullptr;
  int64_t header_bytes = 0;
  std::string link, problem;
  bool stopped = false;
};

long status_of(CURL* curl) {
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

size_t take_header(char* data, size_t, size_t n, void* user) {
  Sink& s = *static_cast<Sink*>(user);
  s.header_bytes += static_cast<int64_t>(n);
  if (s.header_bytes > kMaxHeaderBytes) {
    s.problem = "found more than 256 KiB of headers";
    return 0;
  }
  const std::string_view line(data, n);
  if (line.starts_with("HTTP/")) s.link.clear();  // of the redirect before
  if (line.size() > 5 && curl_strnequal(data, "link:", 5)) s.link.assign(line.substr(5));
  return n;
}

size_t take_body(char* data, size_t, size_t n, void* user) {
  Sink& s = *static_cast<Sink*>(user);
  const long status = status_of(s.curl);
  if (status >= 300) return n;  // an error's text is of no use
  if (s.body) {
    if (s.body->size() + n > s.most) {
      s.problem = "found more than " + std::to_string(s.most) + " bytes";
      return 0;
    }
    s.body->append(data, n);
    return n;
  }
  if (s.offset > 0 && s.begun == 0 && status != 206) {
    // It does not continue: from the beginning then.
    if (::ftruncate(s.fd, 0) != 0 || ::lseek(s.fd, 0, SEEK_SET) != 0) {
      s.problem = std::string("cannot begin anew: ") + std::strerror(errno);
      return 0;
    }
    s.offset = 0;
  }
  if (s.offset + s.begun + static_cast<int64_t>(n) > s.bytes) {
    s.problem = "found more than the " + std::to_string(s.bytes) + " bytes that were announced";
    return 0;
  }
  for (size_t done = 0; done < n;) {
    const ssize_t wrote = ::write(s.fd, data + done, n - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      s.problem = std::string("cannot be written: ") + std::strerror(errno);
      return 0;
    }
    done += static_cast<size_t>(wrote);
  }
  s.begun += static_cast<int64_t>(n);
  if (s.progress && *s.progress && !(*s.progress)(s.offset + s.begun)) {
    s.stopped = true;
    return 0;
  }
  return n;
}

std::string next_of(const std::string& link) {
  const size_t rel = link.find("rel=\"next\"");
  const size_t open = rel == link.npos ? link.npos : link.rfind('<', rel);
  const size_t close = open == link.npos ? link.npos : link.find('>', open);
  return close == link.npos || close > rel ? "" : link.substr(open + 1, close - open - 1);
}

bool may_pass(CURLcode code, long status) {
  if (code == CURLE_OK) return status == 408 || status == 429 || status >= 500;
  return code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT || code == CURLE_PARTIAL_FILE ||
         code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING ||
         code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_HTTP2_STREAM;
}

}  // namespace

struct HttpGet::Handle {
  Handle() : curl(curl_easy_init()) { HOIST_CHECK(curl, "libcurl did not start"); }
  ~Handle() {
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
  }
  CURL* curl;
  curl_slist* headers = nullptr;
  char message[CURL_ERROR_SIZE] = {};

  CURLcode run(const HttpOptions& o, const std::string& url, Sink& sink) {
    curl_easy_reset(curl);
    sink.curl = curl;
    message[0] = 0;
    auto set = [&](CURLoption option, auto value) {
      HOIST_CHECK(curl_easy_setopt(curl, option, value) == CURLE_OK, "libcurl lacks an option");
    };
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, 8L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_USERAGENT, "hoist");
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(o.connect_timeout * 1000));
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(o.stall_timeout < 1 ? 1 : o.stall_timeout));
    set(CURLOPT_ERRORBUFFER, message);
    set(CURLOPT_HEADERFUNCTION, take_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&sink));
    set(CURLOPT_WRITEFUNCTION, take_body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&sink));
    if (sink.offset > 0) set(CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(sink.offset));
    if (!o.token.empty()) {
      set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
      set(CURLOPT_XOAUTH2_BEARER, o.token.c_str());
    }
    return curl_easy_perform(curl);
  }
};

HttpGet::HttpGet(HttpOptions options) : options_(std::move(options)) {
  start_library();
  handle_ = std::make_unique<Handle>();
}
HttpGet::~HttpGet() = default;

namespace {

[[noreturn]] void fail(const std::string& url, CURLcode code, long status, const Sink& sink,
                       const char* message) {
  if (sink.stopped) throw Error(ErrorCode::kUnavailable, url + ": stopped");
  if (!sink.problem.empty()) throw Error(ErrorCode::kUnavailable, url + ": " + sink.problem);
  if (code != CURLE_OK)
    throw Error(ErrorCode::kUnavailable, url + ": " + (message[0] ? message : curl_easy_strerror(code)));
  if (status == 404) throw_not_found(url + ": found no such thing there (404)");
  if (status == 401 || status == 403)
    throw_invalid(url + ": the server wants to know who asks (" + std::to_string(status) +
                  "); expected a token with access, in HF_TOKEN");
  throw Error(ErrorCode::kUnavailable, url + ": the server answered " + std::to_string(status));
}

class Pauses {
 public:
  Pauses(const HttpOptions& o)
      : left_(o.attempts), pause_(o.first_pause), first_(o.first_pause), all_(o.attempts) {}
  void progress() {
    left_ = all_;
    pause_ = first_;
  }
  bool again() {
    if (--left_ <= 0) return false;
    std::this_thread::sleep_for(std::chrono::duration<double>(pause_));
    pause_ *= 2;
    return true;
  }

 private:
  int left_;
  double pause_, first_;
  int all_;
};

}  // namespace

HttpGet::Text HttpGet::text(const std::string& url, size_t max_bytes) {
  Pauses pauses(options_);
  while (true) {
    Text out;
    Sink sink;
    sink.body = &out.body;
    sink.most = max_bytes;
    const CURLcode code = handle_->run(options_, url, sink);
    const long status = status_of(handle_->curl);
    if (code == CURLE_OK && status >= 200 && status < 300) {
      out.next = next_of(sink.link);
      return out;
    }
    if (!sink.problem.empty() || !may_pass(code, status) || !pauses.again())
      fail(url, code, status, sink, handle_->message);
  }
}

void HttpGet::file(const std::string& url, const std::string& path, int64_t bytes,
                   const std::function<bool(int64_t)>& progress) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) throw Error(ErrorCode::kUnavailable, path + ": cannot be written: " + std::strerror(errno));
  struct Close {
    int fd;
    ~Close() { ::close(fd); }
  } close_later{fd};
  Pauses pauses(options_);
  while (true) {
    Sink sink;
    sink.fd = fd;
    sink.bytes = bytes;
    sink.progress = &progress;
    sink.offset = ::lseek(fd, 0, SEEK_END);
    if (sink.offset > bytes) {  // not of this file
      if (::ftruncate(fd, 0) != 0) throw Error(ErrorCode::kUnavailable, path + ": " + std::strerror(errno));
      sink.offset = ::lseek(fd, 0, SEEK_SET);
    }
    if (sink.offset == bytes) break;
    const CURLcode code = handle_->run(options_, url, sink);
    const long status = status_of(handle_->curl);
    if (sink.begun > 0) pauses.progress();
    if (sink.offset + sink.begun == bytes && code == CURLE_OK && status < 300) break;
    const bool cut = code == CURLE_OK && status >= 200 && status < 300;  // ended before its time
    if (sink.stopped || !sink.problem.empty() || !(cut || may_pass(code, status)) || !pauses.again())
      fail(url, code, cut ? 0 : status, sink, cut ? "the answer ended early" : handle_->message);
  }
  if (::fsync(fd) != 0)
    throw Error(ErrorCode::kUnavailable, path + ": cannot be made durable: " + std::strerror(errno));
}

std::string encode_path(const std::string& path) {
  std::string out;
  for (const char c : path) {
    const unsigned char u = static_cast<unsigned char>(c);
    if ((u >= '0' && u <= '9') || (u >= 'A' && u <= 'Z') || (u >= 'a' && u <= 'z') || c == '-' || c == '.' ||
        c == '_' || c == '~' || c == '/') {
      out += c;
    } else {
      constexpr char kDigits[] = "0123456789ABCDEF";
      out += '%';
      out += kDigits[u >> 4];
      out += kDigits[u & 15];
    }
  }
  return out;
}

}  // namespace hoist::hub
