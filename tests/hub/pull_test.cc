// Pulling from a hub on loopback: whatever the network does, a file is whole under its name or not there.
#include "hub/pull.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "base/error.h"
#include "hub/digest.h"
#include "hub_server.h"
#include "io/files.h"

namespace hoist::hub {
namespace {

using Fault = HubServer::Fault;
namespace fs = std::filesystem;

std::string random_bytes(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::string out(count, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

class Pull : public testing::Test {
 protected:
  Pull() : store_((fs::temp_directory_path() / ("hoist_hub_" + std::to_string(::getpid()))).string()) {
    fs::remove_all(store_);
    server_.files = {{"config.json", "{\"a\": 1}"},
                     {"model.safetensors", random_bytes(300000, 1)},
                     {"tokenizer.json", random_bytes(5000, 2)},
                     {"README.md", "not wanted"},
                     {"consolidated.safetensors", random_bytes(1000, 3)},
                     {"onnx/model.safetensors", random_bytes(1000, 4)},
                     {"1_Pooling/config.json", "{}"}};
    options_.endpoint = server_.url();
    options_.store = store_;
    options_.http.first_pause = 0.001;
  }
  ~Pull() override { fs::remove_all(store_); }

  std::string pull() { return hub::pull("org/name", options_, nullptr); }
  std::string content(const std::string& file) {
    return io::read_file(store_ + "/org/name/" + file, 1 << 20);
  }
  void expect_whole() {
    for (const char* file : {"config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"})
      EXPECT_EQ(content(file), server_.files[file]) << file;
    EXPECT_TRUE(find_model(store_, "org/name").complete);
  }

  HubServer server_;
  std::string store_;
  PullOptions options_;
};

TEST_F(Pull, GetsWhatHoistReads) {
  EXPECT_EQ(pull(), store_ + "/org/name");
  expect_whole();
  for (const char* file : {"README.md", "consolidated.safetensors", "onnx"})
    EXPECT_FALSE(fs::exists(store_ + "/org/name/" + file)) << file;
  const int64_t once = server_.body_bytes();
  pull();
  EXPECT_EQ(server_.body_bytes(), once);  // all of it is there
  const StoredModel m = find_model(store_, "org/name");
  EXPECT_EQ(m.bytes, m.expected);
  EXPECT_EQ(m.revision, server_.commit);
}

TEST_F(Pull, ListsComeInPages) {
  server_.page = 2;
  pull();
  expect_whole();
}

TEST_F(Pull, FaultsThatPass) {
  for (const Fault fault : {Fault::kCut, Fault::kError, Fault::kNoRange, Fault::kRedirect}) {
    fs::remove_all(store_);
    server_.fail(fault, 3);
    pull();
    expect_whole();
  }
}

TEST_F(Pull, ContinuesWhereItStopped) {
  // Stopped by the user amid the largest file.
  const int64_t half = 150000;
  EXPECT_THROW(
      hub::pull("org/name", options_,
                [&](const PullProgress& p) { return p.file != "model.safetensors" || p.file_done < 1; }),
      Error);
  const StoredModel m = find_model(store_, "org/name");
  EXPECT_FALSE(m.complete);
  EXPECT_LT(m.bytes, m.expected);
  const std::string part = store_ + "/org/name/model.safetensors.part";
  ASSERT_TRUE(fs::exists(part));
  std::ofstream(part, std::ios::binary) << server_.files["model.safetensors"].substr(0, half);
  const int64_t before = server_.body_bytes();
  pull();
  expect_whole();
  EXPECT_LT(server_.body_bytes() - before, 300000 - half + 20000);
  EXPECT_FALSE(fs::exists(part));
}

TEST_F(Pull, APartOfSomethingElseIsFetchedAnew) {
  fs::create_directories(store_ + "/org/name");
  std::ofstream(store_ + "/org/name/model.safetensors.part", std::ios::binary) << random_bytes(1000, 9);
  std::ofstream(store_ + "/org/name/tokenizer.json.part", std::ios::binary) << random_bytes(9000, 9);
  pull();
  expect_whole();
}

TEST_F(Pull, WhatIsBrokenOnDiskIsFetchedAgain) {
  pull();
  std::string broken = content("model.safetensors");
  broken[77] ^= 1;
  std::ofstream(store_ + "/org/name/model.safetensors", std::ios::binary) << broken;
  pull();
  expect_whole();
}

TEST_F(Pull, WrongBytesAreRefused) {
  for (const Fault fault : {Fault::kWrongBytes, Fault::kTooLong}) {
    fs::remove_all(store_);
    server_.fail(fault, 20);
    EXPECT_THROW(pull(), Error);
    EXPECT_FALSE(fs::exists(store_ + "/org/name/config.json"));
    EXPECT_FALSE(find_model(store_, "org/name").complete);
    server_.fail(Fault::kNone, 0);
  }
}

TEST_F(Pull, GivesUpAfterSomeAttempts) {
  server_.fail(Fault::kError, 1000);
  try {
    pull();
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("503"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("/resolve/"), std::string::npos) << e.what();
  }
}

TEST_F(Pull, PathsThatLeaveTheFolderAreRefused) {
  for (const char* path : {"../evil.json", "a/../../evil.json", "/etc/evil", "a//b"}) {
    fs::remove_all(store_);
    server_.files = {{path, "x"}, {"model.safetensors", "y"}};
    EXPECT_THROW(pull(), Error) << path;
  }
}

TEST_F(Pull, OurOwnRecordsAreNotPulled) {
  server_.files[".hoist-pull.json"] = "{}";
  options_.files = {"*"};
  pull();
  expect_whole();
}

TEST_F(Pull, Offline) {
  options_.offline = true;
  EXPECT_THROW(pull(), Error);
  EXPECT_TRUE(server_.requests().empty());
  options_.offline = false;
  pull();
  options_.offline = true;
  const size_t asked = server_.requests().size();
  EXPECT_EQ(pull(), store_ + "/org/name");
  EXPECT_EQ(server_.requests().size(), asked);
}

TEST_F(Pull, SendsTheToken) {
  options_.http.token = "secret-token";
  pull();
  for (const std::string& r : server_.requests())
    EXPECT_NE(r.find("Authorization: Bearer secret-token"), std::string::npos);
}

TEST_F(Pull, NamesAndAddressesAreChecked) {
  for (const char* name :
       {"", "name", "/name", "org/", "org/na/me", "../name", "org/..", "org/.hidden", "o rg/x"})
    EXPECT_THROW(hub::pull(name, options_, nullptr), Error) << name;
  options_.endpoint = "file:///etc";
  EXPECT_THROW(pull(), Error);
  EXPECT_TRUE(server_.requests().empty());
}

TEST(ChooseFiles, GgufNeedsAChoice) {
  const std::vector<PulledFile> all = {
      {"a-q4.gguf", 1, "", ""}, {"a-q8.gguf", 1, "", ""}, {"README.md", 1, "", ""}};
  EXPECT_THROW(choose_files(all, {}, "m"), Error);
  EXPECT_EQ(choose_files(all, {"*q4*"}, "m").size(), 1u);
  EXPECT_THROW(choose_files(all, {"*q5*"}, "m"), Error);
  const std::vector<PulledFile> parts = {{"b-00001-of-00002.gguf", 1, "", ""},
                                         {"b-00002-of-00002.gguf", 1, "", ""}};
  EXPECT_EQ(choose_files(parts, {}, "m").size(), 2u);
  EXPECT_THROW(choose_files({{"pytorch_model.bin", 1, "", ""}}, {}, "m"), Error);
}

TEST(Matches, AsShellsDo) {
  EXPECT_TRUE(matches("*.gguf", "a.gguf"));
  EXPECT_TRUE(matches("a?c*", "abcdef"));
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("a*b*c", "aXbXbXc"));
  EXPECT_FALSE(matches("a*b*c", "aXbXbX"));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_FALSE(matches(std::string(30, '*') + "b", std::string(3000, 'a')));
}

}  // namespace
}  // namespace hoist::hub
