// A build without TLS says so, and how to get it.
#include <gtest/gtest.h>

#include "base/error.h"
#include "http/tls_files.h"

namespace hoist::http {
namespace {

TEST(NoTls, IsRefusedByName) {
  try {
    load_tls("a.pem", "b.pem");
    FAIL() << "took them";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    for (const char* part : {"--tls-cert", "--tls-key", "libssl-dev", "HOIST_TLS=ON"})
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace hoist::http
