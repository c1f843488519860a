// 500 hostile names for pull, rm and whatever opens a model by name: each is refused before anything is asked
// of the network or touched on disk.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "hub/pull.h"
#include "hub_server.h"
#include "io/files.h"
#include "support/hostile_names.h"

namespace hoist::hub {
namespace {

namespace fs = std::filesystem;

// Every path below a folder, with the sizes of files.
std::map<std::string, uintmax_t> listing(const fs::path& folder) {
  std::map<std::string, uintmax_t> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    out[entry.path().string()] = entry.is_regular_file() ? entry.file_size() : 0;
  return out;
}

bool plain(const std::string& name) {
  int parts = 1;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-' || c == '/';
    parts += c == '/';
    if (!good || (c == '.' && (i == 0 || name[i - 1] == '/'))) return false;
  }
  return parts == 2 && name.front() != '/' && name.back() != '/' && name.size() <= 200;
}

class Names : public testing::Test {
 protected:
  Names() : root_(fs::temp_directory_path() / ("hoist_names_" + std::to_string(::getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_ / "store/org/name");
    fs::create_directories(root_ / "beside");
    std::ofstream(root_ / "beside/file") << "precious";
    std::ofstream(root_ / "store/org/name/model.safetensors") << "precious";
    PullRecord record{
        "org/name", std::string(40, 'a'), server_.url(), {{"model.safetensors", 8, "", ""}}, true};
    write_record((root_ / "store/org/name").string(), record);
    before_ = listing(root_);
    options_.endpoint = server_.url();
    options_.store = store();
    options_.http.first_pause = 0.001;
  }
  ~Names() override { fs::remove_all(root_); }
  std::string store() const { return (root_ / "store").string(); }
  // True when it threw what a wrong name throws.
  template <class F>
  bool refused(const F& work) {
    try {
      work();
      return false;
    } catch (const Error& e) {
      EXPECT_TRUE(e.code() == ErrorCode::kInvalidArgument || e.code() == ErrorCode::kNotFound) << e.what();
      EXPECT_LT(std::string(e.what()).size(), 20000u);
      return true;
    }
  }

  HubServer server_;
  const fs::path root_;
  std::map<std::string, uintmax_t> before_;
  PullOptions options_;
};

TEST_F(Names, AreRefusedBeforeAnythingHappens) {
  const int64_t bytes = server_.body_bytes();
  size_t tried = 0;
  for (const std::string& name : support::hostile_names()) {
    SCOPED_TRACE(support::percent_encoded(name).substr(0, 300));
    EXPECT_TRUE(refused([&] { remove_model(store(), name); }));
    EXPECT_TRUE(refused([&] { find_model(store(), name); }));
    if (plain(name)) continue;  // odd, but a name: the hub may be asked for it
    ++tried;
    EXPECT_TRUE(refused([&] { check_model_name(name, "model"); }));
    EXPECT_TRUE(refused([&] { pull(name, options_, nullptr); }));
  }
  EXPECT_GT(tried, 450u);
  EXPECT_EQ(server_.body_bytes(), bytes);
  EXPECT_EQ(listing(root_), before_);
  ASSERT_EQ(stored_models(store()).size(), 1u);
  EXPECT_TRUE(stored_models(store())[0].complete);
}

// What a hub calls its files is as little to be trusted.
TEST_F(Names, OfFilesStayBelowTheirFolder) {
  for (const std::string& name : support::hostile_names()) {
    SCOPED_TRACE(support::percent_encoded(name).substr(0, 300));
    try {
      check_relative_path(name, "a hub");
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kCorrupt);
      continue;
    }
    EXPECT_EQ(name.find('\0'), name.npos);
    const std::string path = (fs::path("/store/org/name") / name).lexically_normal().string();
    EXPECT_TRUE(path.starts_with("/store/org/name/")) << path;
  }
}

}  // namespace
}  // namespace hoist::hub
