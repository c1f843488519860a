// Keys, tenants and what is told of requests: nothing but /health answers without a key, whatever the path or
// method.
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <mutex>
#include <set>
#include <thread>

#include "base/error.h"
#include "http/adapter_routes.h"
#include "http/client.h"
#include "http/encoder_api.h"
#include "http/fake_encoder.h"
#include "http/key_ring.h"
#include "http/metrics_route.h"
#include "http/running_server.h"
#include "support/json.h"

namespace hoist::http {
namespace {

std::shared_ptr<KeyRing> two_tenants() {
  auto ring = std::make_shared<KeyRing>();
  ring->add("key-of-a", "a");
  ring->add("key-of-b", "b");
  ring->add("second-key-of-a", "a");
  return ring;
}

ServerOptions keyed() {
  ServerOptions options = test_options();
  options.keys = two_tenants();
  return options;
}

std::string with_key(const std::string& key) { return "Authorization: Bearer " + key + "\r\n"; }

TEST(KeyRing, FindsExactlyWhatItHolds) {
  const auto ring = two_tenants();
  EXPECT_EQ(ring->find("key-of-a"), 1u);
  EXPECT_EQ(ring->find("key-of-b"), 2u);
  EXPECT_EQ(ring->find("second-key-of-a"), 1u);
  EXPECT_EQ(ring->tenant(2), "b");
  const std::string key = "key-of-a";
  for (size_t i = 0; i < key.size(); ++i) {
    EXPECT_EQ(ring->find(key.substr(0, i)), 0u);
    std::string other = key;
    other[i] ^= 1;
    EXPECT_EQ(ring->find(other), 0u) << other;
  }
  for (const std::string& wrong :
       {key + '\0', key + " ", " " + key, key + std::string(300, '\0'), std::string()})
    EXPECT_EQ(ring->find(wrong), 0u);
  KeyRing longest;
  const std::string full(KeyRing::kMaxKeyBytes, 'k');
  longest.add(full, "t");
  EXPECT_EQ(longest.find(full), 1u);
  EXPECT_EQ(longest.find(full + "k"), 0u);
  EXPECT_EQ(longest.find(full.substr(1)), 0u);
}

TEST(KeyRing, RefusesWithoutShowingTheKey) {
  KeyRing ring;
  ring.add("known-secret", "a");
  const std::string secret = "secret";
  for (const auto& [key, tenant] :
       std::vector<std::pair<std::string, std::string>>{{"", "a"},
                                                        {"known-secret", "b"},
                                                        {"a secret", "a"},
                                                        {"secret\n", "a"},
                                                        {"secret\x80", "a"},
                                                        {"secret" + std::string(251, 's'), "a"},
                                                        {"secret", ""},
                                                        {"secret", "a b"}}) {
    try {
      ring.add(key, tenant);
      ADD_FAILURE() << key;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      EXPECT_EQ(std::string(e.what()).find(secret), std::string::npos) << e.what();
    }
  }
  EXPECT_EQ(ring.size(), 1u);
}

TEST(KeyRing, ReadsTheBearerForm) {
  EXPECT_EQ(KeyRing::presented("Bearer x"), "x");
  EXPECT_EQ(KeyRing::presented("bEARER   x y"), "x y");
  EXPECT_EQ(KeyRing::presented("Basic dXNlcjprZXktb2YtYQ=="), "key-of-a");  // user:key-of-a
  EXPECT_EQ(KeyRing::presented("basic OmE6Yg"), "a:b");                     // :a:b
  for (const char* other : {"", "Bearer", "Bearer ", "Basic x", "x", "Bearerx"})
    EXPECT_EQ(KeyRing::presented(other), "") << other;
}

// Every route of `router` by every method, with no key, wrong ones and those of two tenants.
void expect_guarded(uint16_t port, const Router& router) {
  auto routes = router.routes();
  routes.push_back({"GET", "/nowhere"});
  for (const auto& [method, pattern] : routes) {
    const std::string path =
        pattern.ends_with("/*") ? pattern.substr(0, pattern.size() - 1) + "fake-model" : pattern;
    for (const char* tried : {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"}) {
      const std::string body = std::string(tried) == "POST" ? R"({"prompt":"a"})" : "";
      for (const std::string& headers :
           {std::string(), with_key("wrong"), with_key("key-of-"),
            with_key("key-of-a "
                     "x"),
            std::string("Authorization: Basic key-of-a\r\n"), std::string("Authorization: key-of-a\r\n"),
            std::string("X-Api-Key: key-of-a\r\n"), with_key("key-of-a") + with_key("wrong"),
            with_key("key-of-a") + with_key("key-of-a")}) {
        const Answer answer = ask(port, tried, path, body, headers);
        const bool twice = headers.find("Bearer", 30) != std::string::npos;
        if (path == "/health" && !twice) {
          EXPECT_NE(answer.status, 401) << tried;
        } else {
          EXPECT_EQ(answer.status, 401) << tried << " " << path << " " << headers;
          if (!twice) {
            EXPECT_EQ(answer.header("WWW-Authenticate"), "Basic realm=\"hoist\", Bearer");
          }
        }
      }
      for (const char* key : {"key-of-a", "key-of-b", "second-key-of-a"})
        EXPECT_NE(ask(port, tried, path, body, with_key(key)).status, 401) << tried << " " << path;
    }
  }
}

// All that `hoist serve` answers for a language model.
TEST(Auth, EveryRouteEveryMethodEveryKey) {
  RunningServer running(keyed());
  AdapterControl adapters;  // without a folder: 501 to who may ask
  add_adapter_routes(running.router, running.server, adapters, 1 << 16);
  add_metrics_route(running.router, running.server, [] { return std::string("hoist:up 1\n"); });
  running.start();
  std::set<std::string> paths;
  for (const auto& [method, pattern] : running.router.routes()) paths.insert(pattern);
  for (const char* path : {"/", "/ready", "/metrics", "/v1/models", "/v1/chat/completions", "/tokenize",
                           "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/openapi.json"})
    EXPECT_TRUE(paths.count(path)) << path;
  expect_guarded(running.port(), running.router);
}

// And for an encoder.
TEST(Auth, EveryRouteOfEncoders) {
  Server server(keyed());
  FakeEncoder engine;
  EncoderApi api(engine, server, 1 << 16);
  Router router;
  api.add_routes(router);
  add_metrics_route(router, server, [] { return std::string("hoist:up 1\n"); });
  std::thread thread([&] { server.serve(router); });
  expect_guarded(server.port(), router);
  server.stop();
  thread.join();
}

TEST(Auth, NoSpellingOfAPathOpensIt) {
  RunningServer running(keyed());
  running.start();
  for (const char* path :
       {"//v1/models", "/v1//models", "/%76%31/models", "/health/../v1/models", "/health/%2e%2e/v1/models",
        "/health%2f..%2fv1/models", "/health%00", "/HEALTH", "/health/", "/health;/v1/models", "//health",
        "/v1/models?/health", "/v1/models#/health", "http://localhost/v1/models", "http://localhost//health",
        "/./health", "/health%20", "/v1/models/..%2f..%2fhealth", "*"}) {
    const Answer answer = ask(running.port(), "GET", path);
    EXPECT_TRUE(answer.status == 401 || answer.status == 400) << path << " " << answer.status;
  }
  // The same resource under another spelling.
  EXPECT_EQ(ask(running.port(), "GET", "/%68ealth?v1/models").status, 200);
}

TEST(Auth, ComesBeforeTheBody) {
  RunningServer running(keyed());
  running.start();
  Client client(running.port());
  client.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n");
  const auto answer = client.receive();  // although not one byte of the body was sent
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 401);
  EXPECT_EQ(support::Json::parse(answer->body)["error"]["code"], "invalid_api_key");
}

TEST(Auth, WithKeysAnyAddressMayBeBound) {
  ServerOptions options = keyed();
  options.host = "0.0.0.0";
  EXPECT_NO_THROW(Server{options});
  options.keys = std::make_shared<KeyRing>();
  EXPECT_THROW(Server{options}, Error);
}

TEST(Tenants, ReachTheEngineAsScopes) {
  RunningServer running(keyed());
  running.start();
  for (const auto& [key, scope] :
       std::map<std::string, uint64_t>{{"key-of-a", 1}, {"second-key-of-a", 1}, {"key-of-b", 2}}) {
    EXPECT_EQ(ask(running.port(), "POST", "/v1/completions", R"({"prompt":"x"})", with_key(key)).status, 200);
    EXPECT_EQ(running.engine.last_request().scope, scope);
  }
  RunningServer open;
  open.start();
  EXPECT_EQ(ask(open.port(), "POST", "/v1/completions", R"({"prompt":"x"})", with_key("any")).status, 200);
  EXPECT_EQ(open.engine.last_request().scope, 0u);
}

TEST(Tenants, HaveSoManyRequestsUnderWay) {
  ServerOptions options = keyed();
  options.max_tenant_requests = 2;
  RunningServer running(options);
  running.start();
  running.engine.hold();
  const std::string body = R"({"prompt":"x","max_tokens":3})";
  const auto begin = [&](Client& client, const char* key) {
    client.send(request_text("POST", "/v1/completions", body, with_key(key)));
  };
  Client one(running.port()), two(running.port()), other(running.port());
  begin(one, "key-of-a");
  begin(two, "second-key-of-a");
  ASSERT_TRUE(running.engine.wait_running(2));
  const Answer more = ask(running.port(), "POST", "/v1/completions", body, with_key("key-of-a"));
  EXPECT_EQ(more.status, 429);
  EXPECT_EQ(more.header("Retry-After"), "1");
  EXPECT_EQ(support::Json::parse(more.body)["error"]["code"], "too_many_requests");
  begin(other, "key-of-b");
  ASSERT_TRUE(running.engine.wait_running(3));
  // A client that leaves gives its place back.
  one.close();
  ASSERT_TRUE(running.engine.wait_cancelled(1));
  Client again(running.port());
  begin(again, "key-of-a");
  ASSERT_TRUE(running.engine.wait_running(3));
  EXPECT_EQ(ask(running.port(), "POST", "/v1/completions", body, with_key("key-of-a")).status, 429);
  running.engine.release();
  EXPECT_EQ(two.receive()->status, 200);
  EXPECT_EQ(again.receive()->status, 200);
  EXPECT_EQ(other.receive()->status, 200);
  // Nor is it kept by what was answered or refused.
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(ask(running.port(), "POST", "/v1/completions", body, with_key("key-of-a")).status, 200);
    EXPECT_EQ(ask(running.port(), "POST", "/v1/completions", "{", with_key("key-of-a")).status, 400);
  }
}

struct Told {
  std::string id, method, path, tenant, end;
  int status;
};

TEST(Access, IsToldOfEveryRequestOnce) {
  std::mutex mutex;
  std::vector<Told> told;
  ServerOptions options = keyed();
  options.on_access = [&](const Access& a) {
    char id[32];
    std::snprintf(id, sizeof id, "%llx", static_cast<unsigned long long>(a.id));
    const std::lock_guard lock(mutex);
    told.push_back({id, std::string(a.method), std::string(a.path), std::string(a.tenant), std::string(a.end),
                    a.status});
  };
  std::vector<std::string> ids;
  {
    RunningServer running(options);
    running.start();
    ids.push_back(ask(running.port(), "POST", "/v1/completions", R"({"prompt":"x"})", with_key("key-of-b"))
                      .header("X-Request-Id"));
    ids.push_back(ask(running.port(), "GET", "/v1/models").header("X-Request-Id"));
    Client broken(running.port());
    broken.send("NONSENSE\r\n\r\n");
    ids.push_back(broken.receive()->header("X-Request-Id"));
    running.engine.hold();
    Client leaver(running.port());
    leaver.send(request_text("POST", "/v1/completions", R"({"prompt":"x"})", with_key("key-of-a")));
    ASSERT_TRUE(running.engine.wait_running(1));
    leaver.close();
    ASSERT_TRUE(running.engine.wait_cancelled(1));
  }
  // Two connections may be told of in either order.
  ASSERT_EQ(told.size(), 4u);
  std::sort(told.begin(), told.end(), [](const Told& x, const Told& y) { return x.id < y.id; });
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(told[i].id, ids[i]);
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 3u);
  EXPECT_EQ(told[0].tenant + told[0].method + told[0].path + std::to_string(told[0].status) + told[0].end,
            "bPOST/v1/completions200ok");
  EXPECT_EQ(told[1].status, 401);
  EXPECT_EQ(told[1].tenant, "");
  EXPECT_EQ(told[2].status, 400);
  EXPECT_EQ(told[3].tenant + told[3].end, "aclient left");
}

TEST(Ready, FollowsTheEngineAndTheDrain) {
  RunningServer running;
  running.start();
  const auto status = [&](const char* path) { return ask(running.port(), "GET", path).status; };
  EXPECT_EQ(status("/ready"), 200);
  running.engine.set_state(EngineState::kLoading);
  EXPECT_EQ(status("/ready"), 503);
  EXPECT_EQ(status("/health"), 503);
  running.engine.set_state(EngineState::kStalled);
  EXPECT_EQ(status("/ready"), 503);
  EXPECT_EQ(status("/health"), 200);
  running.engine.set_state(EngineState::kReady);
  EXPECT_EQ(status("/ready"), 200);
  // A connection that is open when the drain begins may still ask.
  running.engine.hold();
  Client busy(running.port()), asking(running.port());
  busy.send(request_text("POST", "/v1/completions", R"({"prompt":"x"})"));
  ASSERT_TRUE(running.engine.wait_running(1));
  asking.send(request_text("GET", "/ready"));
  EXPECT_EQ(asking.receive()->status, 200);
  // What the server still does after the bytes of an answer are out is over when it has turned around twice.
  for (int i = 0; i < 2; ++i) {
    std::promise<void> turned;
    running.server.poster().post([&] { turned.set_value(); });
    turned.get_future().wait();
  }
  running.server.drain();
  while (!running.server.draining()) std::this_thread::yield();
  asking.send(request_text("GET", "/ready"));
  const auto draining = asking.receive();
  ASSERT_TRUE(draining);
  EXPECT_EQ(draining->status, 503);
  running.engine.release();
  EXPECT_EQ(busy.receive()->status, 200);
  EXPECT_TRUE(running.join());
}

}  // namespace
}  // namespace hoist::http
