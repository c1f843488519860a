// Files of keys: read as they mean, refused without a word of what they hold.
#include "serve/keys_file.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace hoist::serve {
namespace {

TEST(KeysFile, JsonAndTomlSayTheSame) {
  for (const auto& [source, text] : std::vector<std::pair<std::string, std::string>>{
           {"k.json", R"({"sk-1": "alice", "sk-2": "bob", "sk-3": "alice"})"},
           {"k.toml", "# keys\nsk-1 = \"alice\"\n\"sk-2\" = 'bob'\nsk-3 = \"alice\"\n"}}) {
    http::KeyRing ring;
    parse_keys(text, source, ring);
    EXPECT_EQ(ring.size(), 3u);
    EXPECT_EQ(ring.tenant(ring.find("sk-1")), "alice");
    EXPECT_EQ(ring.tenant(ring.find("sk-2")), "bob");
    EXPECT_EQ(ring.find("sk-1"), ring.find("sk-3"));
    EXPECT_EQ(ring.find("sk-4"), 0u);
  }
}

TEST(KeysFile, RefusalsHoldNoKey) {
  for (const auto& [source, text] :
       std::vector<std::pair<std::string, std::string>>{{"k.json", ""},
                                                        {"k.json", "{}"},
                                                        {"k.json", R"(["sk-secret"])"},
                                                        {"k.json", R"({"sk-secret": 3})"},
                                                        {"k.json", R"({"sk-secret": "a", "sk-secret": "b"})"},
                                                        {"k.json", R"({"sk-secret": "a",)"},
                                                        {"k.json", R"({"sk secret": "a"})"},
                                                        {"k.json", R"({"sk-secret": ""})"},
                                                        {"k.toml", ""},
                                                        {"k.toml", "sk-secret = 3"},
                                                        {"k.toml", "sk-secret"},
                                                        {"k.toml", "sk-secret = \"a\"\nsk-secret = \"b\""},
                                                        {"k.toml", "[sk-secret]\na = \"b\""},
                                                        {"k.toml", "\"sk secret\" = \"a\""}}) {
    http::KeyRing ring;
    try {
      parse_keys(text, source, ring);
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_TRUE(std::string_view(e.what()).starts_with(source + ":")) << e.what();
      EXPECT_EQ(std::string(e.what()).find("secret"), std::string::npos) << e.what();
    }
  }
  http::KeyRing ring;
  EXPECT_THROW(load_keys("/nowhere/keys.json", ring), Error);
}

}  // namespace
}  // namespace hoist::serve
