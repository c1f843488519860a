// What verify refuses, per stage.
#include <gtest/gtest.h>

#include "ir/toy_ops.h"

namespace hoist::testing {
namespace {

using namespace ir;

const Type kRow(DType::f32, {{"n", 3}});

TEST(Verify, AcceptsALegalGraphAtItsStageOnly) {
  Graph g;
  Builder b(g);
  b.output("y", b.emit1(kScale, Attrs::of(ScaleAttrs{}), {b.input("x", kRow)}));
  verify(g, Stage::kGlobal);
  EXPECT_EQ(message_of([&] { verify(g, Stage::kLocal); }),
            "graph 'graph': is at stage global, expected local");
}

TEST(Verify, NamesAreUnique) {
  Graph g;
  Builder b(g);
  b.input("x", kRow);
  b.input("x", kRow);
  EXPECT_EQ(message_of([&] { verify(g, Stage::kGlobal); }), "graph 'graph': two inputs named 'x'");
  Graph s;
  Builder c(s);
  c.state("w", kRow, Role::kParameter);
  c.state("w", kRow, Role::kParameter);
  EXPECT_EQ(message_of([&] { verify(s, Stage::kGlobal); }), "graph 'graph': two states named 'w'");
}

TEST(Verify, LiveAxesAreOutermost) {
  Graph g;
  Builder(g).input("x", Type(DType::f32, {{"n", 3}, {"m", 2, true}}));
  EXPECT_EQ(message_of([&] { verify(g, Stage::kGlobal); }),
            "graph 'graph': a live axis must be outermost: f32[n=3, m=2?]");
}

struct InPlace {
  Graph g;
  Builder b{g};
  ValueId x = b.input("x", kRow), s = b.state("s", kRow, Role::kAccumulator);
  ValueId now = b.emit1(kAccumulate, Attrs::of(NoAttrs{}), {s, x});
};

TEST(Verify, AnInPlaceUpdateIsTheLastUseOfItsOperand) {
  InPlace good;
  good.b.update("s", good.now);
  verify(good.g, Stage::kGlobal);

  InPlace read_again;
  read_again.b.set_scope("head");
  read_again.b.emit1(kScale, Attrs::of(ScaleAttrs{}), {read_again.s});
  EXPECT_EQ(message_of([&] { verify(read_again.g, Stage::kGlobal); }),
            "graph 'graph': %3 = scale @head: reads %1 after it was updated in place");

  InPlace output;
  output.b.output("old", output.s);
  EXPECT_EQ(message_of([&] { verify(output.g, Stage::kGlobal); }),
            "graph 'graph': output 'old' was updated in place");

  InPlace stale;
  stale.b.update("s", stale.s);
  EXPECT_EQ(message_of([&] { verify(stale.g, Stage::kGlobal); }),
            "graph 'graph': update of 's' was itself updated in place");

  InPlace sizes;
  sizes.g.values[2].type.dtype = DType::f64;
  EXPECT_EQ(message_of([&] { verify(sizes.g, Stage::kGlobal); }),
            "graph 'graph': %2 = accumulate: result types differ from what the op infers");
}

TEST(Verify, UpdatesMatchTheirState) {
  InPlace twice;
  twice.b.update("s", twice.now);
  twice.b.update("s", twice.now);
  EXPECT_EQ(message_of([&] { verify(twice.g, Stage::kGlobal); }),
            "graph 'graph': state 's' is updated twice");

  InPlace type;
  type.b.update("s", type.b.input("other", Type(DType::f32, {{"n", 4}})));
  EXPECT_EQ(message_of([&] { verify(type.g, Stage::kGlobal); }),
            "graph 'graph': update of state 's' has type f32[n=4], expected f32[n=3]");
}

TEST(Verify, CollectivesAreLocal) {
  Graph g;
  Builder b(g);
  b.emit1(kGather, Attrs::of(NoAttrs{}), {b.input("x", kRow)});
  EXPECT_EQ(message_of([&] { verify(g, Stage::kGlobal); }),
            "graph 'graph': %1 = gather: collectives belong to one rank's graph");
  g.stage = Stage::kLocal;
  verify(g, Stage::kLocal);
}

TEST(Verify, LoweredGraphsHaveKernels) {
  Graph g;
  Builder b(g);
  b.emit1(kScale, Attrs::of(ScaleAttrs{}), {b.input("x", kRow)});
  g.stage = Stage::kLowered;
  auto none = [](const void*, const OpView&) { return false; };
  auto all = [](const void*, const OpView&) { return true; };
  EXPECT_EQ(message_of([&] { verify(g, Stage::kLowered, none); }),
            "graph 'graph': %1 = scale: the backend has no kernel for it");
  verify(g, Stage::kLowered, all);
}

TEST(Verify, OperandsComeFirst) {
  Graph g;
  Builder b(g);
  b.emit1(kScale, Attrs::of(ScaleAttrs{}), {b.input("x", kRow)});
  for (ValueId wrong : {1, 7, -1}) {
    g.nodes[0].operands[0] = wrong;
    EXPECT_EQ(message_of([&] { verify(g, Stage::kGlobal); }),
              "graph 'graph': %1 = scale: operand %" + std::to_string(wrong) + " is not defined before it");
  }
}

}  // namespace
}  // namespace hoist::testing
