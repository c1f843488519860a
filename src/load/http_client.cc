#include "load/http_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <chrono>
#include <unordered_set>
#include <vector>

#include "base/error.h"

namespace hoist::load {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {

constexpr size_t kMaxIdle = 1024;
constexpr size_t kMaxBodySeen = 64 << 20;  // of one whole response

Clock::duration ticks(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

bool plain(const std::string& text) {
  for (const unsigned char c : text)
    if (c <= 0x20 || c >= 0x7f) return false;
  return true;
}

}  // namespace

std::string Url::authority() const {
  const std::string name = host.find(':') == host.npos ? host : "[" + host + "]";
  return port == 80 ? name : name + ":" + std::to_string(port);
}

Url parse_url(const std::string& text, const std::string& source) {
  const auto refuse = [&]() {
    throw_invalid(source + ": found '" + text + "', expected http://HOST[:PORT][/PATH]");
  };
  constexpr std::string_view kScheme = "http://";
  if (text.starts_with("https://"))
    throw_unsupported(source + ": found '" + text + "', expected http://; TLS is not spoken here");
  if (!text.starts_with(kScheme) || !plain(text)) refuse();
  std::string_view rest = std::string_view(text).substr(kScheme.size());
  if (rest.find_first_of("?#@") != rest.npos) refuse();
  Url url;
  const size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view authority = rest.substr(0, slash);
  std::string_view prefix = rest.substr(slash);
  const size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == authority.npos) refuse();
  const size_t colon = authority.find(':', bracket);
  if (colon != authority.npos) {
    const std::string_view digits = authority.substr(colon + 1);
    const auto r = std::from_chars(digits.data(), digits.data() + digits.size(), url.port);
    if (r.ec != std::errc() || r.ptr != digits.data() + digits.size() || url.port == 0) refuse();
    authority = authority.substr(0, colon);
  }
  if (bracket > 0) {
    if (authority.back() != ']') refuse();
    authority = authority.substr(1, authority.size() - 2);
  }
  if (authority.empty()) refuse();
  url.host = authority;
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  if (prefix == "/v1" || prefix.ends_with("/v1")) prefix.remove_suffix(3);
  url.prefix = prefix;
  return url;
}

struct HttpClient::State {
  // One connection, and the exchange on it.
  struct Channel : std::enable_shared_from_this<Channel> {
    Channel(State& s) : state(s), socket(s.io), deadline(s.io) {}
    State& state;
    tcp::socket socket;
    asio::steady_timer deadline;
    std::string bytes;
    Handlers handlers;
    ResponseReader reader;
    bool connected = false, reused = false, busy = false, writing = false;
    uint64_t serial = 0;  // of the exchange: what comes late does nothing

    void begin(std::string request, Handlers h) {
      bytes = std::move(request);
      handlers = std::move(h);
      reader = {};
      busy = true;
      const uint64_t now_serial = ++serial;
      deadline.expires_after(ticks(state.options.timeout));
      deadline.async_wait([self = shared_from_this(), now_serial](error_code ec) {
        if (!ec && self->busy && self->serial == now_serial) self->fail("no answer within the time limit");
      });
      if (connected) return write();
      ++state.opened;
      asio::async_connect(socket, state.endpoints,
                          [self = shared_from_this(), now_serial](error_code ec, const tcp::endpoint&) {
                            if (!self->busy || self->serial != now_serial) return;
                            if (ec) return self->fail("cannot connect: " + ec.message());
                            self->connected = true;
                            error_code ignored;
                            self->socket.set_option(tcp::no_delay(true), ignored);
                            self->socket.non_blocking(true, ignored);
                            self->write();
                          });
    }
    void write() {
      // That it failed, the read learns too; and an answer may come all the same, as to a body too large.
      writing = true;
      asio::async_write(socket, asio::buffer(bytes),
                        [self = shared_from_this()](error_code, size_t) { self->writing = false; });
      read();
    }
    // Waits first: the buffer is everybody's, and a read under way would hold it.
    void read() {
      socket.async_wait(tcp::socket::wait_read, [self = shared_from_this(), s = serial](error_code ec) {
        if (!self->busy || self->serial != s) return;
        size_t n = 0;
        if (!ec) n = self->socket.read_some(asio::buffer(self->state.scratch), ec);
        if (ec == asio::error::would_block) return self->read();
        self->on_read(ec, n);
      });
    }
    void on_read(error_code ec, size_t n) {
      if (ec) {
        if (ec == asio::error::eof && reader.end_of_input()) return finish();
        return lost(ec == asio::error::eof ? "the server closed the connection" : ec.message());
      }
      try {
        const size_t used = reader.feed({state.scratch.data(), n}, [&](std::string_view piece) {
          if (handlers.body) handlers.body(reader.head(), piece);
        });
        if (!busy) return;  // a handler dropped everything
        if (reader.complete() && used < n) return fail("the server sent more than it announced");
      } catch (const Error& e) {
        return fail(e.what());
      }
      reader.complete() ? finish() : read();
    }
    // The connection broke. A kept one that the server closed before it saw the request is not its fault.
    void lost(const std::string& why) {
      if (!reused || reader.started()) return fail(why);
      std::string request = std::move(bytes);
      Handlers h = std::move(handlers);
      close();
      state.start_new(std::move(request), std::move(h));
    }
    void close() {
      busy = false;
      connected = false;
      deadline.cancel();
      error_code ignored;
      socket.close(ignored);
      state.channels.erase(shared_from_this());
    }
    void fail(const std::string& why) {
      const auto self = shared_from_this();
      Handlers h = std::move(handlers);
      close();
      if (h.fail) h.fail(why);
    }
    void finish() {
      const auto self = shared_from_this();
      busy = false;
      deadline.cancel();
      Handlers h = std::move(handlers);
      const ResponseHead head = reader.head();
      if (head.keep_alive && !writing && state.idle.size() < kMaxIdle) {
        reused = true;
        state.idle.push_back(self);
      } else {
        close();
      }
      if (h.end) h.end(head);
    }
  };

  HttpClientOptions options;
  asio::io_context io{1};
  std::vector<tcp::endpoint> endpoints;
  std::vector<char> scratch = std::vector<char>(64 << 10);
  std::unordered_set<std::shared_ptr<Channel>> channels;
  std::vector<std::shared_ptr<Channel>> idle;
  std::unordered_set<asio::steady_timer*> timers;
  Clock::time_point start = Clock::now();
  int64_t opened = 0;

  void start_new(std::string bytes, Handlers handlers) {
    auto channel = std::make_shared<Channel>(*this);
    channels.insert(channel);
    channel->begin(std::move(bytes), std::move(handlers));
  }
};

HttpClient::HttpClient(const Url& url, const HttpClientOptions& options) : state_(std::make_unique<State>()) {
  state_->options = options;
  tcp::resolver resolver(state_->io);
  error_code ec;
  for (const auto& found : resolver.resolve(url.host, std::to_string(url.port), ec))
    state_->endpoints.push_back(found.endpoint());
  if (ec || state_->endpoints.empty())
    throw_not_found(url.host + ": no address for this host: " + ec.message());
}

HttpClient::~HttpClient() { drop_all(); }

void HttpClient::send(std::string bytes, Handlers handlers) {
  State& s = *state_;
  if (s.idle.empty()) return s.start_new(std::move(bytes), std::move(handlers));
  const auto channel = std::move(s.idle.back());  // the warmest; the others may grow old
  s.idle.pop_back();
  channel->begin(std::move(bytes), std::move(handlers));
}

void HttpClient::at(double seconds, std::function<void()> then) {
  auto timer = std::make_shared<asio::steady_timer>(state_->io);
  state_->timers.insert(timer.get());
  timer->expires_at(state_->start + ticks(seconds));
  timer->async_wait([this, timer, then = std::move(then)](error_code ec) {
    state_->timers.erase(timer.get());
    if (!ec) then();
  });
}

double HttpClient::now() const { return std::chrono::duration<double>(Clock::now() - state_->start).count(); }

void HttpClient::run() {
  state_->io.restart();
  state_->io.run();
}

void HttpClient::stop() { state_->io.stop(); }

void HttpClient::drop_all() {
  const auto all = state_->channels;
  for (const auto& channel : all) channel->close();
  state_->idle.clear();
  for (asio::steady_timer* timer : state_->timers) timer->cancel();
}

int64_t HttpClient::connections_opened() const { return state_->opened; }

WholeResponse exchange(HttpClient& client, std::string bytes) {
  WholeResponse out;
  client.send(std::move(bytes), {[&](const ResponseHead&, std::string_view piece) {
                                   if (out.body.size() + piece.size() <= kMaxBodySeen) out.body += piece;
                                 },
                                 [&](const ResponseHead& head) { out.status = head.status; },
                                 [&](const std::string& why) { out.error = why; }});
  client.run();
  return out;
}

namespace {
std::string head_text(const char* method, const Url& url, const std::string& path, const std::string& key) {
  std::string text = std::string(method) + " " + url.prefix + path + " HTTP/1.1\r\nHost: " + url.authority() +
                     "\r\nUser-Agent: hoist-bench\r\nAccept: */*\r\n";
  if (!key.empty()) text += "Authorization: Bearer " + key + "\r\n";
  return text;
}
}  // namespace

std::string get_text(const Url& url, const std::string& path, const std::string& key) {
  return head_text("GET", url, path, key) + "\r\n";
}

std::string post_text(const Url& url, const std::string& path, const std::string& key,
                      const std::string& json) {
  return head_text("POST", url, path, key) +
         "Content-Type: application/json\r\nContent-Length: " + std::to_string(json.size()) + "\r\n\r\n" +
         json;
}

}  // namespace hoist::load
