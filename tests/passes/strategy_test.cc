// Strategies as TOML: what is printed reads back the same, and what is wrong is named with its line.
#include "passes/strategy.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "plan/programs.h"

namespace hoist::passes {
namespace {

using hoist::testing::error_of;

bool same(const Strategy& a, const Strategy& b) {
  if (a.microbatches != b.microbatches || a.precision != b.precision) return false;
  if (a.mesh.size() != b.mesh.size() || a.rules.size() != b.rules.size()) return false;
  for (size_t i = 0; i < a.mesh.size(); ++i)
    if (!(a.mesh[i].name == b.mesh[i].name) || a.mesh[i].size != b.mesh[i].size) return false;
  for (size_t i = 0; i < a.rules.size(); ++i) {
    const ShardRule &x = a.rules[i], &y = b.rules[i];
    if (!(x.axis == y.axis) || !(x.mesh == y.mesh) || x.scope != y.scope || !(x.role == y.role)) return false;
  }
  return true;
}

TEST(Strategy, PrintAndParseAreInverse) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const CounterRng rng(seed, 8);
    uint64_t at = 0;
    auto below = [&](uint64_t n) { return static_cast<int>(rng.below(at++, n)); };
    Strategy s;
    s.microbatches = 1 + below(100);
    s.precision = below(2) ? DType::bf16 : DType::f32;
    for (int i = below(4); i > 0; --i) s.mesh.push_back({Symbol("m" + std::to_string(i)), 1 + below(9)});
    const char* roles[] = {"any", "parameter", "activation"};
    const char* scopes[] = {"", "layers.0.attn", "model.layers", "#=[]'", "\xc3\xa9t\xc3\xa9"};
    for (int i = s.mesh.empty() ? 0 : below(6); i > 0; --i)
      s.rules.push_back({Symbol("axis" + std::to_string(below(5))),
                         s.mesh[static_cast<size_t>(below(s.mesh.size()))].name, scopes[below(5)],
                         roles[below(3)]});
    const std::string text = print(s);
    const Strategy back = parse_strategy(text, "s.toml");
    EXPECT_TRUE(same(s, back)) << text;
    EXPECT_EQ(print(back), text);
  }
}

TEST(Strategy, DefaultsAreLeftOut) {
  const Strategy s =
      parse_strategy("[[mesh]]\nname = 'd'\nsize = 2\n[[shard]]\naxis='batch'\nmesh='d'\n", "s.toml");
  EXPECT_EQ(s.microbatches, 1);
  EXPECT_EQ(s.precision, DType::f32);
  EXPECT_EQ(s.rules[0].scope, "");
  EXPECT_EQ(s.rules[0].role.name(), "any");
  EXPECT_TRUE(same(parse_strategy("", "s.toml"), Strategy{}));
}

TEST(Strategy, ErrorsNameTheLine) {
  auto error = [](const std::string& text) { return error_of([&] { parse_strategy(text, "s.toml"); }); };
  EXPECT_EQ(error("microbatches = 0"), "s.toml:1: microbatches: expected an integer in 1..1048576");
  EXPECT_EQ(error("\nmicrobatches = 1.5"), "s.toml:2: microbatches: expected an integer in 1..1048576");
  EXPECT_EQ(error("precision = 'f16'"), "s.toml:1: precision: expected f32 or bf16");
  EXPECT_EQ(error("precision = 3"), "s.toml:1: precision: expected a plain string");
  EXPECT_EQ(error("\n\ncolour = 'red'"), "s.toml:3: unknown key 'colour'");
  EXPECT_EQ(error("mesh = 3"), "s.toml:1: mesh: expected [[mesh]] tables");
  EXPECT_EQ(error("mesh = [3]"), "s.toml:1: mesh: expected a table");
  EXPECT_EQ(error("[[mesh]]\nsize = 2"), "s.toml:1: name is missing");
  EXPECT_EQ(error("[[mesh]]\nname = 'd'\nsize = 0"), "s.toml:3: size: expected an integer in 1..1048576");
  EXPECT_EQ(error("[[mesh]]\nname = 'd'\n[[mesh]]\nname = 'd'"),
            "s.toml:3: mesh dimension 'd' appears twice");
  EXPECT_EQ(error("[[shard]]\naxis = 'a'\nmesh = 'd'"), "s.toml:3: no mesh dimension named 'd'");
  EXPECT_EQ(error("[[mesh]]\nname = 'd'\n[[shard]]\naxis = 'a'\nmesh = 'd'\nrole = 'some'"),
            "s.toml:6: role: expected any, parameter or activation");
  EXPECT_EQ(error("[[mesh]]\nname = \"a\\u0007\""), "s.toml:2: name: expected a plain string");
  EXPECT_EQ(error("[[mesh]]\nname = 'a\"b'"), "s.toml:2: name: expected a plain string");
  // Numbers of ranks are counted without overflow.
  EXPECT_EQ(error("[[mesh]]\nname = 'a'\nsize = 1048576\n[[mesh]]\nname = 'b'\nsize = 1048576"),
            "s.toml:4: mesh: found more than 1048576 ranks in all");
  std::string many;
  for (int i = 0; i < 17; ++i) many += "[[mesh]]\nname = 'm" + std::to_string(i) + "'\n";
  EXPECT_EQ(error(many), "s.toml:33: mesh: expected at most 16 dimensions");
  const std::string broken = error("microbatches = \n");
  EXPECT_EQ(broken.substr(0, 9), "s.toml:1:") << broken;
}

TEST(Strategy, CoordinatesCountTheLastDimensionFastest) {
  const Strategy s = parse_strategy("[[mesh]]\nname='a'\nsize=2\n[[mesh]]\nname='b'\nsize=3\n", "s.toml");
  EXPECT_EQ(s.ranks(), 6);
  EXPECT_EQ(s.coordinates(0), (std::vector<int>{0, 0}));
  EXPECT_EQ(s.coordinates(2), (std::vector<int>{0, 2}));
  EXPECT_EQ(s.coordinates(5), (std::vector<int>{1, 2}));
  EXPECT_EQ(s.find_mesh("b"), 1);
  EXPECT_EQ(s.find_mesh("c"), -1);
  EXPECT_EQ(Strategy{}.ranks(), 1);
  EXPECT_TRUE(data_and_tensor_parallel(1, 1).mesh.empty());
}

}  // namespace
}  // namespace hoist::passes
