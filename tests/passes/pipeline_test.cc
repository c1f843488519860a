// The list of passes: what it reports, what may be skipped, what it writes for people to read.
#include "passes/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "ops/table.h"
#include "plan/programs.h"

namespace hoist::testing {
namespace {

namespace fs = std::filesystem;
using ir::Graph;

std::vector<std::string> names(const std::vector<passes::PassReport>& reports) {
  std::vector<std::string> out;
  for (const auto& r : reports) out.push_back(r.name);
  return out;
}

Graph tiny_step() { return tiny_training(tiny_config(io::Family::kLlama), {2, 4}).step; }

TEST(Pipeline, ReportsEveryPassInOrder) {
  const auto reports = build_plan(tiny_step()).reports;
  EXPECT_EQ(names(reports),
            (std::vector<std::string>{"cleanup", "partition", "fuse", "decompose", "cleanup", "lower"}));
  for (size_t i = 0; i < reports.size(); ++i) {
    EXPECT_GE(reports[i].seconds, 0);
    EXPECT_FALSE(reports[i].skipped);
    if (i) {
      EXPECT_EQ(reports[i].nodes_before, reports[i - 1].nodes_after);
    }
  }
  EXPECT_LT(reports[0].nodes_after, reports[0].nodes_before) << "a training step has work to share";

  passes::PassRunner runner({});
  passes::training_passes(models::train_graph(tiny_config(io::Family::kLlama), {2, 4}), {}, 4, runner);
  EXPECT_EQ(names(runner.reports()), (std::vector<std::string>{"autodiff", "accumulate_gradients", "apply"}));
}

TEST(Pipeline, OptionalPassesMayBeSkippedAndChangeLittle) {
  const Graph graph = tiny_step();
  const Bindings inputs = draw_inputs(graph, 1), states = draw_states(graph, 2);
  const Ran want = run_plan(build_plan(graph).plan, inputs, states);
  for (const std::vector<std::string>& skip :
       {std::vector<std::string>{"cleanup"}, {"fuse"}, {"cleanup", "fuse"}}) {
    plan::BuildOptions options;
    options.passes.skip = skip;
    const plan::Built built = plan::build(graph, cpu(), options);
    for (const auto& r : built.reports) {
      const bool wanted = std::find(skip.begin(), skip.end(), r.name) != skip.end();
      EXPECT_EQ(r.skipped, wanted) << r.name;
      if (wanted) {
        EXPECT_EQ(r.nodes_after, r.nodes_before);
      }
    }
    const Ran got = run_plan(built.plan, inputs, states);
    const double tolerance = 1e-5;
    expect_equal_values(got.outputs, want.outputs, &tolerance);
    expect_equal_values(got.states, want.states, &tolerance);
  }
  // Passes that others rely on run whatever is asked.
  plan::BuildOptions options;
  options.passes.skip = {"partition", "decompose", "lower"};
  for (const auto& r : plan::build(graph, cpu(), options).reports) EXPECT_FALSE(r.skipped) << r.name;
}

TEST(Pipeline, DumpsTheGraphAfterEachPassThatChangedIt) {
  const fs::path dir = fs::path(::testing::TempDir()) / ("dump" + std::to_string(::getpid()));
  fs::create_directories(dir);
  plan::BuildOptions options;
  options.passes.dump_dir = dir.string();
  plan::build(tiny_step(), cpu(), options);
  std::set<std::string> found;
  for (const auto& e : fs::directory_iterator(dir)) {
    found.insert(e.path().filename().string());
    std::ifstream in(e.path());
    std::stringstream text;
    text << in.rdbuf();
    EXPECT_EQ(ir::print(ir::parse(text.str(), ops::find_op)), text.str()) << e.path();
  }
  for (const char* file : {"train-00-cleanup.txt", "train-01-partition.txt", "train-05-lower.txt"})
    EXPECT_EQ(found.count(file), 1u) << file;
  fs::remove_all(dir);
  EXPECT_NE(error_of([&] { plan::build(tiny_step(), cpu(), options); }).find("cannot write graph dump"),
            std::string::npos);
}

TEST(Pipeline, APassThatBreaksTheGraphIsCaught) {
  passes::PassRunner runner({});
  const Graph graph = tiny_step();
  auto broken = [](const Graph& g) {
    Graph out = g;
    out.nodes[3].operands[0] = static_cast<ir::ValueId>(out.values.size()) - 1;
    return out;
  };
  EXPECT_NE(error_of([&] {
              runner.run("broken", graph, ir::Stage::kGlobal, broken);
            }).find("is not defined before it"),
            std::string::npos);
  passes::PassOptions trusting;
  trusting.verify = false;
  EXPECT_EQ(error_of([&] { passes::PassRunner(trusting).run("broken", graph, ir::Stage::kGlobal, broken); }),
            "no error");
}

// Running the passes on their own result changes nothing more.
TEST(Pipeline, CleanupAndFuseSettle) {
  for (io::Family family : {io::Family::kGpt2, io::Family::kLlama}) {
    const Graph graph = models::serve_graph(tiny_config(family), tiny_serve_shape());
    passes::KernelOracle oracle{[](const void*, const ir::OpView& v) { return cpu().find(v) != nullptr; },
                                nullptr};
    passes::PassRunner runner({});
    Graph lowered = passes::local_passes(graph, {}, 0, oracle, runner).graph;
    Graph again = lowered;
    again.stage = ir::Stage::kGlobal;
    passes::PassRunner second({});
    EXPECT_EQ(ir::print(passes::local_passes(again, {}, 0, oracle, second).graph), ir::print(lowered));
  }
}

}  // namespace
}  // namespace hoist::testing
