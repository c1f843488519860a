// Reading responses: how they are cut into packets changes nothing, and what is malformed is refused.
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "load/answer.h"
#include "load/http_client.h"

namespace hoist::load {
namespace {

struct Read {
  int status = 0;
  std::string body, error;
  bool complete = false, keep_alive = false;
  size_t used = 0;
  bool operator==(const Read&) const = default;
};

// The response in `wire`, cut at random, then the end of the connection.
Read read(std::string_view wire, std::mt19937* random, bool close = true) {
  ResponseReader reader;
  Read out;
  try {
    while (!wire.empty() && !reader.complete()) {
      const size_t n = random ? 1 + (*random)() % std::min<size_t>(wire.size(), 9) : wire.size();
      const size_t used = reader.feed(wire.substr(0, n), [&](std::string_view piece) { out.body += piece; });
      out.used += used;
      if (used < std::min(n, wire.size()) && !reader.complete()) ADD_FAILURE() << "bytes left over";
      wire.remove_prefix(used);
    }
    out.complete = close ? reader.end_of_input() : reader.complete();
  } catch (const Error& e) {
    out.error = e.what();
  }
  if (reader.head_complete()) {
    out.status = reader.head().status;
    out.keep_alive = reader.head().keep_alive;
  }
  return out;
}

TEST(Response, Shapes) {
  Read r = read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloNEXT", nullptr);
  EXPECT_EQ(r.body, "hello");
  EXPECT_TRUE(r.complete && r.keep_alive);
  r = read(
      "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: "
      "v\r\n\r\n",
      nullptr);
  EXPECT_EQ(r.body, "abc0123456789");
  EXPECT_TRUE(r.complete && r.keep_alive);
  r = read("HTTP/1.0 200\r\n\r\nto the end", nullptr);
  EXPECT_EQ(r.body, "to the end");
  EXPECT_TRUE(r.complete && !r.keep_alive);
  r = read(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nConnection: foo, close\r\nContent-Length: 0\r\n\r\n",
      nullptr);
  EXPECT_EQ(r.status, 503);
  EXPECT_TRUE(r.complete && !r.keep_alive);
  EXPECT_TRUE(read("HTTP/1.1 204 No Content\r\n\r\n", nullptr, false).complete);
  EXPECT_FALSE(read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", nullptr).complete);
  EXPECT_FALSE(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", nullptr).complete);
}

TEST(Response, RefusesWhatIsMalformed) {
  for (const char* wire : {
           "HTP/1.1 200 OK\r\n\r\n",
           "HTTP/2.0 200 OK\r\n\r\n",
           "HTTP/1.1 20x OK\r\n\r\n",
           "HTTP/1.1 99 \r\n\r\n\r\n",
           "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
           "HTTP/1.1 200 OK\r\n: v\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
           "HTTP/1.1 101 Switching\r\n\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
       })
    EXPECT_NE(read(wire, nullptr).error, "") << wire;
  EXPECT_NE(read("HTTP/1.1 200 OK\r\nX: " + std::string(ResponseReader::kMaxHead, 'x'), nullptr).error, "");
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_NE(read(chunked + "1;" + std::string(ResponseReader::kMaxLine, 'x'), nullptr).error, "");
  std::string trailers = chunked + "0\r\n";
  for (int i = 0; i < 2000; ++i) trailers += "Name: value\r\n";
  EXPECT_NE(read(trailers, nullptr).error, "");
}

TEST(Response, PacketsDoNotMatter) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string wire = random() % 2 ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.0 200 OK\r\n";
    if (random() % 4 == 0) wire = "HTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + wire;
    const size_t kind = random() % 3;
    std::string body(random() % 40, 'b');
    if (kind == 0) wire += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body + "tail";
    if (kind == 1) wire += "\r\n" + body;
    if (kind == 2) {
      wire += "Transfer-Encoding: chunked\r\n\r\n";
      char size[16];
      for (size_t at = 0; at < body.size();) {
        const size_t n = std::min<size_t>(body.size() - at, 1 + random() % 20);
        std::snprintf(size, sizeof size, "%zx\r\n", n);
        wire += size + body.substr(at, n) + "\r\n";
        at += n;
      }
      wire += "0\r\n\r\ntail";
    }
    if (random() % 3 == 0) wire[random() % wire.size()] = static_cast<char>(random() % 256);
    if (random() % 3 == 0) wire.resize(random() % wire.size());
    Read whole = read(wire, nullptr), cut = read(wire, &random);
    EXPECT_EQ(whole.error, cut.error) << wire;
    if (!whole.error.empty()) continue;  // what came before the fault may differ
    EXPECT_TRUE(whole == cut) << wire;
  }
}

std::vector<std::string> events(std::string_view bytes, std::mt19937* random) {
  EventStream stream;
  std::vector<std::string> out;
  while (!bytes.empty()) {
    const size_t n = random ? 1 + (*random)() % std::min<size_t>(bytes.size(), 5) : bytes.size();
    stream.feed(bytes.substr(0, n), [&](std::string_view data) { out.emplace_back(data); });
    bytes.remove_prefix(n);
  }
  return out;
}

TEST(Events, FollowTheStandard) {
  using List = std::vector<std::string>;
  EXPECT_EQ(events("data: a\n\ndata:b\n\n", nullptr), (List{"a", "b"}));
  EXPECT_EQ(events("\xef\xbb\xbf"
                   "data: a\r\n\r\n: comment\r\ndata: b\r\rdata: c\n\n",
                   nullptr),
            (List{"a", "b", "c"}));
  EXPECT_EQ(events("event: x\nid: 3\ndata: a\ndata:  b\ndata\n\n", nullptr), (List{"a\n b\n"}));
  EXPECT_EQ(events("\n\n\nevent: x\n\ndata: never ended\n", nullptr), List{});
  EXPECT_EQ(events("dataa: x\n\ndata:\n\n", nullptr), List{""});
}

TEST(Events, PacketsDoNotMatter) {
  std::mt19937 random(2);
  const char* parts[] = {"data: ", "data", ":", "\n",           "\r\n",  "\r",
                         "\n\n",   "x",    " ", "\xef\xbb\xbf", "[DONE]"};
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (size_t n = random() % 30; n > 0; --n) text += parts[random() % std::size(parts)];
    EXPECT_EQ(events(text, nullptr), events(text, &random)) << text;
  }
}

Answer answer_of(const std::vector<std::pair<double, std::string>>& pieces, int status = 200,
                 std::string type = "text/event-stream") {
  AnswerReader reader;
  ResponseHead head{status, true, type};
  double now = 0;
  for (const auto& [at, text] : pieces) reader.on_body(head, text, now = at);
  reader.on_end(head, now);
  return reader.answer();
}

TEST(Answers, OfBothApis) {
  Answer a = answer_of({{1, "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":null}]}\n\n"},
                        {2, "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":null}]}\n\n"},
                        {4, "data: {\"choices\":[{\"text\":\"b\",\"finish_reason\":\"length\"}]}\n\n"},
                        {5,
                         "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
                         "data: [DONE]\n\n"}});
  EXPECT_TRUE(a.good()) << a.error;
  EXPECT_EQ(a.first, 2);
  EXPECT_EQ(a.last, 4);
  EXPECT_EQ(a.pieces, 2);
  EXPECT_EQ(a.prompt_tokens, 7);
  EXPECT_EQ(a.tokens(), 3);
  a = answer_of({{1, "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n"},
                 {2, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"},
                 {3, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"}});
  EXPECT_TRUE(a.good()) << a.error;
  EXPECT_EQ(a.first, 2);
  EXPECT_EQ(a.tokens(), 1);
  a = answer_of({{3, R"({"choices":[{"text":"abc","finish_reason":"stop"}],)"},
                 {4, R"("usage":{"completion_tokens":3}})"}},
                200, "application/json");
  EXPECT_TRUE(a.good()) << a.error;
  EXPECT_EQ(a.first, 4);
  EXPECT_EQ(a.tokens(), 3);
}

// Most events are told by their spelling; the same events spelt with spaces are parsed.
TEST(Answers, SpellingDoesNotMatter) {
  std::mt19937 random(6);
  const char* texts[] = {"",
                         "a",
                         "\\\"",
                         "\\\"text\\\":\\\"x",
                         "\\\"finish_reason\\\":null",
                         "\\\"error\\\"",
                         "}",
                         "\\\"usage\\\":{",
                         "\\u00e4",
                         "[DONE]",
                         "\\\\",
                         "content"};
  for (int round = 0; round < 300; ++round) {
    std::vector<std::pair<double, std::string>> tight, wide;
    for (int i = 0; i < 10; ++i) {
      const std::string text = texts[random() % std::size(texts)];
      const bool chat = random() % 2, last = i == 9;
      const auto event = [&](const std::string& colon, const std::string& comma) {
        const std::string reason = "\"finish_reason\"" + colon + (last ? "\"stop\"" : "null");
        const std::string body = chat ? "\"delta\"" + colon + "{\"content\"" + colon + "\"" + text + "\"}"
                                      : "\"text\"" + colon + "\"" + text + "\"";
        return "data: {\"id\"" + colon + "\"text\"" + comma + "\"choices\"" + colon + "[{" + body + comma +
               reason + "}]}\n\n";
      };
      tight.push_back({i, event(":", ",")});
      wide.push_back({i, event(" : ", " , ")});
    }
    const Answer a = answer_of(tight), b = answer_of(wide);
    EXPECT_EQ(a.pieces, b.pieces) << tight[0].second;
    EXPECT_EQ(a.first, b.first);
    EXPECT_EQ(a.last, b.last);
    EXPECT_TRUE(a.good() && b.good()) << a.error << b.error;
  }
}

TEST(Answers, ThatAreNoGood) {
  EXPECT_EQ(answer_of({{1, R"({"error":{"message":"the queue is full","code":"queue_full"}})"}}, 429,
                      "application/json")
                .error,
            "the queue is full");
  EXPECT_EQ(answer_of({{1, "sorry"}}, 502, "text/plain").status, 502);
  EXPECT_FALSE(answer_of({{1, "data: {\"choices\":[{\"text\":\"a\"}]}\n\n"}}).good()) << "cut short";
  EXPECT_EQ(answer_of({{1, "data: {\"error\":{\"message\":\"gone\"}}\n\ndata: [DONE]\n\n"}}).error, "gone");
  EXPECT_FALSE(answer_of({{1, "data: {\"choices\"\n\n"}}).good());
  EXPECT_FALSE(answer_of({{1, "data: [1]\n\n"}}).good());
  EXPECT_FALSE(
      answer_of(
          {{1, "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":-4}}\n\n"}})
          .good());
}

TEST(Urls, AreReadOrRefused) {
  Url u = parse_url("http://127.0.0.1:8081/v1/", "--url");
  EXPECT_EQ(u.host + "|" + std::to_string(u.port) + "|" + u.prefix, "127.0.0.1|8081|");
  u = parse_url("http://[::1]:80/api/v1", "--url");
  EXPECT_EQ(u.host + "|" + std::to_string(u.port) + "|" + u.prefix + "|" + u.authority(),
            "::1|80|/api|[::1]");
  EXPECT_EQ(parse_url("http://host", "--url").authority(), "host");
  for (const char* text :
       {"", "host", "http://", "http://:80", "http://a:0", "http://a:65536", "http://a:8x", "http://[::1",
        "http://[::1]x:80", "http://a b", "http://a/?q", "http://u@a", "https://a", "http://a\r\nX: y"})
    EXPECT_THROW(parse_url(text, "--url"), Error) << text;
}

}  // namespace
}  // namespace hoist::load
