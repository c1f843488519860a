// Attribute text (base/fields.h) and symbols.
#include "base/fields.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <thread>

#include "base/rng.h"
#include "ir/toy_ops.h"

namespace hoist::testing {
namespace {

TEST(Fields, DoublesReadBackToTheSameBits) {
  auto round_trip = [](double x) {
    const std::string text = print_fields(ScaleAttrs{x});
    return parse_fields<ScaleAttrs>(text.substr(0, text.find(','))).by;
  };
  for (double x : {0.0, -0.0, 0.1, 1e-5, 1e300, -5e-324, std::numeric_limits<double>::infinity(),
                   -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::max()})
    EXPECT_EQ(std::bit_cast<uint64_t>(round_trip(x)), std::bit_cast<uint64_t>(x)) << x;
  EXPECT_TRUE(std::isnan(round_trip(std::nan(""))));
  CounterRng rng(3, 0);
  for (uint64_t i = 0; i < 10000; ++i) {
    const double x = std::bit_cast<double>(rng.bits(i));
    if (std::isnan(x)) continue;
    EXPECT_EQ(std::bit_cast<uint64_t>(round_trip(x)), rng.bits(i));
  }
}

TEST(Fields, SpacesAroundPairsAreFree) {
  const auto a = parse_fields<ScaleAttrs>("  by = 2 ,axes=[ a  b ],flag=true ");
  EXPECT_EQ(a.by, 2);
  EXPECT_EQ(a.axes, (AxisList{"a", "b"}));
  EXPECT_TRUE(a.flag);
}

TEST(Fields, IdentifiersOnly) {
  for (const char* good : {"a", "_", "a.b", "A9_"}) EXPECT_TRUE(is_identifier(good)) << good;
  for (const char* bad : {"", "9", ".a", "a b", "a-b", "\xc3\xa9", "a]"})
    EXPECT_FALSE(is_identifier(bad)) << bad;
  EXPECT_TRUE(is_identifier(std::string(128, 'x')));
  EXPECT_FALSE(is_identifier(std::string(129, 'x')));
}

TEST(Symbol, InternsByName) {
  EXPECT_EQ(Symbol("model"), Symbol(std::string("mod") + "el"));
  EXPECT_FALSE(Symbol("model") == Symbol("Model"));
  EXPECT_TRUE(Symbol().empty());
  EXPECT_EQ(Symbol(""), Symbol());
  EXPECT_EQ(Symbol("none"), Symbol());
  EXPECT_EQ(Symbol("a.b").name(), "a.b");
}

TEST(Symbol, FromManyThreads) {
  std::vector<std::thread> threads;
  std::vector<std::vector<Symbol>> seen(4);
  for (size_t t = 0; t < seen.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) seen[t].push_back(Symbol("threaded" + std::to_string(i)));
    });
  for (std::thread& t : threads) t.join();
  for (const auto& list : seen) EXPECT_EQ(list, seen[0]);
}

}  // namespace
}  // namespace hoist::testing
