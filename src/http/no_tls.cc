// In the place of tls.cc where HOIST_TLS is off.
#include "base/error.h"
#include "http/tls.h"
#include "http/tls_files.h"

namespace hoist::http {

std::shared_ptr<const TlsContext> load_tls(const std::string&, const std::string&) {
  throw_unsupported(
      "--tls-cert, --tls-key: this hoist was built without TLS; install OpenSSL's headers (libssl-dev), "
      "configure with -DHOIST_TLS=ON and build again, or put a proxy that speaks TLS in front");
}

}  // namespace hoist::http
