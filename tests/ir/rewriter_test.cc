#include "ir/rewriter.h"

#include <gtest/gtest.h>

#include "ir/toy_ops.h"

namespace hoist::testing {
namespace {

using namespace ir;

Graph chain() {
  Graph g;
  g.name = "chain";
  Builder b(g);
  const Type row(DType::f32, {{"n", 3}});
  ValueId s = b.state("s", row, Role::kCache);
  ValueId x = b.input("x", row);
  ValueId w = b.state("w", row, Role::kParameter, true);
  b.set_scope("here");
  auto halves = b.emit(kSplit, Attrs::of(NoAttrs{}), std::vector<ValueId>{x});
  ValueId y = b.emit1(kScale, Attrs::of(ScaleAttrs{2}), {halves[1]});
  b.update("s", b.emit1(kAccumulate, Attrs::of(NoAttrs{}), {s, y}));
  b.output("y", y);
  b.output("w", w);
  return g;
}

TEST(Rewriter, CopyingEveryNodeCopiesTheGraph) {
  const Graph g = chain();
  Rewriter r(g);
  for (const Node& node : g.nodes) r.copy(node);
  EXPECT_EQ(print(r.finish()), print(g));
}

TEST(Rewriter, ReplacesANodeAndMapsWhatFollows) {
  const Graph g = chain();
  Rewriter r(g);
  for (const Node& node : g.nodes) {
    if (node.op != &kScale) {
      r.copy(node);
      continue;
    }
    // One scale becomes two.
    r.builder().set_scope(node.scope);
    ValueId first = r.builder().emit1(kScale, node.attrs, {r.map(node.operands[0])});
    r.replace(node, std::vector<ValueId>{r.builder().emit1(kScale, node.attrs, {first})});
  }
  const Graph out = r.finish();
  EXPECT_EQ(print(out),
            "graph \"chain\" stage=global\n"
            "state %0 \"s\" role=cache tier=device : f32[n=3]\n"
            "input %1 \"x\" : f32[n=3]\n"
            "state %2 \"w\" role=parameter tier=device trainable : f32[n=3]\n"
            "%3, %4 = split(%1) @\"here\" : f32[n=3], f32[n=3]\n"
            "%5 = scale(%4) {by=2, note=none, axes=[], sizes=[], to=f32, flag=false, count=0} @\"here\" : "
            "f32[n=3]\n"
            "%6 = scale(%5) {by=2, note=none, axes=[], sizes=[], to=f32, flag=false, count=0} @\"here\" : "
            "f32[n=3]\n"
            "%7 = accumulate(%0, %6) @\"here\" : f32[n=3]\n"
            "output \"y\" %6\n"
            "output \"w\" %2\n"
            "update \"s\" %7\n");
  verify(out, Stage::kGlobal);
}

TEST(RewriterDeathTest, AValueThatWasNotRewrittenIsOurBug) {
  const Graph g = chain();
  Rewriter r(g);
  EXPECT_FALSE(r.mapped(g.outputs[0].value));
  EXPECT_DEATH(r.map(g.outputs[0].value), "was not rewritten");
}

TEST(BuilderDeathTest, AnOperandOfAnotherGraphIsOurBug) {
  Graph g;
  Builder b(g);
  EXPECT_DEATH(b.emit1(kScale, Attrs::of(ScaleAttrs{}), {5}), "not a value of this graph");
}

TEST(Graph, FindsByName) {
  const Graph g = chain();
  EXPECT_EQ(g.find_state("w"), 1);
  EXPECT_EQ(g.find_state("x"), -1);
  EXPECT_EQ(g.find_input("x"), 0);
  EXPECT_EQ(g.find_output("w"), 1);
  EXPECT_EQ(g.state_of(0), 0);
  EXPECT_EQ(g.state_of(1), -1);
}

}  // namespace
}  // namespace hoist::testing
