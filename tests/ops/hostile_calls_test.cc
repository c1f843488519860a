// Random calls of every op, near its examples: other ranks, sizes, dtypes, axis names and attributes. What
// infer accepts must have rules, a cost, a decomposition and a gradient graph; what it refuses is an Error
// led by the op's name. Run under UBSan this also finds sums and products of attributes that overflow.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "ops/cases.h"
#include "ops/table.h"

namespace hoist::testing {
namespace {

using ir::Attrs;
using ir::Builder;
using ir::OpDef;
using ir::Type;

class Dice {
 public:
  explicit Dice(uint64_t seed) : rng_(seed, 7) {}
  int64_t below(int64_t n) { return static_cast<int64_t>(rng_.below(at_++, static_cast<uint64_t>(n))); }
  bool one_in(int64_t n) { return below(n) == 0; }
  int64_t number() {
    constexpr int64_t kNumbers[] = {
        0,  1,  2,         3,         5,         7,         8,       64,
        -1, -2, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1 << 20, int64_t{1} << 58};
    return kNumbers[below(16)];
  }

 private:
  CounterRng rng_;
  uint64_t at_ = 0;
};

void mutate_type(Type& t, const std::vector<Type>& others, Dice& dice) {
  const int64_t rank = t.rank();
  auto any = [&] { return static_cast<int>(dice.below(rank)); };
  const Type& other = others[static_cast<size_t>(dice.below(static_cast<int64_t>(others.size())))];
  switch (dice.below(10)) {
    case 0: t.dtype = static_cast<DType>(dice.below(8)); break;
    case 1:
      if (rank) t.dims.erase(any());
      break;
    case 2:
      if (rank < 8) t.dims.insert(static_cast<int>(dice.below(rank + 1)), {Symbol("stray"), dice.below(4)});
      break;
    case 3:
      if (rank) t.dims[any()].size = std::max<int64_t>(dice.number(), 0);
      break;
    case 4:
      if (rank) t.dims[any()].live ^= true;
      break;
    case 5:
      if (rank > 1) std::swap(t.dims[any()], t.dims[any()]);
      break;
    case 6:
      if (rank && other.rank())
        t.dims[any()].axis = other.dims[static_cast<int>(dice.below(other.rank()))].axis;
      break;
    case 7: t.format = "q8_0"; break;
    case 8: t = other; break;
    default:
      while (t.rank() < 8) t.dims.insert(0, {Symbol("lead" + std::to_string(t.rank())), 1});
  }
}

// What parse_type and verify would let through.
bool legal(const Type& t) {
  for (int i = 0; i < t.rank(); ++i)
    if (t.find(t.dims[i].axis) != i || (i && t.dims[i].live)) return false;
  return within_limits(t) && (t.format.empty() || (t.rank() && t.dims.back().size % 32 == 0));
}

// Replaces one value in the attributes' text.
std::string mutate_attrs(std::string text, const std::vector<Type>& types, Dice& dice) {
  std::vector<size_t> values;
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == '=' || text[i] == '[' || (text[i] == ' ' && i && text[i - 1] != ','))
      values.push_back(i + 1);
  if (values.empty()) return text;
  const size_t begin = values[static_cast<size_t>(dice.below(static_cast<int64_t>(values.size())))];
  const size_t end = std::min(text.find_first_of(" ,]", begin), text.size());
  std::string value = std::to_string(dice.number());
  if (dice.one_in(2)) {
    constexpr const char* kWords[] = {"none", "true", "false", "f64",   "i32", "nan",
                                      "inf",  "-inf", "1e308", "stray", "0.5"};
    value = kWords[dice.below(11)];
    if (!types.empty() && dice.one_in(2))
      if (const Type& t = types[static_cast<size_t>(dice.below(static_cast<int64_t>(types.size())))];
          t.rank())
        value = t.dims[static_cast<int>(dice.below(t.rank()))].axis.str();
  }
  return text.substr(0, begin) + value + text.substr(end);
}

// What may be refused after infer accepted the call: an inner result larger than any memory or of nine axes,
// and a gradient that the op itself says it has not for these attributes.
bool may_be_refused(const OpDef& op, const Error& e) {
  const std::string what = e.what();
  return what.find("2^59") != std::string::npos || what.find("more than 8 axes") != std::string::npos ||
         (what.starts_with(std::string(op.name) + ":") && what.find("has no gradient") != std::string::npos);
}

void expand(const OpDef& op, const Attrs& attrs, const std::vector<Type>& types,
            const std::vector<Type>& results) {
  const ir::OpView view{&op, &attrs, types, results};
  ir::axis_rules(view);
  ir::count_flops(view);
  ir::Graph graph;
  Builder b(graph);
  Ids inputs, dresults;
  for (const Type& t : types) inputs.push_back(b.input("x", t));
  for (const Type& t : results) dresults.push_back(is_float(t.dtype) ? b.input("d", t) : ir::kNoValue);
  if (op.decompose) {
    const Ids out = op.decompose(b, view, inputs);
    ASSERT_EQ(out.size(), results.size());
    for (size_t i = 0; i < out.size(); ++i)
      EXPECT_EQ(to_string(b.type(out[i])), to_string(results[i])) << op.name;
  }
  const bool reached =
      std::any_of(dresults.begin(), dresults.end(), [](auto d) { return d != ir::kNoValue; });
  if (op.gradient && reached) {
    std::vector<uint8_t> wanted;
    for (const Type& t : types) wanted.push_back(is_float(t.dtype));
    const Ids values = b.emit(op, attrs, inputs);
    ir::GradContext g{b, view, inputs, values, dresults, wanted, Ids(inputs.size(), ir::kNoValue)};
    op.gradient(g);
    for (size_t i = 0; i < inputs.size(); ++i)
      if (wanted[i] && g.doperands[i] != ir::kNoValue) {
        EXPECT_EQ(to_string(b.type(g.doperands[i])), to_string(types[i])) << op.name << " operand " << i;
      }
  }
}

class HostileCalls : public ::testing::TestWithParam<const OpDef*> {};

TEST_P(HostileCalls, AreRefusedOrCarriedThrough) {
  const OpDef& op = *GetParam();
  const std::string name = std::string(op.name) + ":";
  std::vector<ir::Example> examples;
  op.examples(examples);
  int accepted = 0;
  for (size_t e = 0; e < examples.size(); ++e)
    for (uint64_t round = 0; round < 300; ++round) {
      Dice dice(stable_hash(op.name) + 1000 * e + round);
      std::vector<Type> types;
      for (const auto& operand : examples[e].operands) types.push_back(operand.type);
      const std::vector<Type> original = types;
      std::string text = op.attrs->print(examples[e].attrs);
      for (int64_t change = dice.below(3); change >= 0; --change) {
        if (types.empty() || dice.one_in(3))
          text = mutate_attrs(text, types, dice);
        else
          mutate_type(types[static_cast<size_t>(dice.below(static_cast<int64_t>(types.size())))], original,
                      dice);
      }
      if (!std::all_of(types.begin(), types.end(), legal)) continue;
      std::string call = "{" + text + "}";
      for (const Type& t : types) call += " " + to_string(t);
      SCOPED_TRACE(call);
      Attrs attrs;
      try {
        attrs = op.attrs->parse(text);
      } catch (const Error&) {
        continue;  // base/fields.h, tested in tests/ir
      }
      std::vector<Type> results;
      try {
        results = ir::infer_types(op, attrs, types);
      } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).substr(0, name.size()), name) << error.what();
        continue;
      }
      if (!std::all_of(results.begin(), results.end(), legal)) continue;  // verify refuses it
      ++accepted;
      try {
        expand(op, attrs, types, results);
      } catch (const Error& error) {
        EXPECT_TRUE(may_be_refused(op, error)) << op.name << " accepts the call, and then: " << error.what();
      }
    }
  EXPECT_GT(accepted, 0);
}

INSTANTIATE_TEST_SUITE_P(Ops, HostileCalls, ::testing::ValuesIn(ops::all_ops().begin(), ops::all_ops().end()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace hoist::testing
