// Host, Origin and target rules, and the body reader, as pure functions.
#include "http/guard.h"

#include <gtest/gtest.h>

#include <random>

#include "http/api_error.h"
#include "http/body_reader.h"

namespace hoist::http {
namespace {

TEST(Guard, LoopbackAndLiterals) {
  for (const char* host : {"127.0.0.1", "127.255.0.3", "::1", "0:0:0:0:0:0:0:1"}) {
    EXPECT_TRUE(is_ip_literal(host)) << host;
    EXPECT_TRUE(is_loopback_literal(host)) << host;
  }
  for (const char* host : {"0.0.0.0", "10.0.0.1", "::", "::2", "::ffff:127.0.0.1", "fe80::1"}) {
    EXPECT_TRUE(is_ip_literal(host)) << host;
    EXPECT_FALSE(is_loopback_literal(host)) << host;
  }
  for (const char* host : {"", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "127.0.0.1 ", "[::1]"})
    EXPECT_FALSE(is_ip_literal(host)) << host;
}

TEST(Guard, Authorities) {
  std::string host, port;
  EXPECT_TRUE(split_authority("a.b-c_d:80", host, port));
  EXPECT_EQ(host + "|" + port, "a.b-c_d|80");
  EXPECT_TRUE(split_authority("[::1]:8080", host, port));
  EXPECT_EQ(host + "|" + port, "::1|8080");
  EXPECT_TRUE(split_authority("[::1]", host, port));
  EXPECT_TRUE(split_authority("a:", host, port));
  for (const char* bad :
       {"", ":80", "a:b", "a:123456", "[::1", "[a]", "[127.0.0.1]", "[::1]x", "a b", "a@b", "a/b", "a\tb"})
    EXPECT_FALSE(split_authority(bad, host, port)) << bad;
}

TEST(Guard, Targets) {
  std::string path, query, authority;
  EXPECT_TRUE(parse_target("/v1/%61%20b?x=%zz", path, query, authority));
  EXPECT_EQ(path, "/v1/a b");
  EXPECT_EQ(query, "x=%zz");
  EXPECT_EQ(authority, "");
  EXPECT_TRUE(parse_target("HTTP://h:1", path, query, authority));
  EXPECT_EQ(path + authority, "/h:1");
  EXPECT_TRUE(parse_target("http://h:1/p?q", path, query, authority));
  EXPECT_EQ(path + authority + query, "/ph:1q");
  EXPECT_TRUE(parse_target("/../a//b", path, query, authority));
  EXPECT_EQ(path, "/../a//b");  // kept as it is: it matches no route
  for (const char* bad :
       {"", "a", "*", "/%", "/%1", "/%0a", "/%7f", "/%2F", "/a#b", "http://", "http:///", "ftp://a/"})
    EXPECT_FALSE(parse_target(bad, path, query, authority)) << bad;
}

// Feeds `wire` in pieces of random sizes; the body, or the error's status as text, and how much was used.
std::pair<std::string, size_t> read_in_pieces(BodyReader reader, std::string_view wire,
                                              std::mt19937& random) {
  size_t used = 0;
  try {
    while (used < wire.size() && !reader.complete()) {
      const size_t n = std::min<size_t>(1 + random() % 7, wire.size() - used);
      used += reader.feed(wire.substr(used, n));
    }
    return {reader.complete() ? reader.take() : "incomplete", used};
  } catch (const ApiError& error) {
    return {std::to_string(error.status), 0};
  }
}

TEST(BodyReader, PiecesDoNotMatter) {
  std::mt19937 random(1);
  const char* wires[] = {
      "5\r\nhello\r\n0\r\n\r\nrest",
      "0\r\n\r\nrest",
      "1\r\na\r\n01;name=\"x\"\r\nb\r\n000\r\nTrailer: x\r\nOther: y\r\n\r\nrest",
      "1 \t\r\na\r\n0\r\n\r\nrest",
      "1\r\nab\r\n",
      "zz\r\n",
      "7fffffffffffffff\r\n",
      "65\r\n",
  };
  for (const char* wire : wires) {
    BodyReader whole = BodyReader::chunked(100);
    std::pair<std::string, size_t> expected;
    try {
      expected.second = whole.feed(wire);
      expected.first = whole.complete() ? whole.take() : "incomplete";
    } catch (const ApiError& error) {
      expected = {std::to_string(error.status), 0};
    }
    for (int i = 0; i < 200; ++i)
      EXPECT_EQ(read_in_pieces(BodyReader::chunked(100), wire, random), expected) << wire;
  }
  EXPECT_EQ(read_in_pieces(BodyReader::chunked(100), wires[0], random),
            (std::pair<std::string, size_t>{"hello", 15}));
  EXPECT_EQ(read_in_pieces(BodyReader::chunked(100), wires[2], random).first, "ab");
  EXPECT_EQ(read_in_pieces(BodyReader::chunked(100), wires[6], random).first, "413");
  EXPECT_EQ(read_in_pieces(BodyReader::chunked(100), wires[7], random).first, "413");
  EXPECT_EQ(read_in_pieces(BodyReader::fixed(3, 100), "abcdef", random),
            (std::pair<std::string, size_t>{"abc", 3}));
  EXPECT_THROW(BodyReader::fixed(101, 100), ApiError);
  EXPECT_TRUE(BodyReader::fixed(0, 100).complete());
}

TEST(BodyReader, TrailersAreBounded) {
  BodyReader reader = BodyReader::chunked(100);
  reader.feed("0\r\n");
  EXPECT_THROW(
      {
        for (int i = 0; i < 1000; ++i) reader.feed("Trailer: xxxxxxxxxxxxxxxx\r\n");
      },
      ApiError);
}

}  // namespace
}  // namespace hoist::http
