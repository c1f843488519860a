// See tls.h.
#include "http/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include "base/error.h"
#include "http/stream.h"
#include "http/tls_files.h"
#include "io/files.h"

namespace hoist::http {
namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr size_t kMaxPemBytes = 1 << 20;
constexpr size_t kReadBytes = 4096;

constexpr std::string_view kPlainRequest =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
    "Content-Length: 131\r\n\r\n"
    R"({"error":{"message":"this port speaks HTTPS: ask for https://","type":"invalid_request_error","param":null,"code":"tls_required"}})"
    "\n";

// A client may go on speaking until close(): once there is nothing left to decrypt for, its bytes are read
// off the socket as they are, since closing a socket that holds unread ones would destroy what we said last.
class TlsStream final : public Stream, public std::enable_shared_from_this<TlsStream> {
 public:
  TlsStream(tcp::socket socket, asio::ssl::context& context, std::vector<char>& scratch)
      : tls_(std::move(socket), context), scratch_(scratch) {}

  bool needs_handshake() const override { return true; }
  void handshake(std::function<void(Error)> done) override {
    tls_.async_handshake(asio::ssl::stream_base::server,
                         [self = shared_from_this(), done = std::move(done)](Error ec) {
                           if (ec) self->on_no_handshake(ec);
                           done(ec);
                         });
  }
  void read(std::function<void(Error, std::string_view)> done) override {
    if (raw_) return read_raw(std::move(done));
    tls_.async_read_some(asio::buffer(in_),
                         [self = shared_from_this(), done = std::move(done)](Error ec, size_t n) {
                           if (ec && self->ending_ && self->tls_.next_layer().is_open()) {
                             self->raw_ = true;
                             return self->read_raw(done);
                           }
                           done(ec, {self->in_.data(), n});
                         });
  }
  void write(std::string_view bytes, std::function<void(Error, size_t)> done) override {
    tls_.async_write_some(asio::buffer(bytes), [self = shared_from_this(), done = std::move(done)](
                                                   Error ec, size_t n) { done(ec, n); });
  }
  // The alert close_notify goes out first; that the client answers it is not waited for.
  void end_sending() override {
    ending_ = true;
    if (raw_) return end_sending_raw();
    tls_.async_shutdown([self = shared_from_this()](Error) { self->end_sending_raw(); });
  }
  void close() override {
    Error ignored;
    tls_.next_layer().close(ignored);
  }

 private:
  void on_no_handshake(const Error& ec) {
    raw_ = true;
    if (ec.category() != asio::error::get_ssl_category()) return;
    if (ERR_GET_REASON(static_cast<unsigned long>(ec.value())) != SSL_R_HTTP_REQUEST) return;
    Error ignored;
    tls_.next_layer().write_some(asio::buffer(kPlainRequest), ignored);
  }
  void end_sending_raw() {
    Error ignored;
    tls_.next_layer().shutdown(tcp::socket::shutdown_send, ignored);
  }
  void read_raw(std::function<void(Error, std::string_view)> done) {
    tls_.next_layer().async_wait(tcp::socket::wait_read,
                                 [self = shared_from_this(), done = std::move(done)](Error ec) {
                                   size_t n = 0;
                                   if (!ec)
                                     n = self->tls_.next_layer().read_some(asio::buffer(self->scratch_), ec);
                                   if (ec == asio::error::would_block) return self->read_raw(done);
                                   done(ec, {self->scratch_.data(), n});
                                 });
  }

  asio::ssl::stream<tcp::socket> tls_;
  std::vector<char>& scratch_;
  std::array<char, kReadBytes> in_;
  bool ending_ = false, raw_ = false;
};

class OpenSslContext final : public TlsContext {
 public:
  std::shared_ptr<Stream> stream(tcp::socket socket, std::vector<char>& scratch) const override {
    return std::make_shared<TlsStream>(std::move(socket), context, scratch);
  }
  mutable asio::ssl::context context{asio::ssl::context::tls_server};  // making a stream counts it
};

template <class T, void (*kFree)(T*)>
struct Free {
  void operator()(T* p) const { kFree(p); }
};
using Certificate = std::unique_ptr<X509, Free<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;

std::string read_pem(const char* flag, const std::string& file) {
  try {
    return io::read_file(file, kMaxPemBytes);
  } catch (const Error& e) {
    throw Error(e.code(), std::string(flag) + ": " + e.what());
  }
}

Bio open_pem(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// The reason of OpenSSL's last error, which it forgets then.
std::string reason() {
  const char* text = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return text ? text : "unknown reason";
}

int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

std::string day(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "no date";
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts));
}

void use_certificates(SSL_CTX* context, const std::string& file) {
  const std::string where = "--tls-cert: " + file;
  const std::string text = read_pem("--tls-cert", file);
  const Bio bio = open_pem(text);
  const Certificate first(PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr));
  if (!first)
    throw Error(ErrorCode::kCorrupt,
                where + ": expected a certificate as PEM (-----BEGIN CERTIFICATE-----): " + reason());
  const ASN1_TIME* begin = X509_get0_notBefore(first.get());
  const ASN1_TIME* end = X509_get0_notAfter(first.get());
  if (X509_cmp_current_time(begin) > 0) throw_invalid(where + ": is not valid before " + day(begin));
  if (X509_cmp_current_time(end) <= 0) throw_invalid(where + ": expired on " + day(end));
  if (SSL_CTX_use_certificate(context, first.get()) != 1) throw_invalid(where + ": " + reason());
  while (Certificate next{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1)
      throw_invalid(where + ": a certificate of its chain: " + reason());
  }
  const unsigned long last = ERR_peek_last_error();
  if (last != 0 && ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
    throw Error(ErrorCode::kCorrupt, where + ": a certificate of its chain: " + reason());
  ERR_clear_error();
}

void use_key(SSL_CTX* context, const std::string& file, const std::string& certificate) {
  const std::string where = "--tls-key: " + file;
  std::string text = read_pem("--tls-key", file);
  const Bio bio = open_pem(text);
  bool encrypted = false;
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, &encrypted));
  const std::string why = key ? "" : reason();
  OPENSSL_cleanse(text.data(), text.size());
  if (encrypted) throw_invalid(where + ": is encrypted, expected a key without a passphrase");
  if (!key)
    throw Error(ErrorCode::kCorrupt,
                where + ": expected a private key as PEM (-----BEGIN PRIVATE KEY-----): " + why);
  if (X509_check_private_key(SSL_CTX_get0_certificate(context), key.get()) != 1) {
    ERR_clear_error();
    throw_invalid(where + ": is not the key of the certificate in " + certificate);
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) throw_invalid(where + ": " + reason());
}

}  // namespace

std::shared_ptr<const TlsContext> load_tls(const std::string& certificate_file, const std::string& key_file) {
  const auto tls = std::make_shared<OpenSslContext>();
  SSL_CTX* context = tls->context.native_handle();
  ERR_clear_error();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context,
                      SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);  // an idle connection keeps few
  use_certificates(context, certificate_file);
  use_key(context, key_file, certificate_file);
  return tls;
}

}  // namespace hoist::http
