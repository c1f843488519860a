// The store: what is listed, found, removed, and what a name stands for.
#include "hub/store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace hoist::hub {
namespace {

namespace fs = std::filesystem;

class Store : public testing::Test {
 protected:
  Store() : folder_((fs::temp_directory_path() / ("hoist_store_" + std::to_string(::getpid()))).string()) {
    fs::remove_all(folder_);
    ::setenv("HOIST_MODELS", folder_.c_str(), 1);
  }
  ~Store() override { fs::remove_all(folder_); }
  std::string add(const std::string& name, const std::vector<std::string>& files, bool complete) {
    const std::string folder = folder_ + "/" + name;
    fs::create_directories(folder);
    PullRecord r{name, std::string(40, 'b'), "http://x", {}, complete};
    for (const std::string& f : files) {
      std::ofstream(folder + "/" + f) << "12345";
      r.files.push_back({f, 5, "", std::string(40, '0')});
    }
    write_record(folder, r);
    return folder;
  }
  std::string folder_;
};

TEST_F(Store, ListsFindsRemoves) {
  EXPECT_TRUE(stored_models(folder_).empty());
  const std::string a = add("org/a", {"config.json"}, true);
  add("org/b", {"x.gguf"}, false);
  fs::create_directories(folder_ + "/org/stranger");
  std::ofstream(folder_ + "/file") << "x";
  const auto models = stored_models(folder_);
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].name, "org/a");
  EXPECT_EQ(models[0].bytes, 5);
  EXPECT_TRUE(models[0].complete);
  EXPECT_FALSE(models[1].complete);
  remove_model(folder_, "org/a");
  EXPECT_FALSE(fs::exists(a));
  EXPECT_THROW(find_model(folder_, "org/a"), Error);
  EXPECT_THROW(remove_model(folder_, "../x"), Error);
}

TEST_F(Store, ANameStandsForItsPath) {
  const std::string a = add("org/a", {"config.json", "model.safetensors"}, true);
  EXPECT_EQ(resolve_model("org/a"), a);
  EXPECT_EQ(resolve_model(a), a);
  EXPECT_EQ(resolve_model("no/such/path"), "no/such/path");
  EXPECT_THROW(resolve_model("org/none"), Error);
  const std::string g = add("org/g", {"m-00002-of-00002.gguf", "m-00001-of-00002.gguf"}, true);
  EXPECT_EQ(resolve_model("org/g"), g + "/m-00001-of-00002.gguf");
  add("org/half", {"config.json"}, false);
  EXPECT_THROW(resolve_model("org/half"), Error);
}

TEST_F(Store, BrokenRecordsAreNotTrusted) {
  const std::string a = add("org/a", {"config.json"}, true);
  for (
      const char* text :
      {"", "{", "{\"name\":\"org/a\"}",
       R"({"name":"org/a","revision":"","endpoint":"","complete":true,"files":[{"path":"../../x","bytes":1,"sha256":"","sha1":""}]})"}) {
    std::ofstream(a + "/.hoist-pull.json") << text;
    const auto models = stored_models(folder_);
    ASSERT_EQ(models.size(), 1u);
    EXPECT_FALSE(models[0].complete);
    EXPECT_THROW(resolve_model("org/a"), Error);
  }
}

}  // namespace
}  // namespace hoist::hub
