// Lines of the log: one line each, whatever a client sends.
#include <gtest/gtest.h>

#include <sstream>

#include "base/error.h"
#include "io/json.h"
#include "serve/access_log.h"
#include "serve/metrics.h"
#include "support/hostile_names.h"

namespace hoist::serve {
namespace {

TEST(AccessLine, IsOneLineOfWhatItWasGiven) {
  http::Access a;
  a.id = 0x1f;
  a.method = "GET";
  const std::string path = "/a\n\x1b[31m\"\\\xc3\xa4\xff" + std::string(500, 'x');
  a.path = path;
  a.tenant = "alice";
  a.status = 404;
  a.bytes = 12;
  a.seconds = 0.25;
  a.end = "ok";
  const std::string text = access_line(a, LogFormat::kText);
  EXPECT_EQ(text.find_first_of("\n\x1b"), std::string::npos);
  EXPECT_LT(text.size(), 1000u);
  EXPECT_NE(text.find("404 12 bytes 250 ms, request 1f, tenant alice"), std::string::npos) << text;
  const std::string json = "{" + access_line(a, LogFormat::kJson) + "}";
  EXPECT_EQ(json.find('\n'), std::string::npos);
  const io::JsonDocument document = io::JsonDocument::parse(json, "line");
  EXPECT_EQ(document.root().get_int("status", 0, 999), 404);
  EXPECT_EQ(document.root().get_string("id"), "1f");
  EXPECT_EQ(document.root().get_string("tenant"), "alice");
  EXPECT_EQ(document.root().get_double("ms", 0, 1e9), 250);
}

// Whatever a path, a method or a model is called: one printable line of the log, well-formed lines of
// figures.
TEST(Names, AreEscapedInLogsAndMetrics) {
  for (const std::string& name : support::hostile_names()) {
    SCOPED_TRACE(support::percent_encoded(name).substr(0, 300));
    http::Access a;
    const std::string path = "/v1/models/" + name;
    a.method = name;
    a.path = path;
    a.status = 404;
    a.end = "ok";
    const std::string text = access_line(a, LogFormat::kText),
                      json = "{" + access_line(a, LogFormat::kJson) + "}";
    for (const std::string& line : {text, json})
      for (const char c : line) ASSERT_TRUE(c >= 0x20 && c < 0x7f) << line;
    EXPECT_EQ(io::JsonDocument::parse(json, "line").root().size(), 9u);

    Metrics metrics(name);
    metrics.answered(404, "tenant");
    std::istringstream lines(metrics.text({}));
    for (std::string line; std::getline(lines, line);)
      EXPECT_TRUE(line.starts_with("# ") || line.starts_with("hoist:")) << line;
    EXPECT_EQ(metrics.text({}).find("\nhoist:num_requests_running 9"), std::string::npos);
  }
}

TEST(LogFormat, IsTextOrJson) {
  EXPECT_EQ(parse_log_format("text", "--log-format"), LogFormat::kText);
  EXPECT_EQ(parse_log_format("json", "--log-format"), LogFormat::kJson);
  EXPECT_THROW(parse_log_format("xml", "--log-format"), Error);
}

}  // namespace
}  // namespace hoist::serve
