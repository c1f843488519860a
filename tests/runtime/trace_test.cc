// Traces: one event per instruction, in order, as JSON that a viewer can open.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "io/files.h"
#include "plan/programs.h"
#include "support/json.h"

namespace hoist::testing {
namespace {

using support::Json;

std::string temporary(const std::string& name) {
  return (std::filesystem::path(::testing::TempDir()) / (name + std::to_string(::getpid()))).string();
}

Json read_and_remove(const std::string& path) {
  Json parsed = Json::parse(io::read_file(path, 1 << 26));
  std::filesystem::remove(path);
  return parsed;
}

TEST(Trace, OneEventPerInstructionInOrder) {
  const ir::Graph graph = models::serve_graph(tiny_config(io::Family::kLlama, 6), tiny_serve_shape());
  const plan::Plan plan = build_plan(graph).plan;
  ASSERT_FALSE(plan.repeats.empty());
  runtime::Trace trace;
  RunOptions options;
  options.trace = &trace;
  run_plan(plan, draw_inputs(graph, 1), draw_states(graph, 2), options);
  const std::string path = temporary("trace");
  trace.write(path, 3);
  const Json parsed = read_and_remove(path);

  // What each event should say: the unrolled plan, with the scope of the first iteration.
  struct Want {
    std::string op, scope;
    int iteration;
  };
  std::vector<Want> wanted;
  size_t next = 0;
  auto add = [&](const plan::Instruction& i, int iteration) {
    wanted.push_back({std::string(i.op ? i.op->name : "copy"), i.scope.str(), iteration});
  };
  for (int at = 0; at < static_cast<int>(plan.instructions.size());) {
    if (next < plan.repeats.size() && plan.repeats[next].first == at) {
      const plan::Repeat& r = plan.repeats[next++];
      for (int i = 0; i < r.count; ++i)
        for (int k = 0; k < r.length; ++k) add(plan.instructions[static_cast<size_t>(at + k)], i);
      at += r.length;
    } else {
      add(plan.instructions[static_cast<size_t>(at++)], 0);
    }
  }
  std::map<int, std::string> rows;
  size_t event = 0;
  double last = -1;
  for (const Json& e : parsed.at("traceEvents")) {
    EXPECT_EQ(e.at("pid"), 3);
    if (e.at("ph") == "M") {
      if (e.at("name") == "thread_name")
        rows[e.at("tid").get<int>()] = e.at("args").at("name").get<std::string>();
      continue;
    }
    ASSERT_EQ(e.at("ph"), "X");
    ASSERT_LT(event, wanted.size());
    const Want& want = wanted[event++];
    EXPECT_EQ(e.at("name"), want.op);
    EXPECT_EQ(e.at("args").at("iteration"), want.iteration);
    EXPECT_EQ(rows.at(e.at("tid").get<int>()), want.op + (want.scope.empty() ? "" : " @" + want.scope));
    EXPECT_GE(e.at("dur").get<double>(), 0);
    EXPECT_GE(e.at("ts").get<double>(), last);
    last = e.at("ts").get<double>();
  }
  EXPECT_EQ(event, wanted.size());
}

TEST(Trace, AnEmptyTraceIsJson) {
  const std::string path = temporary("empty");
  runtime::Trace().write(path);
  EXPECT_EQ(read_and_remove(path).at("traceEvents").size(), 1u);  // the process's name
}

TEST(Trace, QuotesWhatItIsGiven) {
  runtime::Trace trace;
  trace.add("a\"b\\c\n", "v", "s\"", 2, trace.now());
  const std::string path = temporary("quotes");
  trace.write(path);
  const Json parsed = read_and_remove(path);
  EXPECT_EQ(parsed.at("traceEvents").at(1).at("name"), "a\"b\\c ");
}

TEST(Trace, KeepsABoundedNumberOfEventsAndCountsTheRest) {
  runtime::Trace trace;
  for (size_t i = 0; i < runtime::Trace::kMaxEvents + 5; ++i) trace.add("op", "", "", 0, 0);
  EXPECT_EQ(trace.size(), runtime::Trace::kMaxEvents);
}

TEST(Trace, NamesAPathThatCanNotBeWritten) {
  EXPECT_NE(error_of([] {
              runtime::Trace().write("/nonexistent-folder/trace.json");
            }).find("cannot write trace /nonexistent-folder/trace.json"),
            std::string::npos);
}

}  // namespace
}  // namespace hoist::testing
