// The server shell: limits, deadlines, framing, host checks, keep-alive, disconnects and the drain, by raw
// sockets.
#include "http/server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <future>
#include <random>

#include "base/error.h"
#include "http/client.h"
#include "http/running_server.h"

namespace hoist::http {
namespace {

using std::chrono::milliseconds;

std::string error_code_of(const Answer& answer) {
  const size_t at = answer.body.find(R"("code":")");
  if (at == std::string::npos) return "";
  return answer.body.substr(at + 8, answer.body.find('"', at + 8) - at - 8);
}

// The answer to exactly these bytes, and whether the connection was closed after it.
void expect_refused(uint16_t port, std::string_view bytes, int status) {
  Client client(port);
  client.send(bytes);
  const auto answer = client.receive();
  ASSERT_TRUE(answer) << "no answer to " << bytes.substr(0, 200);
  EXPECT_EQ(answer->status, status) << bytes.substr(0, 200) << "\n" << answer->body;
  EXPECT_EQ(answer->header("Connection"), "close");
  EXPECT_NE(answer->body.find(R"({"error":{"message":")"), std::string::npos) << answer->body;
  EXPECT_TRUE(client.closed_by_server());
}

TEST(Bind, RefusesWiderThanLoopback) {
  for (const char* host : {"0.0.0.0", "::", "192.168.1.1"}) {
    ServerOptions options = test_options();
    options.host = host;
    EXPECT_THROW(Server{options}, Error) << host;
  }
  ServerOptions options = test_options();
  options.host = "0.0.0.0";
  options.allow_remote = true;
  EXPECT_NO_THROW(Server{options});
}

TEST(Bind, RefusesNamesAndSaysWhichAddressIsTaken) {
  ServerOptions options = test_options();
  options.host = "example.org";
  EXPECT_THROW(Server{options}, Error);
  Server first(test_options());
  EXPECT_GT(first.port(), 0);
  EXPECT_EQ(first.url(), "http://127.0.0.1:" + std::to_string(first.port()));
  options = test_options();
  options.port = first.port();
  try {
    Server second(options);
    FAIL() << "bound twice";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_NE(std::string(error.what()).find(std::to_string(first.port())), std::string::npos)
        << error.what();
  }
}

TEST(Framing, RefusesWhatTwoParsersCouldReadDifferently) {
  RunningServer running;
  running.start();
  const std::string start = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n";
  const std::string body = "\r\n0\r\n\r\n";
  for (const char* headers : {
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
           "Content-Length: 5\r\nContent-Length: 5\r\n",
           "Content-Length: 5\r\nContent-Length: 6\r\n",
           "Content-Length: 5, 5\r\n",
           "Content-Length: -1\r\n",
           "Content-Length: +5\r\n",
           "Content-Length: 0x5\r\n",
           "Content-Length: 99999999999999999999999\r\n",
           "Content-Length:\r\n",
           "Content-Length : 5\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
           "Host: other\r\n",
           "No colon\r\n",
           "Bad name: x\r\n",
           " Folded: x\r\n",
           "X: a\rb\r\n",
       })
    expect_refused(running.port(), start + headers + body, 400);
  for (const char* coding : {"gzip", "gzip, chunked", "chunked, gzip", "identity", "xchunked", "\"chunked\""})
    expect_refused(running.port(), start + "Transfer-Encoding: " + coding + "\r\n" + body, 501);
  for (const char* chunks : {"-1\r\n", "\r\n", "g\r\n", "5 5\r\nabcdeX", "2\r\nabc\r\n", "2\nab\r\n",
                             "1;x\ny\r\na\r\n", "1\r\na\n0\r\n\r\n", "0\r\nX: y\n\r\n", "0x1\r\na\r\n"})
    expect_refused(running.port(), start + "Transfer-Encoding: chunked\r\n\r\n" + chunks + "\r\n\r\n", 400);
  for (const char* line : {"GET /\r\n", "GET  / HTTP/1.1\r\n", "GET / HTTP/2.0\r\n", "GET / HTTP/1.1 \r\n",
                           "/ HTTP/1.1\r\n", "GET /a\tb HTTP/1.1\r\n", "\x16\x03\x01\x02\r\n"})
    expect_refused(running.port(), std::string(line) + "Host: localhost\r\n\r\n", 400);
  for (const char* target : {"/%", "/%4", "/%zz", "/%00", "/a%0d%0ab", "/a%2fb", "/a%5Cb", "/#a", "*", "a",
                             "http://", "https://localhost/"})
    expect_refused(running.port(), request_text("GET", target), 400);
  expect_refused(running.port(), "GET / HTTP/1.1\r\n\r\n", 400);  // no Host
}

TEST(Limits, HoldAtTheLimitAndNotOneAbove) {
  ServerOptions options = test_options();
  options.max_header_bytes = 1000;
  options.max_headers = 10;
  options.max_body_bytes = 2000;
  RunningServer running(options);
  running.start();
  const std::string start = "GET /health HTTP/1.1\r\nHost: localhost\r\nX: ";
  const auto padded = [&](size_t total) {
    return start + std::string(total - start.size() - 4, 'x') + "\r\n\r\n";
  };
  Client fits(running.port());
  fits.send(padded(1000));
  EXPECT_EQ(fits.receive()->status, 200);
  expect_refused(running.port(), padded(1001), 431);
  expect_refused(running.port(), start + std::string(100000, 'x'), 431);

  std::string headers;
  for (int i = 0; i < 9; ++i) headers += "A" + std::to_string(i) + ": b\r\n";
  EXPECT_EQ(ask(running.port(), "GET", "/health", "", headers).status, 200);
  expect_refused(running.port(), request_text("GET", "/health", "", headers + "B: c\r\n"), 431);

  const auto body_of = [](size_t size) {
    const std::string begin = R"({"prompt":"a","max_tokens":1,"user":")";
    return begin + std::string(size - begin.size() - 2, 'x') + "\"}";
  };
  EXPECT_EQ(ask(running.port(), "POST", "/v1/completions", body_of(2000)).status, 200);
  expect_refused(running.port(), request_text("POST", "/v1/completions", body_of(2001)), 413);
  const auto chunks = [&](size_t size) {
    const std::string body = body_of(size);
    return "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" +
           body.substr(0, 1000) + "\r\n" + (size == 2000 ? "3e8" : "3e9") + "\r\n" + body.substr(1000) +
           "\r\n0\r\n\r\n";
  };
  Client chunked(running.port());
  chunked.send(chunks(2000));
  EXPECT_EQ(chunked.receive()->status, 200);
  expect_refused(running.port(), chunks(2001), 413);
  expect_refused(
      running.port(),
      "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 413);
  expect_refused(
      running.port(),
      "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(2000, 'x'),
      400);
  expect_refused(running.port(), request_text("GET", "/", "", "Expect: tea\r\n"), 417);
}

TEST(Limits, ALargeRefusedBodyStillGetsItsAnswer) {
  RunningServer running;
  running.start();
  Client client(running.port());
  client.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6000000\r\n\r\n");
  client.send(std::string(6000000, 'x'));
  const auto answer = client.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 413);
}

TEST(Deadlines, SlowHeaderAndSlowBodyGet408) {
  ServerOptions options = test_options();
  options.header_deadline = milliseconds(150);
  options.body_deadline = milliseconds(150);
  RunningServer running(options);
  running.start();
  expect_refused(running.port(), "GET /health HT", 408);
  expect_refused(running.port(),
                 "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab", 408);
  Client silent(running.port());
  EXPECT_TRUE(silent.closed_by_server());  // said nothing: closed without a word
  // A drop every now and then does not move the deadline.
  Client dribble(running.port());
  std::string sent;
  for (const char c : request_text("GET", "/health", "", "X: " + std::string(500, 'x') + "\r\n")) {
    if (!dribble.send({&c, 1})) break;
    sent += c;
    std::this_thread::sleep_for(milliseconds(2));
  }
  const auto answer = dribble.receive();
  EXPECT_TRUE(!answer || answer->status == 408);
}

TEST(Deadlines, IdleConnectionsAreClosed) {
  ServerOptions options = test_options();
  options.idle_deadline = milliseconds(50);
  RunningServer running(options);
  running.start();
  Client client(running.port());
  client.send(request_text("GET", "/health"));
  EXPECT_EQ(client.receive()->status, 200);
  EXPECT_TRUE(client.closed_by_server());
}

TEST(KeepAlive, AnswersInOrderAndObeysClose) {
  RunningServer running;
  running.start();
  Client client(running.port());
  client.send(request_text("GET", "/health") + "\r\n\r\n" + request_text("GET", "/nowhere") +
              request_text("POST", "/v1/completions", R"({"prompt":"a","max_tokens":2})") +
              request_text("GET", "/health", "", "Connection: close\r\n") + request_text("GET", "/health"));
  for (const int status : {200, 404, 200, 200}) {
    const auto answer = client.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, status);
  }
  EXPECT_TRUE(client.closed_by_server());
}

TEST(KeepAlive, OldClientsAndExpectations) {
  RunningServer running;
  running.start();
  Client old(running.port());
  old.send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.receive()->header("Connection"), "close");
  EXPECT_TRUE(old.closed_by_server());

  Client kept(running.port());
  for (int i = 0; i < 2; ++i) {
    kept.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(kept.receive()->header("Connection"), "keep-alive");
  }
  Client old_stream(running.port());
  const std::string body = R"({"prompt":"a","max_tokens":2,"stream":true})";
  old_stream.send("POST /v1/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) +
                  "\r\n\r\n" + body);
  const auto streamed = old_stream.receive();
  ASSERT_TRUE(streamed);
  EXPECT_FALSE(streamed->chunked);
  EXPECT_EQ(sse_events(streamed->body).back(), "[DONE]");

  Client waiting(running.port());
  const std::string request =
      request_text("POST", "/v1/completions", R"({"prompt":"a"})", "Expect: 100-continue\r\n");
  const size_t head = request.find("\r\n\r\n") + 4;
  waiting.send(request.substr(0, head));
  EXPECT_EQ(waiting.receive_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  waiting.send(request.substr(head));
  EXPECT_EQ(waiting.receive()->status, 200);
}

TEST(Browser, ForeignHostsAndOriginsAreRefused) {
  ServerOptions options = test_options();
  options.allowed_hosts = {"box.example"};
  RunningServer running(options);
  running.start();
  const auto status = [&](const std::string& headers, const std::string& target = "/health") {
    Client client(running.port());
    client.send("GET " + target + " HTTP/1.1\r\n" + headers + "\r\n");
    const auto answer = client.receive();
    return answer ? answer->status : 0;
  };
  for (const char* host :
       {"localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]:8080", "10.0.0.7", "box.example:99"})
    EXPECT_EQ(status("Host: " + std::string(host) + "\r\n"), 200) << host;
  for (const char* host :
       {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "box.example.evil", "", "a b",
        "[::1", "[evil]", "localhost:80:80", "localhost:x", "localhost@evil.example"})
    EXPECT_EQ(status("Host: " + std::string(host) + "\r\n"), 403) << host;
  EXPECT_EQ(status("Host: localhost\r\n", "http://evil.example/health"), 403);
  EXPECT_EQ(status("Host: localhost\r\n", "http://localhost/health"), 200);
  const std::string host = "Host: localhost:8080\r\nOrigin: ";
  EXPECT_EQ(status(host + "http://localhost:8080\r\n"), 200);
  for (const char* origin :
       {"null", "http://localhost:3000", "http://evil.example", "http://localhost", "file://", ""})
    EXPECT_EQ(status(host + origin + "\r\n"), 403) << origin;
  EXPECT_EQ(status(host + "http://localhost:8080\r\nOrigin: http://localhost:8080\r\n"), 403);
}

TEST(Connections, AnIdleOneMakesRoomAndABusyOneDoesNot) {
  ServerOptions options = test_options();
  options.max_connections = 3;
  RunningServer running(options);
  running.start();
  running.engine.hold();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<Client>(running.port()));
    clients.back()->send(request_text("GET", "/health"));
    EXPECT_EQ(clients.back()->receive()->status, 200);
  }
  EXPECT_EQ(ask(running.port(), "GET", "/health").status, 200);  // closed the oldest idle one
  EXPECT_TRUE(clients[0]->closed_by_server());

  std::vector<std::unique_ptr<Client>> busy;
  for (int i = 0; i < 3; ++i) {
    busy.push_back(std::make_unique<Client>(running.port()));
    busy.back()->send(request_text("POST", "/v1/completions", R"({"prompt":"a"})"));
    ASSERT_TRUE(running.engine.wait_running(static_cast<size_t>(i) + 1));
  }
  const Answer full = ask(running.port(), "GET", "/health");
  EXPECT_EQ(full.status, 503);
  EXPECT_EQ(full.header("Retry-After"), "1");
  EXPECT_EQ(error_code_of(full), "too_many_clients");
  running.engine.release();
  for (auto& client : busy) EXPECT_EQ(client->receive()->status, 200);
  EXPECT_EQ(ask(running.port(), "GET", "/health").status, 200);
}

TEST(Connections, SurviveRunningOutOfDescriptors) {
  RunningServer running;
  running.start();
  running.engine.hold();
  Client idle(running.port()), busy(running.port()), first, second, third;
  idle.send(request_text("GET", "/health"));
  EXPECT_EQ(idle.receive()->status, 200);
  busy.send(request_text("POST", "/v1/completions", R"({"prompt":"a"})"));
  ASSERT_TRUE(running.engine.wait_running(1));

  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  int highest = 0;
  for (int fd = 0; fd < 1024; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0) highest = fd;
  std::vector<int> fillers;  // no free number below the limit
  while (fillers.empty() || fillers.back() < highest) fillers.push_back(::dup(0));
  rlimit low = old;
  low.rlim_cur = static_cast<rlim_t>(fillers.back()) + 1;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  first.connect(running.port());  // the idle connection is closed in its favour
  first.send(request_text("POST", "/v1/completions", R"({"prompt":"a"})"));
  const bool admitted = running.engine.wait_running(2);
  second.connect(running.port());  // none is idle now: turned away
  second.send(request_text("GET", "/health"));
  const auto refused = second.receive();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  for (const int fd : fillers) ::close(fd);

  EXPECT_TRUE(admitted);
  EXPECT_TRUE(idle.closed_by_server());
  // The refusal may be lost to a reset where the request was still on its way.
  if (refused) {
    EXPECT_EQ(refused->status, 503);
  }
  running.engine.release();
  EXPECT_EQ(busy.receive()->status, 200);
  EXPECT_EQ(first.receive()->status, 200);
  third.connect(running.port());
  third.send(request_text("GET", "/health"));
  EXPECT_EQ(third.receive()->status, 200);
}

// ---- an exchange by hand, to see cancels and back-pressure without an engine ----

// Outlives its server; the exchange belongs to the io thread and is only touched by posted functions.
struct StreamProbe {
  ExchangePtr exchange;
  std::promise<void> started;
  std::promise<CancelReason> cancelled;
  void add_to(Router& router) {
    router.add("GET", "/stream", [this](const Request&, const ExchangePtr& exchange) {
      exchange->begin_stream(200, "text/plain", {}, "");
      exchange->on_cancel([this](CancelReason reason) { cancelled.set_value(reason); });
      this->exchange = exchange;
      started.set_value();
    });
    router.add("GET", "/pending", [this](const Request&, const ExchangePtr& exchange) {
      exchange->on_cancel([this](CancelReason reason) { cancelled.set_value(reason); });
      this->exchange = exchange;
      started.set_value();
    });
    router.add("GET", "/throws",
               [](const Request&, const ExchangePtr&) { throw std::runtime_error("secret"); });
    router.add("GET", "/drops", [](const Request&, const ExchangePtr&) {});
  }
};

CancelReason wait_for_cancel(StreamProbe& probe) {
  auto future = probe.cancelled.get_future();
  if (future.wait_for(std::chrono::seconds(10)) != std::future_status::ready) {
    ADD_FAILURE() << "not cancelled";
    return CancelReason::kShutdown;
  }
  return future.get();
}

TEST(Cancel, WhenTheClientLeaves) {
  for (const char* path : {"/stream", "/pending"}) {
    StreamProbe probe;
    RunningServer running;
    probe.add_to(running.router);
    running.start();
    Client client(running.port());
    client.send(request_text("GET", path));
    probe.started.get_future().wait();
    client.close();
    EXPECT_EQ(wait_for_cancel(probe), CancelReason::kClientLeft) << path;
    std::promise<bool> open;
    running.server.poster().post([&] {
      probe.exchange->write("too late");
      open.set_value(probe.exchange->open());
    });
    EXPECT_FALSE(open.get_future().get());
    EXPECT_EQ(ask(running.port(), "GET", "/health").status, 200);
  }
}

TEST(Cancel, WhenTheClientDoesNotRead) {
  StreamProbe probe;
  ServerOptions options = test_options();
  options.write_buffer_bytes = 64 << 10;
  RunningServer running(options);
  probe.add_to(running.router);
  running.start();
  Client client(running.port(), 4096);
  client.send(request_text("GET", "/stream"));
  probe.started.get_future().wait();
  // The system's own buffers take some megabytes before ours fills.
  const std::function<void()> flood = [&probe] {
    for (int i = 0; i < 2 && probe.exchange->open(); ++i) probe.exchange->write(std::string(16 << 10, 'x'));
  };
  auto cancelled = probe.cancelled.get_future();
  for (int i = 0; i < 10000 && cancelled.wait_for(milliseconds(1)) != std::future_status::ready; ++i)
    running.server.poster().post(flood);
  ASSERT_EQ(cancelled.wait_for(milliseconds(0)), std::future_status::ready);
  EXPECT_EQ(cancelled.get(), CancelReason::kTooSlow);
  EXPECT_EQ(ask(running.port(), "GET", "/health").status, 200);
}

TEST(Cancel, WhenAWriteMakesNoProgress) {
  StreamProbe probe;
  ServerOptions options = test_options();
  options.write_buffer_bytes = size_t{1} << 30;
  options.write_deadline = milliseconds(150);
  RunningServer running(options);
  probe.add_to(running.router);
  running.start();
  Client client(running.port(), 4096);
  client.send(request_text("GET", "/stream"));
  probe.started.get_future().wait();
  running.server.poster().post([&] { probe.exchange->write(std::string(64 << 20, 'x')); });
  EXPECT_EQ(wait_for_cancel(probe), CancelReason::kTooSlow);
}

TEST(Handlers, ThatThrowOrForgetAnswer500WithoutTheirReason) {
  StreamProbe probe;
  std::string logged;
  std::mutex mutex;
  ServerOptions options = test_options();
  options.log = [&](std::string_view line) {
    const std::lock_guard lock(mutex);
    logged += std::string(line) + "\n";
  };
  {
    RunningServer running(options);
    probe.add_to(running.router);
    running.start();
    for (const char* path : {"/throws", "/drops"}) {
      const Answer answer = ask(running.port(), "GET", path);
      EXPECT_EQ(answer.status, 500) << path;
      EXPECT_EQ(answer.body.find("secret"), std::string::npos);
    }
    ask(running.port(), "GET", "/a%1b%5b31m");
    ask(running.port(), "GET", "/\xc3\xa4\x7f");
  }
  EXPECT_NE(logged.find("secret"), std::string::npos);
  EXPECT_EQ(logged.find('\x1b'), std::string::npos);
}

TEST(Heartbeat, IsSentWhileNothingElseIs) {
  ServerOptions options = test_options();
  options.heartbeat = milliseconds(20);
  RunningServer running(options);
  running.start();
  running.engine.hold();
  Client client(running.port());
  client.send(request_text("POST", "/v1/completions", R"({"prompt":"a","stream":true})"));
  EXPECT_NE(client.receive_until(": waiting\n\n").find(": waiting"), std::string::npos);
  running.engine.release();
  EXPECT_NE(client.receive_until("[DONE]").find("[DONE]"), std::string::npos);
}

TEST(Drain, FinishesWhatIsUnderWayAndTurnsAwayTheRest) {
  RunningServer running;
  running.start();
  running.engine.hold();
  Client open(running.port()), other(running.port());
  for (Client* client : {&open, &other}) {
    client->send(request_text("GET", "/health"));
    EXPECT_EQ(client->receive()->status, 200);
  }
  Client busy(running.port());
  busy.send(request_text("POST", "/v1/completions", R"({"prompt":"a","max_tokens":3,"stream":true})"));
  ASSERT_TRUE(running.engine.wait_running(1));
  running.server.drain();
  while (!running.server.draining()) std::this_thread::yield();

  open.send(request_text("GET", "/health"));
  const auto health = open.receive();
  ASSERT_TRUE(health);
  EXPECT_EQ(health->status, 503);
  EXPECT_EQ(health->header("Connection"), "close");
  other.send(request_text("POST", "/v1/completions", R"({"prompt":"a"})"));
  const auto refused = other.receive();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 503);
  EXPECT_EQ(error_code_of(*refused), "shutting_down");
  Client late(running.port());
  EXPECT_FALSE(late.send("x") && late.receive());  // nobody listens any more

  running.engine.release();
  const auto answer = busy.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(sse_events(answer->body).size(), 4u);
  EXPECT_TRUE(running.join());
}

TEST(Drain, CancelsAtTheDeadlineWithALastWord) {
  ServerOptions options = test_options();
  options.drain_deadline = milliseconds(50);
  RunningServer running(options);
  running.start();
  running.engine.hold();
  Client streaming(running.port()), whole(running.port());
  streaming.send(request_text("POST", "/v1/completions", R"({"prompt":"a","stream":true})"));
  whole.send(request_text("POST", "/v1/completions", R"({"prompt":"a"})"));
  ASSERT_TRUE(running.engine.wait_running(2));
  running.server.drain();
  const auto cut = streaming.receive();
  ASSERT_TRUE(cut);
  const auto events = sse_events(cut->body);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_NE(events[0].find("shutting_down"), std::string::npos);
  EXPECT_EQ(events[1], "[DONE]");
  EXPECT_EQ(whole.receive()->status, 503);
  EXPECT_FALSE(running.join());
  EXPECT_TRUE(running.engine.wait_cancelled(2));
}

TEST(Drain, StoppingCancelsWhatIsUnderWay) {
  RunningServer running;
  running.start();
  running.engine.hold();
  Client streaming(running.port());
  streaming.send(request_text("POST", "/v1/completions", R"({"prompt":["a","b"],"stream":true})"));
  ASSERT_TRUE(running.engine.wait_running(2));
  running.server.stop();
  EXPECT_FALSE(running.join());
  EXPECT_EQ(running.engine.cancelled(), 2);
  EXPECT_FALSE(streaming.receive());
}

TEST(Drain, WithNothingUnderWayEndsAtOnce) {
  RunningServer running;
  running.start();
  Client idle(running.port());
  idle.send(request_text("GET", "/health"));
  idle.receive();
  running.server.drain();
  EXPECT_TRUE(running.join());
}

}  // namespace
}  // namespace hoist::http
