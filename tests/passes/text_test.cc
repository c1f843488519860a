// Passes as text: each file of tests/passes/text is a pass, a graph, and what the pass makes of it (or its
// error).
//
// HOIST_RECORD=1 in the environment writes what the passes make into the files; then read the diff.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "ops/table.h"
#include "passes/autodiff.h"
#include "passes/cleanup.h"
#include "passes/decompose.h"
#include "passes/fuse.h"
#include "passes/partition.h"
#include "plan/programs.h"

namespace hoist::testing {
namespace {

namespace fs = std::filesystem;
using ir::Graph;

// "# comment" lines, then sections that begin with "--- name".
struct File {
  std::string comment;
  std::vector<std::pair<std::string, std::string>> sections;

  explicit File(const fs::path& path) {
    std::ifstream in(path);
    std::string line;
    while (std::getline(in, line)) {
      if (line.starts_with("--- "))
        sections.push_back({line.substr(4), ""});
      else
        (sections.empty() ? comment : sections.back().second) += line + "\n";
    }
  }
  std::string& section(const std::string& name) {
    for (auto& [n, text] : sections)
      if (n == name) return text;
    return sections.emplace_back(name, "").second;
  }
  void write(const fs::path& path) const {
    std::ofstream out(path);
    out << comment;
    for (const auto& [name, text] : sections) out << "--- " << name << "\n" << text;
  }
};

bool has_reference_kernel(const void*, const ir::OpView& view) {
  return kernels::ref_table().find(view) != nullptr;
}
// A backend of primitives alone.
bool is_primitive(const void*, const ir::OpView& view) { return !view.op->decompose; }
bool has_nothing(const void*, const ir::OpView&) { return false; }

// The first line of the section "pass": the pass's name and its argument.
Graph apply(File& file) {
  const Graph graph = ir::parse(file.section("input"), ops::find_op);
  std::istringstream line(file.section("pass"));
  std::string pass, argument;
  line >> pass >> argument;
  if (pass == "cleanup") return passes::cleanup(graph);
  if (pass == "fuse") return passes::fuse(graph, {has_reference_kernel, nullptr});
  if (pass == "autodiff") return passes::autodiff(graph, argument);
  if (pass == "decompose")
    return passes::decompose_for_backend(graph,
                                         {argument == "nothing" ? has_nothing : is_primitive, nullptr});
  if (pass == "partition")
    return passes::partition(graph, passes::parse_strategy(file.section("strategy"), "strategy"),
                             std::stoi(argument))
        .graph;
  throw std::runtime_error("unknown pass " + pass);
}

class PassText : public ::testing::TestWithParam<std::string> {};

TEST_P(PassText, MakesWhatIsWritten) {
  const fs::path path = fs::path(HOIST_SOURCE_DIR) / "tests/passes/text" / GetParam();
  File file(path);
  std::string got;
  try {
    Graph result = apply(file);
    ir::verify(result, result.stage);
    got = ir::print(result);
    // What a pass makes can be read back.
    EXPECT_EQ(ir::print(ir::parse(got, ops::find_op)), got);
  } catch (const std::exception& e) {
    got = std::string("error: ") + e.what() + "\n";
  }
  if (std::getenv("HOIST_RECORD")) {
    file.section("expected") = got;
    file.write(path);
    GTEST_SKIP() << "recorded";
  }
  EXPECT_EQ(got, file.section("expected"));
}

std::vector<std::string> files() {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(fs::path(HOIST_SOURCE_DIR) / "tests/passes/text"))
    if (entry.path().extension() == ".txt") out.push_back(entry.path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

INSTANTIATE_TEST_SUITE_P(Files, PassText, ::testing::ValuesIn(files()), [](const auto& info) {
  std::string name = info.param.substr(0, info.param.size() - 4);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

}  // namespace
}  // namespace hoist::testing
