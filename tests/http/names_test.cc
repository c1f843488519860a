// 500 hostile names in every place of the API that takes one: each answer is a refusal that is whole JSON,
// and neither header lines nor the log nor the folder of adapters are theirs to write in or to leave.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>

#include "base/error.h"
#include "http/adapter_routes.h"
#include "http/client.h"
#include "http/encoder_api.h"
#include "http/fake_encoder.h"
#include "http/running_server.h"
#include "io/files.h"
#include "io/json.h"
#include "support/hostile_names.h"

namespace hoist::http {
namespace {

namespace fs = std::filesystem;
using support::hostile_names;

// Bytes as they are between quotes, but for what JSON will not have raw: names that are no UTF-8 stay so.
std::string raw_quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    char escaped[8];
    if (byte < 0x20 || c == '"' || c == '\\') {
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + '"';
}

void expect_refused(const Answer& answer, const std::string& where, const std::string& name) {
  SCOPED_TRACE(where + " " + support::percent_encoded(name).substr(0, 300));
  EXPECT_GE(answer.status, 400);
  EXPECT_LT(answer.status, 500);
  EXPECT_EQ(answer.header("X-Injected"), "");
  EXPECT_EQ(answer.header("Content-Type"), "application/json");
  for (const char c : answer.head)
    EXPECT_TRUE(c == '\r' || c == '\n' || (c >= 0x20 && c < 0x7f)) << answer.head;
  // Whole, UTF-8, and the error alone.
  const io::JsonDocument document = io::JsonDocument::parse(answer.body, "answer");
  EXPECT_EQ(document.root().size(), 1u);
  EXPECT_FALSE(document.root().at("error").get_string("message").empty());
}

// One connection for all, opened again where an answer closed it.
class Asker {
 public:
  explicit Asker(uint16_t port) : port_(port) {}
  Answer operator()(std::string_view method, const std::string& target, const std::string& body = {}) {
    for (int attempt = 0; attempt < 2; ++attempt) {
      if (!client_) client_ = std::make_unique<Client>(port_);
      client_->send(request_text(method, target, body));
      const auto answer = client_->receive();
      if (!answer || answer->header("Connection") == "close") client_.reset();
      if (answer) return *answer;
    }
    ADD_FAILURE() << "no answer to " << method << " " << target;
    return {};
  }

 private:
  const uint16_t port_;
  std::unique_ptr<Client> client_;
};

struct Log {
  std::mutex mutex;
  std::vector<std::string> lines;
  std::function<void(std::string_view)> sink() {
    return [this](std::string_view line) {
      const std::lock_guard lock(mutex);
      lines.emplace_back(line);
    };
  }
  void expect_printable() {
    for (const std::string& line : lines) {
      EXPECT_EQ(line.find("internal error"), line.npos) << line;
      for (const char c : line) ASSERT_TRUE(c >= 0x20 && c < 0x7f) << line;
    }
  }
};

TEST(Names, AreManyAndDifferent) {
  const std::vector<std::string> names = hostile_names();
  EXPECT_EQ(names.size(), 500u);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 500u);
  EXPECT_EQ(names, hostile_names());
}

TEST(Names, OfModelsInRequestsAndPaths) {
  Log log;
  ServerOptions options = test_options();
  options.log = log.sink();
  {
    RunningServer running(options);
    running.start();
    Asker ask_server(running.port());
    for (const std::string& name : hostile_names()) {
      const std::string model = "{\"model\":" + raw_quoted(name);
      expect_refused(ask_server("POST", "/v1/completions", model + R"(,"prompt":"a","max_tokens":1})"),
                     "completions", name);
      expect_refused(ask_server("POST", "/v1/completions", model + R"(,"prompt":"a","stream":true})"),
                     "stream", name);
      expect_refused(ask_server("POST", "/v1/chat/completions",
                                model + R"(,"messages":[{"role":"user","content":"a"}]})"),
                     "chat", name);
      expect_refused(ask_server("POST", "/tokenize", model + R"(,"content":"a"})"), "tokenize", name);
      expect_refused(ask_server("POST", "/detokenize", model + R"(,"tokens":[1]})"), "detokenize", name);
      expect_refused(ask_server("GET", "/v1/models/" + support::percent_encoded(name)), "models", name);
      // As it stands, where a request line can hold it.
      if (name.find_first_of(std::string(" \r\n\0", 4)) == name.npos)
        expect_refused(ask_server("GET", "/v1/models/x/" + name), "models, raw", name);
    }
    EXPECT_EQ(ask(running.port(), "GET", "/v1/models/fake-model").status, 200);
  }
  EXPECT_GT(log.lines.size(), 3000u);
  log.expect_printable();
}

TEST(Names, OfEncoders) {
  Log log;
  ServerOptions options = test_options();
  options.log = log.sink();
  Server server(options);
  FakeEncoder engine;
  EncoderApi api(engine, server, 1 << 16);
  Router router;
  api.add_routes(router);
  std::thread thread([&] { server.serve(router); });
  Asker ask_server(server.port());
  for (const std::string& name : hostile_names()) {
    const std::string model = "{\"model\":" + raw_quoted(name);
    expect_refused(ask_server("POST", "/v1/embeddings", model + R"(,"input":"a"})"), "embeddings", name);
    expect_refused(ask_server("POST", "/v1/rerank", model + R"(,"query":"a","documents":["b"]})"), "rerank",
                   name);
    expect_refused(ask_server("POST", "/classify", model + R"(,"input":"a"})"), "classify", name);
    expect_refused(ask_server("GET", "/v1/models/" + support::percent_encoded(name)), "models", name);
  }
  server.stop();
  thread.join();
  EXPECT_TRUE(engine.seen.empty());
  log.expect_printable();
}

// Whatever reaches the loader lies in the folder, by its name alone.
TEST(Names, OfAdaptersAndTheirPaths) {
  const std::string folder = "/adapters/here";
  Log log;
  ServerOptions options = test_options();
  options.log = log.sink();
  std::vector<std::string> folders, names;
  {
    RunningServer running(options);
    AdapterControl control;
    control.folder = folder;
    control.load = [&](const std::string& name, const std::string& path, const std::string&) {
      names.push_back(name);
      folders.push_back(path);
      throw_not_found(path + ": found no such path");
    };
    control.unload = [&](const std::string& name) {
      names.push_back(name);
      throw_not_found("adapter: found '" + name + "'");
    };
    control.run = [](std::function<void()> work) { work(); };
    add_adapter_routes(running.router, running.server, control, 1 << 16);
    running.start();
    Asker ask_server(running.port());
    for (const std::string& name : hostile_names()) {
      const std::string quoted = raw_quoted(name);
      expect_refused(
          ask_server("POST", "/v1/load_lora_adapter", "{\"lora_name\":" + quoted + R"(,"lora_path":"a"})"),
          "lora_name", name);
      expect_refused(
          ask_server("POST", "/v1/load_lora_adapter", "{\"lora_name\":\"a\",\"lora_path\":" + quoted + "}"),
          "lora_path", name);
      expect_refused(ask_server("POST", "/v1/load_lora_adapter",
                                R"({"lora_name":"a","lora_path":"a","model":)" + quoted + "}"),
                     "model", name);
      expect_refused(ask_server("POST", "/v1/unload_lora_adapter", "{\"lora_name\":" + quoted + "}"),
                     "unload", name);
    }
  }
  EXPECT_GT(folders.size(), 10u) << "some are names like others";
  for (const std::string& path : folders) {
    EXPECT_EQ(path.find('\0'), path.npos);
    EXPECT_TRUE(path.starts_with(folder + "/")) << path;
    EXPECT_TRUE(fs::path(path).lexically_normal().string().starts_with(folder + "/")) << path;
    for (const fs::path& part : fs::path(path)) EXPECT_NE(part, "..") << path;
  }
  for (const std::string& name : names)
    for (const char c : name) EXPECT_TRUE(c > 0x20 && c < 0x7f && !std::strchr("<>\"'\\&%$`{}", c)) << name;
  log.expect_printable();
}

// The page writes what it is told as text; there is no other way in it.
TEST(Names, AreTextOnThePage) {
  const fs::path folder = fs::path(HOIST_SOURCE_DIR) / "src/http/page";
  size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (!path.ends_with(".js") && !path.ends_with(".html")) continue;
    ++files;
    const std::string text = io::read_file(path, 1 << 20);
    for (const char* door : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                             "new Function", "DOMParser", "createContextualFragment", "srcdoc"})
      EXPECT_EQ(text.find(door), text.npos) << path << " has " << door;
  }
  EXPECT_GE(files, 5u);
}

}  // namespace
}  // namespace hoist::http
