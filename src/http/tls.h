// TLS for the server: a certificate with its key, and streams that speak it. A build option (HOIST_TLS); a
// build without it has no_tls.cc in the place of tls.cc, where load_tls refuses.
//
// TLS 1.2 and 1.3 (RFC 5246, RFC 8446) by OpenSSL; no renegotiation, no compression, no client certificates.
// Threading: load_tls from any thread; streams as stream.h says.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <vector>

namespace hoist::http {

class Stream;

// What all connections of a server share.
class TlsContext {
 public:
  virtual ~TlsContext() = default;
  virtual std::shared_ptr<Stream> stream(boost::asio::ip::tcp::socket socket,
                                         std::vector<char>& scratch) const = 0;
};

}  // namespace hoist::http
