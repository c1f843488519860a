// The house rules a compiler does not check: who includes whom, how long a file may be, what a header may
// pull in, that every source is built, and that nothing of one machine stands in the repository.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "structure/include_graph.h"

namespace hoist::structure {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxSourceLines = 600;
constexpr int kMaxHeaderLines = 300;

fs::path root() { return HOIST_SOURCE_DIR; }

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

bool is_cpp(const fs::path& path) {
  auto ext = path.extension();
  return ext == ".h" || ext == ".inc" || ext == ".cc" || ext == ".cu";
}

// Every C++ file under `folder`, keyed by its path relative to it.
std::map<std::string, std::string> cpp_files(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && is_cpp(entry.path()))
      files[fs::relative(entry.path(), folder).generic_string()] = read(entry.path());
  return files;
}

const std::map<std::string, std::string>& sources() {
  static const auto files = cpp_files(root() / "src");
  return files;
}

LayerTable table() {
  std::vector<std::string> problems;
  return parse_layers(read(root() / "docs/layers.txt"), &problems);
}

std::string layer_of(const std::string& path) { return path.substr(0, path.find('/')); }

std::string lines(const std::vector<std::string>& list) {
  std::string all;
  for (const auto& line : list) all += "\n  " + line;
  return all;
}

TEST(Layers, TableIsAStrictDag) {
  std::vector<std::string> problems;
  LayerTable t = parse_layers(read(root() / "docs/layers.txt"), &problems);
  EXPECT_TRUE(problems.empty()) << lines(problems);
  EXPECT_GE(t.order.size(), 20u);
}

TEST(Layers, EveryIncludeIsAllowed) {
  auto broken = check_includes(table(), sources());
  EXPECT_TRUE(broken.empty()) << lines(broken);
}

TEST(Layers, NoHeaderIncludesItself) {
  auto circles = check_header_cycles(sources());
  EXPECT_TRUE(circles.empty()) << lines(circles);
}

// The promises of docs/architecture.md that deserve their own name, should the table ever be loosened.
TEST(Layers, KernelsNeverSeeTheGraph) {
  std::vector<std::string> bans = table().never["kernels"];
  EXPECT_TRUE(std::count(bans.begin(), bans.end(), "ir/graph.h")) << "docs/layers.txt must keep this ban";
}

TEST(Layers, ModelsNeverSeeAPlanOrADevice) {
  auto allowed = allowed_includes(table(), "models");
  for (const char* folder : {"plan", "device", "kernels", "runtime"})
    EXPECT_FALSE(allowed.count(folder)) << folder;
}

TEST(Layers, TrainAndServeNeverMeet) {
  EXPECT_FALSE(allowed_includes(table(), "train").count("serve"));
  EXPECT_FALSE(allowed_includes(table(), "serve").count("train"));
}

TEST(Layers, LinkedLibrariesFollowTheTable) {
  LayerTable t = table();
  const std::regex deps_list(R"(DEPS\s+([a-z\s]+))");
  for (const std::string& layer : t.order) {
    fs::path file = root() / "src" / layer / "CMakeLists.txt";
    if (!fs::exists(file)) continue;
    auto allowed = allowed_includes(t, layer);
    std::string text = read(file);
    for (std::sregex_iterator it(text.begin(), text.end(), deps_list), end; it != end; ++it) {
      std::istringstream deps((*it)[1]);
      for (std::string dep; deps >> dep;) {
        // Whoever is granted a single header links what stands behind it.
        auto granted = [&](const std::string& name) { return layer_of(name) == dep; };
        EXPECT_TRUE(std::any_of(allowed.begin(), allowed.end(), granted))
            << "src/" << layer << "/CMakeLists.txt: DEPS " << dep;
      }
    }
  }
}

TEST(Build, EverySourceIsInItsLayersList) {
  for (const auto& [path, text] : sources()) {
    if (path.ends_with(".h") || path.ends_with(".inc")) continue;
    std::string layer = layer_of(path);
    fs::path list = root() / "src" / layer / "CMakeLists.txt";
    ASSERT_TRUE(fs::exists(list)) << "src/" << layer << " has sources and no CMakeLists.txt";
    std::string inside = path.substr(layer.size() + 1);
    bool found = read(list).find(inside) != std::string::npos;
    for (fs::path at = (root() / "src" / path).parent_path(); !found && at.filename() != layer;
         at = at.parent_path())
      found = fs::exists(at / "CMakeLists.txt") &&
              read(at / "CMakeLists.txt").find(fs::path(path).filename().string()) != std::string::npos;
    EXPECT_TRUE(found) << "src/" << path << " is built by no CMakeLists.txt";
  }
}

TEST(Files, StayWithinTheirLength) {
  for (const char* folder : {"src", "tests"}) {
    for (const auto& [path, text] : cpp_files(root() / folder)) {
      auto count = std::count(text.begin(), text.end(), '\n');
      EXPECT_LE(count, path.ends_with(".h") ? kMaxHeaderLines : kMaxSourceLines) << folder << "/" << path;
    }
  }
}

// A source of a header's stem may leave it to that header: one op, one stem, wherever its kernels lie.
TEST(Files, SayWhatTheyAreFor) {
  std::set<fs::path> header_stems;
  for (const auto& [path, text] : sources())
    if (path.ends_with(".h")) header_stems.insert(fs::path(path).stem());
  for (const auto& [path, text] : sources()) {
    if (!path.ends_with(".h") && header_stems.count(fs::path(path).stem())) continue;
    EXPECT_TRUE(text.starts_with("//")) << path << ": no head comment";
  }
}

// A big library may stand in a header only if nothing but sources of the same layer include it: a private
// header.
TEST(Headers, ArePlainAndLight) {
  const std::set<std::string> heavy = {"iostream", "regex", "filesystem", "ranges"};
  const std::regex foreign(R"((simdjson|nlohmann/|boost/|CLI/|toml\+\+/).*)");
  std::map<std::string, std::string> spreaders;  // header -> someone who spreads it
  for (const auto& [path, text] : sources())
    for (const std::string& name : quoted_includes(text))
      if (path.ends_with(".h") || layer_of(path) != layer_of(name)) spreaders[name] = path;
  for (const auto& [path, text] : sources()) {
    if (!path.ends_with(".h")) continue;
    EXPECT_NE(text.find("#pragma once"), std::string::npos) << path << ": no #pragma once";
    for (const std::string& name : system_includes(text)) {
      EXPECT_FALSE(heavy.count(name)) << path << " includes <" << name << ">";
      bool big = std::regex_match(name, foreign) && !name.ends_with("_fwd.hpp");
      EXPECT_FALSE(big && spreaders.count(path))
          << path << " includes <" << name << "> and is itself included by " << spreaders[path];
    }
  }
}

// Written in halves, so that this file does not find itself.
TEST(Repository, NamesNoMachineAndNoRegistry) {
  std::vector<std::string> words = {
      "deb.deb"
      "ian.org",
      "pyp"
      "i.org",
      "files.python"
      "hosted",
      "registry.npm"
      "js"};
  const std::regex local_path(
      "(^|[^A-Za-z0-9_.])/(wo"
      "rk|fa"
      "rm|tmp/w)/");
  const std::set<std::string> binary = {".safetensors", ".png", ".gz", ".bin"};
  const std::set<std::string> skipped = {".git", ".cache", "out", "__pycache__"};
  for (auto it = fs::recursive_directory_iterator(root()); it != fs::recursive_directory_iterator(); ++it) {
    std::string name = it->path().filename().string();
    if (it->is_directory() && (skipped.count(name) || name.starts_with("build")))
      it.disable_recursion_pending();
    if (!it->is_regular_file() || binary.count(it->path().extension().string())) continue;
    if (it->file_size() > (1u << 20)) continue;
    std::string text = read(it->path());
    for (const auto& word : words)
      EXPECT_EQ(text.find(word), std::string::npos) << it->path() << " names " << word;
    std::istringstream in(text);
    int number = 0;
    for (std::string line; std::getline(in, line);) {
      ++number;
      if (line.size() > 2000) continue;
      EXPECT_FALSE(std::regex_search(line, local_path)) << it->path() << ":" << number << ": " << line;
    }
  }
}

// The checker itself: each rule must be able to fail.
TEST(Checker, RefusesWhatTheTableForbids) {
  std::vector<std::string> problems;
  LayerTable t = parse_layers("a:\nb: a\nc: b\nd: a c/only.h\nnever: c a/secret.h\n", &problems);
  ASSERT_TRUE(problems.empty()) << lines(problems);
  auto broken_by = [&](std::map<std::string, std::string> more) {
    more.insert(
        {{"a/a.h", ""}, {"a/secret.h", ""}, {"b/b.h", "#include \"a/secret.h\"\n"}, {"c/only.h", ""}});
    more.emplace("c/more.h", "");
    return check_includes(t, more);
  };
  EXPECT_EQ(broken_by({}).size(), 0u);
  EXPECT_EQ(broken_by({{"c/x.cc", "#include \"a/a.h\"\n"}}).size(), 0u) << "what a dependency may include";
  EXPECT_EQ(broken_by({{"a/x.cc", "#include \"b/b.h\"\n"}}).size(), 1u) << "upwards";
  EXPECT_EQ(broken_by({{"a/x.cc", "  #  include \"b/b.h\"\n"}}).size(), 1u) << "spaced";
  EXPECT_EQ(broken_by({{"a/x.cc", "// #include \"b/b.h\"\n"}}).size(), 0u) << "commented out";
  EXPECT_EQ(broken_by({{"c/x.cc", "#include \"b/b.h\"\n"}}).size(), 1u) << "a banned header behind another";
  EXPECT_EQ(broken_by({{"d/x.cc", "#include \"c/only.h\"\n"}}).size(), 0u) << "a single header granted";
  EXPECT_EQ(broken_by({{"d/x.cc", "#include \"c/more.h\"\n"}}).size(), 1u) << "its neighbour not";
  EXPECT_EQ(broken_by({{"d/x.cc", "#include \"b/b.h\"\n"}}).size(), 1u) << "nor what is behind it";
  EXPECT_EQ(broken_by({{"a/x.cc", "#include \"a.h\"\n"}}).size(), 1u) << "not relative to src/";
  EXPECT_EQ(broken_by({{"e/x.cc", ""}}).size(), 1u) << "no layer";
}

TEST(Checker, RefusesABadTable) {
  for (const char* text :
       {"a: b\nb: a\n", "a: a\n", "a: nowhere\n", "a:\na:\n", "a\n", "a:\nnever: b x/\n", "never: a\n"}) {
    std::vector<std::string> problems;
    parse_layers(text, &problems);
    EXPECT_FALSE(problems.empty()) << text;
  }
}

TEST(Checker, FindsHeaderCircles) {
  EXPECT_EQ(check_header_cycles({{"a/a.h", "#include \"a/b.h\"\n"}, {"a/b.h", ""}}).size(), 0u);
  EXPECT_EQ(
      check_header_cycles({{"a/a.h", "#include \"a/b.h\"\n"}, {"a/b.h", "#include \"a/a.h\"\n"}}).size(), 2u);
  EXPECT_EQ(check_header_cycles({{"a/a.h", "#include \"a/a.h\"\n"}}).size(), 1u);
}

}  // namespace
}  // namespace hoist::structure
