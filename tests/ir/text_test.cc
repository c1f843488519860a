// The text form: what print writes, parse reads back to the same graph.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "ir/toy_ops.h"

namespace hoist::testing {
namespace {

using namespace ir;

Type matrix() { return Type(DType::f32, {{"rows", 4, true}, {"cols", 3}}); }

Graph sample() {
  Graph g;
  g.name = "a \"quoted\"\\ name\nof two lines";
  Builder b(g);
  ValueId x = b.input("x", matrix());
  ValueId w = b.state("layers.0.w", matrix(), Role::kParameter, true, Tier::kHost);
  ScaleAttrs attrs;
  attrs.by = -0.1;
  attrs.note = "causal";
  attrs.axes = {"rows", "cols"};
  attrs.sizes = {1, -2, 3};
  attrs.to = DType::bf16;
  attrs.flag = true;
  attrs.count = INT64_MIN;
  ValueId y = w;
  {
    ScopeGuard scope(b, "layers.0");
    ScopeGuard inner(b, "mlp");
    y = b.emit1(kScale, Attrs::of(attrs), {x});
  }
  auto halves = b.emit(kSplit, Attrs::of(NoAttrs{}), std::vector<ValueId>{y});
  ValueId late = b.input("declared late", Type(DType::i32, {}));
  b.output("late", late);
  b.output("left", halves[0]);
  b.update("layers.0.w", b.emit1(kAccumulate, Attrs::of(NoAttrs{}), {w, halves[1]}));
  return g;
}

TEST(Text, OfASampleGraph) {
  EXPECT_EQ(print(sample()),
            "graph \"a \\\"quoted\\\"\\\\ name\\nof two lines\" stage=global\n"
            "input %0 \"x\" : f32[rows=4?, cols=3]\n"
            "state %1 \"layers.0.w\" role=parameter tier=host trainable : f32[rows=4?, cols=3]\n"
            "%2 = scale(%0) {by=-0.1, note=causal, axes=[rows cols], sizes=[1 -2 3], to=bf16, flag=true, "
            "count=-9223372036854775808} @\"layers.0.mlp\" : f32[rows=4?, cols=3]\n"
            "%3, %4 = split(%2) : f32[rows=4?, cols=3], f32[rows=4?, cols=3]\n"
            "input %5 \"declared late\" : i32[]\n"
            "%6 = accumulate(%1, %4) : f32[rows=4?, cols=3]\n"
            "output \"late\" %5\n"
            "output \"left\" %3\n"
            "update \"layers.0.w\" %6\n");
}

TEST(Text, ParsesBackToTheSameGraph) {
  const Graph g = sample();
  const std::string text = print(g);
  const Graph back = parse(text, find_toy);
  EXPECT_EQ(print(back), text);
  EXPECT_EQ(hash(back), hash(g));
  EXPECT_EQ(back.name, g.name);
  ASSERT_EQ(back.states.size(), 1u);
  EXPECT_TRUE(back.states[0].wants_grad);
  EXPECT_EQ(back.states[0].tier, Tier::kHost);
  EXPECT_EQ(back.nodes[0].scope.name(), "layers.0.mlp");
  const ScaleAttrs& a = back.nodes[0].attrs.as<ScaleAttrs>();
  EXPECT_EQ(a.by, -0.1);
  EXPECT_EQ(a.note, Symbol("causal"));
  EXPECT_EQ(a.axes, (AxisList{"rows", "cols"}));
  EXPECT_EQ(a.sizes, (IntList{1, -2, 3}));
  EXPECT_EQ(a.to, DType::bf16);
  EXPECT_TRUE(a.flag);
  EXPECT_EQ(a.count, INT64_MIN);
  verify(back, Stage::kGlobal);
}

TEST(Text, IgnoresCommentsAndEmptyLinesAfterTheFirst) {
  const Graph g = parse("graph \"g\" stage=local\n\n# a remark\ninput %0 \"x\" : f32[]\n", find_toy);
  EXPECT_EQ(g.stage, Stage::kLocal);
  EXPECT_EQ(g.inputs.size(), 1u);
}

TEST(Text, AbsentAttributesKeepTheirDefaults) {
  const Graph g =
      parse("graph \"g\" stage=global\ninput %0 \"x\" : f32[]\n%1 = scale(%0) {by=2} : f32[]\n", find_toy);
  EXPECT_EQ(g.nodes[0].attrs.as<ScaleAttrs>().by, 2);
  EXPECT_EQ(g.nodes[0].attrs.as<ScaleAttrs>().to, DType::f32);
}

TEST(Text, HashIsTheSameOnEveryMachine) {
  EXPECT_EQ(hash(parse("graph \"g\" stage=global\ninput %0 \"x\" : f32[n=3]\n", find_toy)),
            "820adcce8bc27014afecc37116289eaa");
  EXPECT_NE(hash(sample()), hash(Graph{}));
}

// Random graphs of the toy ops.
TEST(Text, RoundTripOfRandomGraphs) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    CounterRng rng(seed, 0);
    uint64_t at = 0;
    auto pick = [&](size_t n) { return rng.below(at++, n); };
    Graph g;
    g.name = "random " + std::to_string(seed);
    g.stage = static_cast<Stage>(pick(3));
    Builder b(g);
    std::vector<ValueId> values;
    for (int i = 0; i < 30; ++i) {
      const uint64_t what = values.empty() ? 0 : pick(5);
      const std::string name = "v" + std::to_string(i) + std::string(1, static_cast<char>(1 + pick(127)));
      if (what == 0) {
        Type t(static_cast<DType>(pick(8)), {});
        for (uint64_t k = pick(5); k > 0; --k)
          t.dims.push_back({Symbol("a" + std::to_string(k)), static_cast<int64_t>(pick(1000)), pick(4) == 0});
        values.push_back(b.input(name, t));
      } else if (what == 1) {
        values.push_back(b.state(name, g.type(values[pick(values.size())]), static_cast<Role>(pick(5)),
                                 pick(2) == 0, static_cast<Tier>(pick(3))));
      } else if (what == 2) {
        for (ValueId v :
             b.emit(kSplit, Attrs::of(NoAttrs{}), std::vector<ValueId>{values[pick(values.size())]}))
          values.push_back(v);
      } else {
        ScaleAttrs a;
        a.by = rng.normal(at++) * 1e-30;
        a.count = static_cast<int64_t>(rng.bits(at++));
        if (pick(2)) a.note = "n.o_t3";
        b.set_scope(pick(2) ? Symbol("layers." + std::to_string(pick(9))) : Symbol());
        values.push_back(b.emit1(kScale, Attrs::of(a), {values[pick(values.size())]}));
      }
      if (pick(5) == 0) b.output(name, values.back());
    }
    const std::string text = print(g);
    EXPECT_EQ(print(parse(text, find_toy)), text);
  }
}

}  // namespace
}  // namespace hoist::testing
