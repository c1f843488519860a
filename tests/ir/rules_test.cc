// Types, and axis rules as RuleBuilder writes them.
#include "ir/rules.h"

#include <gtest/gtest.h>

#include "ir/toy_ops.h"

namespace hoist::testing {
namespace {

using namespace ir;

TEST(Type, TextRoundTrip) {
  for (const char* text :
       {"f32[]", "bf16[tokens=16?, model=64]", "i32[n=0]", "u8[a_1.b=3]", "f16:q8_0[rows=2, cols=64]"})
    EXPECT_EQ(to_string(parse_type(text)), text);
}

TEST(Type, SizesAndBytes) {
  const Type t = parse_type("bf16[a=3, b=5]");
  EXPECT_EQ(t.elements(), 15);
  EXPECT_EQ(t.bytes(), 30);
  EXPECT_EQ(t.find("b"), 1);
  EXPECT_EQ(t.find("c"), -1);
  EXPECT_EQ(t.size_of("b"), 5);
  EXPECT_EQ(to_string(t.without("a")), "bf16[b=5]");
  EXPECT_EQ(parse_type("f32:q8_0[rows=2, cols=64]").bytes(), 2 * 2 * 34);
}

TEST(Type, LimitsHoldForEmptyTensorsToo) {
  Type t(DType::f32, {{"z", 0}, {"a", int64_t{1} << 40}, {"b", int64_t{1} << 40}});
  EXPECT_FALSE(within_limits(t));
  t.dims[2].size = int64_t{1} << 19;
  EXPECT_TRUE(within_limits(t));
  t.dims[2].size = -1;
  EXPECT_FALSE(within_limits(t));
}

struct Sample {
  Type x = parse_type("f32[rows=4, model=6]"), w = parse_type("f32[ffn=5, model=6]"),
       y = parse_type("f32[rows=4, ffn=5]");
  Type types[2] = {x, w};
  OpView view{&kScale, nullptr, types, std::span(&y, 1)};
};

TEST(RuleBuilder, LocatesAxesByName) {
  Sample s;
  std::vector<AxisRule> out;
  RuleBuilder r{s.view, out};
  static const Monoid sum{"sum", 1, nullptr};
  r.merge("model", sum);
  r.map_rest();
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].extent, 6);
  EXPECT_EQ(out[0].operand_dim, (InlineVec<int8_t, AxisRule::kMaxOperands>{1, 1}));
  EXPECT_EQ(out[0].result_dim[0], -1);
  EXPECT_EQ(out[0].result[0].kind, AxisKind::kMerge);
  EXPECT_EQ(out[1].axis, Symbol("rows"));
  EXPECT_EQ(out[1].operand_dim, (InlineVec<int8_t, AxisRule::kMaxOperands>{0, -1}));
  EXPECT_EQ(out[1].result[0].kind, AxisKind::kMap);
  EXPECT_EQ(out[2].axis, Symbol("ffn"));
  for (const AxisRule& rule : out) EXPECT_TRUE(rule.splittable());
}

TEST(RuleBuilder, WholeAxesGiveTheirReason) {
  Sample s;
  std::vector<AxisRule> out;
  RuleBuilder{s.view, out}.whole("rows", "sorted");
  EXPECT_FALSE(out[0].splittable());
  EXPECT_STREQ(out[0].why_whole, "sorted");
}

TEST(CountFlops, FromTheRules) {
  const Type t = parse_type("f32[a=3, b=5]");
  const Attrs attrs = Attrs::of(ScaleAttrs{});
  EXPECT_EQ(count_flops({&kScale, &attrs, std::span(&t, 1), std::span(&t, 1)}), 15);
}

TEST(InferTypes, RefusesWhatNoMemoryHolds) {
  const OpDef square{"square_up", attrs_info<NoAttrs>(),
                     [](const OpView& view, std::vector<Type>& results) {
                       Type t = view.operands[0];
                       t.dims.push_back({"other", t.dims[0].size});
                       results.push_back(t);
                     },
                     [](const OpView& view, std::vector<AxisRule>& out) {
                       RuleBuilder{view, out}.map_rest();
                     }};
  const Type t = parse_type("f32[n=1000000000]");
  EXPECT_EQ(message_of([&] { infer_types(square, Attrs::of(NoAttrs{}), std::span(&t, 1)); }),
            "square_up: a result has more than 2^59 elements: f32[n=1000000000, other=1000000000] (operands "
            "f32[n=1000000000])");
}

}  // namespace
}  // namespace hoist::testing
