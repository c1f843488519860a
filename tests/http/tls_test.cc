// TLS: files that are refused, answers and streams under it, and clients that speak it badly or not at all.
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "http/client.h"
#include "http/running_server.h"
#include "http/tls_files.h"

namespace hoist::http {
namespace {

using std::chrono::milliseconds;

std::string pem(const std::function<void(BIO*)>& write) {
  BIO* bio = BIO_new(BIO_s_mem());
  write(bio);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

// A self-signed certificate of localhost and its key, as PEM. Times are seconds from now.
struct Identity {
  explicit Identity(long begin = -3600, long end = 3600) : key(EVP_EC_gen("P-256")) {
    X509* x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), begin);
    X509_gmtime_adj(X509_getm_notAfter(x), end);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_sign(x, key, EVP_sha256());
    certificate_pem = pem([&](BIO* bio) { PEM_write_bio_X509(bio, x); });
    key_pem =
        pem([&](BIO* bio) { PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
    locked_pem = pem([&](BIO* bio) {
      PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), "secret", 6, nullptr, nullptr);
    });
    X509_free(x);
  }
  ~Identity() { EVP_PKEY_free(key); }
  Identity(const Identity&) = delete;

  EVP_PKEY* key;
  std::string certificate_pem, key_pem, locked_pem;
};

std::string file_with(const std::string& text) {
  static int count = 0;
  const std::string path =
      testing::TempDir() + "tls_test_" + std::to_string(::getpid()) + "_" + std::to_string(count++) + ".pem";
  std::ofstream(path) << text;
  return path;
}

std::shared_ptr<const TlsContext> loaded(const std::string& certificate, const std::string& key) {
  const std::string a = file_with(certificate), b = file_with(key);
  const auto remove = [&] {
    ::unlink(a.c_str());
    ::unlink(b.c_str());
  };
  try {
    auto tls = load_tls(a, b);
    remove();
    return tls;
  } catch (...) {
    remove();
    throw;
  }
}

ServerOptions tls_options() {
  static const Identity identity;
  ServerOptions options = test_options();
  options.tls = loaded(identity.certificate_pem, identity.key_pem);
  return options;
}

class TlsClient : public Client {
 public:
  explicit TlsClient(uint16_t port, int newest = TLS1_3_VERSION)
      : Client(port), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_max_proto_version(context_, newest);
    SSL_CTX_set_security_level(context_, 0);
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, fd_);
    connected_ = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() override {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  bool connected() const { return connected_; }
  std::string version() const { return SSL_get_version(ssl_); }
  // The server has said that it is done; a connection that was cut has not.
  bool told_of_end() const { return SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN; }
  void say_goodbye() { SSL_shutdown(ssl_); }

 protected:
  long write_some(const char* bytes, size_t size) override {
    return connected_ ? SSL_write(ssl_, bytes, static_cast<int>(size)) : -1;
  }
  long read_some(char* bytes, size_t size) override {
    return connected_ ? SSL_read(ssl_, bytes, static_cast<int>(size)) : -1;
  }

 private:
  SSL_CTX* context_;
  SSL* ssl_;
  bool connected_ = false;
};

Answer ask_tls(uint16_t port, std::string_view method, std::string_view target, std::string_view body = {}) {
  TlsClient client(port);
  EXPECT_TRUE(client.connected());
  EXPECT_TRUE(client.send(request_text(method, target, body)));
  const auto answer = client.receive();
  EXPECT_TRUE(answer) << "no answer to " << method << " " << target;
  return answer.value_or(Answer{});
}

void expect_refused(const std::string& certificate, const std::string& key, const std::string& part) {
  try {
    loaded(certificate, key);
    ADD_FAILURE() << "took it: " << part;
  } catch (const Error& e) {
    const std::string what = e.what();
    EXPECT_NE(what.find(part), std::string::npos) << what;
    EXPECT_NE(what.find("--tls-"), std::string::npos) << what;
    EXPECT_EQ(what.find("unknown reason"), std::string::npos) << what;
  }
}

TEST(TlsFiles, AreCheckedBeforeTheServerBinds) {
  const Identity good, other, old(-7200, -3600), early(3600, 7200);
  EXPECT_NO_THROW(loaded(good.certificate_pem, good.key_pem));
  EXPECT_NO_THROW(loaded(good.certificate_pem + other.certificate_pem, good.key_pem)) << "a chain";
  EXPECT_NO_THROW(loaded("a comment\n" + good.certificate_pem, good.key_pem));
  expect_refused(good.certificate_pem, other.key_pem, "is not the key of the certificate in");
  expect_refused(old.certificate_pem, old.key_pem, "expired on 20");
  expect_refused(early.certificate_pem, early.key_pem, "is not valid before 20");
  expect_refused("", good.key_pem, "expected a certificate as PEM");
  expect_refused(good.key_pem, good.key_pem, "expected a certificate as PEM");
  expect_refused(good.certificate_pem, "", "expected a private key as PEM");
  expect_refused(good.certificate_pem, good.certificate_pem, "expected a private key as PEM");
  expect_refused(good.certificate_pem, good.locked_pem, "is encrypted");
  std::string cut = good.certificate_pem;
  cut.erase(100, 60);
  expect_refused(cut, good.key_pem, "expected a certificate as PEM");
  expect_refused(good.certificate_pem + cut, good.key_pem, "a certificate of its chain");
  cut = good.key_pem;
  cut.erase(60, 20);
  expect_refused(good.certificate_pem, cut, "expected a private key as PEM");
  expect_refused(std::string(2 << 20, 'x'), good.key_pem, "");
  try {
    load_tls("/nowhere/cert.pem", "/nowhere/key.pem");
    FAIL() << "read what is not there";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("/nowhere/cert.pem"), std::string::npos) << e.what();
  }
}

TEST(Tls, AnswersAndKeepsTheConnection) {
  RunningServer running(tls_options());
  running.start();
  EXPECT_EQ(running.server.url(), "https://127.0.0.1:" + std::to_string(running.port()));
  for (const int newest : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(running.port(), newest);
    ASSERT_TRUE(client.connected());
    EXPECT_EQ(client.version(), newest == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
    for (int i = 0; i < 3; ++i) {
      client.send(request_text("GET", "/v1/models"));
      const auto answer = client.receive();
      ASSERT_TRUE(answer);
      EXPECT_EQ(answer->status, 200);
      EXPECT_NE(answer->body.find("fake-model"), std::string::npos);
    }
    client.send(request_text("GET", "/health", "", "Connection: close\r\n"));
    EXPECT_EQ(client.receive()->status, 200);
    EXPECT_TRUE(client.closed_by_server());
    EXPECT_TRUE(client.told_of_end());
  }
  TlsClient old(running.port(), TLS1_1_VERSION);
  EXPECT_FALSE(old.connected());
}

TEST(Tls, StreamsAndCancels) {
  FakeEngineOptions engine;
  engine.step = std::chrono::microseconds(500);
  RunningServer running(tls_options(), engine);
  running.start();
  const Answer answer =
      ask_tls(running.port(), "POST", "/v1/completions", R"({"prompt":"a","max_tokens":40,"stream":true})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.chunked);
  const auto events = sse_events(answer.body);
  EXPECT_GE(events.size(), 40u);
  EXPECT_EQ(events.back(), "[DONE]");

  // Without chunks its end is the connection's, which TLS tells from one that was cut.
  TlsClient old(running.port());
  const std::string body = R"({"prompt":"a","max_tokens":3,"stream":true})";
  old.send("POST /v1/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           body);
  const auto streamed = old.receive();
  ASSERT_TRUE(streamed);
  EXPECT_EQ(sse_events(streamed->body).back(), "[DONE]");
  EXPECT_TRUE(old.told_of_end());

  running.engine.hold();
  for (const bool politely : {false, true}) {
    TlsClient leaver(running.port());
    leaver.send(request_text("POST", "/v1/completions", body));
    ASSERT_TRUE(running.engine.wait_running(1));
    if (politely) leaver.say_goodbye();
    leaver.close();
    EXPECT_TRUE(running.engine.wait_cancelled(politely ? 2 : 1));
  }
}

TEST(Tls, LargeBodiesInBothDirections) {
  FakeEngineOptions engine;
  engine.token = std::string(20000, 'x');
  RunningServer running(tls_options(), engine);
  running.start();
  const std::string begin = R"({"prompt":"a","max_tokens":40,"user":")";
  const Answer answer =
      ask_tls(running.port(), "POST", "/v1/completions", begin + std::string(3 << 20, 'u') + "\"}");
  EXPECT_EQ(answer.status, 200);
  EXPECT_GT(answer.body.size(), 800000u);
  // Refused before it was read: the answer comes through although the client goes on sending.
  TlsClient refused(running.port());
  refused.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6000000\r\n\r\n");
  refused.send(std::string(6000000, 'x'));
  const auto too_large = refused.receive();
  ASSERT_TRUE(too_large);
  EXPECT_EQ(too_large->status, 413);
}

TEST(Tls, WhoSpeaksPlainHttpIsToldAndClosed) {
  RunningServer running(tls_options());
  running.start();
  for (const char* method : {"GET", "POST", "HEAD"}) {
    Client plain(running.port());
    plain.send(request_text(method, "/health"));
    const auto answer = plain.receive();
    ASSERT_TRUE(answer) << method;
    EXPECT_EQ(answer->status, 400);
    EXPECT_NE(answer->body.find("https://"), std::string::npos);
    EXPECT_EQ(answer->body.back(), '\n');
    EXPECT_TRUE(plain.closed_by_server());
  }
  for (const std::string& noise : {std::string("BREW /pot HTCPCP/1.0\r\n\r\n"), std::string(1000, '\0'),
                                   std::string(1000, '\xff'), std::string("\x16\x03\x01\x00\x05hello", 10)}) {
    Client client(running.port());
    client.send(noise);
    client.close_sending();
    client.receive_until("nothing more");  // an alert or nothing, then the end
  }
  EXPECT_EQ(ask_tls(running.port(), "GET", "/health").status, 200);
}

TEST(Tls, AStalledHandshakeEnds) {
  ServerOptions options = tls_options();
  options.header_deadline = milliseconds(150);
  RunningServer running(options);
  running.start();
  for (const std::string& begun : {std::string(), std::string("\x16\x03\x01\x02\x00\x01", 6)}) {
    Client client(running.port());
    client.send(begun);
    EXPECT_TRUE(client.closed_by_server());
  }
}

TEST(Tls, StalledHandshakesHoldUpNobody) {
  ServerOptions options = tls_options();
  options.max_connections = 4;
  RunningServer running(options);
  running.start();
  std::vector<std::unique_ptr<Client>> stalled;
  for (int i = 0; i < 8; ++i) {  // twice the limit: the oldest make room
    stalled.push_back(std::make_unique<Client>(running.port()));
    if (i % 2) stalled.back()->send(std::string("\x16\x03\x01\x02\x00\x01", 6));
  }
  for (int i = 0; i < 8; ++i) EXPECT_EQ(ask_tls(running.port(), "GET", "/health").status, 200);
}

TEST(Tls, DrainsWithStreamsUnderWay) {
  FakeEngineOptions engine;
  engine.step = std::chrono::microseconds(2000);
  RunningServer running(tls_options(), engine);
  running.start();
  TlsClient client(running.port()), idle(running.port());
  Client handshaking(running.port());
  client.send(request_text("POST", "/v1/completions", R"({"prompt":"a","max_tokens":20,"stream":true})"));
  client.receive_until("data:");
  running.server.drain();
  const auto answer = client.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(sse_events(answer->body).back(), "[DONE]");
  EXPECT_TRUE(running.join());
}

}  // namespace
}  // namespace hoist::http
