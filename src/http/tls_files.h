// What `hoist serve` needs to know of TLS (tls.h has the rest).
#pragma once

#include <memory>
#include <string>

namespace hoist::http {

class TlsContext;

// PEM files: the certificate, its chain after it, and its key. Throws Error, naming the flag and the file,
// for what cannot be read, is no certificate or key, does not fit together, wants a passphrase, or is not
// valid today; and in a build without TLS.
std::shared_ptr<const TlsContext> load_tls(const std::string& certificate_file, const std::string& key_file);

}  // namespace hoist::http
