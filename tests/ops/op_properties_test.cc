// The same properties for every op of the table and every example it names (row 3 of the requirements):
// nothing here knows an op by name. Collectives run in comm/ and are only printed, parsed and refused here.
#include <gtest/gtest.h>

#include "base/error.h"
#include "ops/gradients.h"
#include "ops/pieces.h"
#include "ops/summary.h"
#include "ops/table.h"

namespace hoist::testing {
namespace {

using ir::Attrs;
using ir::AxisKind;
using ir::AxisRule;
using ir::Example;
using ir::OpDef;
using ir::OpView;
using ir::Type;

std::vector<Example> examples_of(const OpDef& op) {
  std::vector<Example> out;
  if (op.examples) op.examples(out);
  return out;
}

class OpProperties : public ::testing::TestWithParam<const OpDef*> {
 protected:
  const OpDef& op() const { return *GetParam(); }
  void passed(std::string_view property, int n = 1) const { Summary::get().count(op().name, property, n); }
  void exclude(std::string_view property, const std::string& reason) const {
    Summary::get().exclude(property, op().name, reason);
  }
  template <class Check>
  void each(Check check) const {
    for (const Example& e : examples_of(op())) {
      SCOPED_TRACE("example: " + e.note);
      check(e, make_case(op(), e));
    }
  }
  bool runs() const { return !op().collective; }
};

TEST_P(OpProperties, IsComplete) {
  const std::string name(op().name);
  EXPECT_FALSE(examples_of(op()).empty()) << name << " has no example";
  EXPECT_TRUE(op().gradient || op().decompose || op().no_gradient)
      << name << " has no gradient and no reason";
  EXPECT_EQ(ops::find_op(op().name), &op());
  each([&](const Example&, const Case& c) {
    const auto operands = c.operand_types(), results = c.result_types();
    const OpView view{&op(), &c.attrs, operands, results};
    const bool primitive = runs() && !op().view && !op().decompose;
    EXPECT_TRUE(!primitive || ref().find(view)) << name << " is a primitive without a reference kernel";
    EXPECT_GE(ir::count_flops(view), 0);
    // Every dimension of every tensor belongs to a rule.
    const auto rules = ir::axis_rules(view);
    for (size_t i = 0; i < operands.size() + results.size(); ++i)
      for (int d = 0; d < (i < operands.size() ? operands[i] : results[i - operands.size()]).rank(); ++d) {
        bool covered = false;
        for (const AxisRule& r : rules)
          covered |= (i < operands.size() ? r.operand_dim[static_cast<int>(i)]
                                          : r.result_dim[static_cast<int>(i - operands.size())]) == d;
        EXPECT_TRUE(covered) << name << ": dimension " << d << " of tensor " << i << " has no rule";
      }
  });
}

TEST_P(OpProperties, PrintsAndParsesBack) {
  each([&](const Example&, const Case& c) {
    const ir::Graph graph = op_graph(c);
    const std::string text = ir::print(graph);
    const ir::Graph back = ir::parse(text, ops::find_op);
    EXPECT_EQ(ir::print(back), text);
    EXPECT_EQ(ir::hash(back), ir::hash(graph));
    ASSERT_EQ(back.nodes.size(), 1u);
    if (runs()) {
      ir::verify(back, ir::Stage::kGlobal);
      // Attributes survive, not only their text.
      const Tensors got = run_graph(back, c.operands, ref()), want = run_case(c, ref());
      const Tolerance strict = Tolerance::exact();
      for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(difference(got[i], want[i], &strict), "");
    }
    passed("round trip");
  });
}

// Ill-typed calls are the user's error: an Error that names the op, never an abort.
TEST_P(OpProperties, RefusesWhatDoesNotFit) {
  const std::string name(op().name);
  auto attempt = [&](const Attrs& attrs, const std::vector<Type>& types, const std::string& what) {
    try {
      ir::infer_types(op(), attrs, types);
      return false;
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).substr(0, name.size() + 1), name + ":") << what << ": " << e.what();
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument) << e.what();
      return true;
    }
  };
  each([&](const Example&, const Case& c) {
    const std::vector<Type> good = c.operand_types();
    int refused = 0;
    auto must = [&](std::vector<Type> types, const char* what) {
      const bool thrown = attempt(c.attrs, types, what);
      EXPECT_TRUE(thrown) << name << " accepts " << what;
      refused += thrown;
    };
    if (!good.empty()) must({}, "no operands");
    std::vector<Type> many(17, good.empty() ? Type(DType::f32, {}) : good[0]);
    must(many, "17 operands");
    for (size_t i = 0; i < good.size(); ++i) {
      auto changed = [&](auto change, const char* what) {
        std::vector<Type> types = good;
        change(types[i]);
        refused += attempt(c.attrs, types, what);
      };
      // Some ops take any element type or any axes: what counts is that a refusal is an Error.
      if (is_float(good[i].dtype)) changed([](Type& t) { t.dtype = DType::i8; }, "i8 for a float");
      if (!is_float(good[i].dtype)) changed([](Type& t) { t.dtype = DType::f64; }, "f64 for an integer");
      changed([](Type& t) { t.dims.clear(); }, "a scalar");
      changed(
          [](Type& t) {
            if (t.rank()) t.dims.pop_back();
          },
          "an axis less");
      changed(
          [](Type& t) {
            if (t.rank() < 8) t.dims.push_back({"stray", 3});
          },
          "an axis more");
      changed(
          [](Type& t) {
            while (t.rank() < 8) t.dims.insert(0, {Symbol("lead" + std::to_string(t.rank())), 1});
          },
          "eight axes");
      changed(
          [](Type& t) {
            if (t.rank()) t.dims[0].size += 1;
          },
          "another size");
      changed(
          [](Type& t) {
            if (t.rank()) t.dims.back().size = 0;
          },
          "an empty axis");
      changed(
          [](Type& t) {
            if (t.rank() && t.elements()) t.dims[0].size = ir::kMaxElements / (t.elements() / t.dims[0].size);
          },
          "a huge axis");
      changed(
          [](Type& t) {
            t.dims = {{"stray", 32}};
            t.format = "q8_0";
          },
          "a quantized tensor");
    }
    // Attributes of their own default, against these operands.
    refused += attempt(op().attrs->parse(""), good, "default attributes");
    passed("refusals", refused);
  });
}

TEST_P(OpProperties, GradientEqualsFiniteDifferences) {
  if (!runs()) return exclude("gradient", "runs over a mesh (tests/comm)");
  each([&](const Example& e, const Case& c) {
    const GradientReport report = check_gradient(c, e.gradient_skip);
    EXPECT_EQ(report.problem, "") << op().name;
    if (!report.skipped.empty()) exclude("gradient", report.skipped);
    for (const std::string& line : report.left_alone) exclude("gradient", "'" + e.note + "', " + line);
    if (report.comparisons) passed("gradient", report.comparisons);
  });
}

std::string kind_of(const AxisRule& rule, int result) {
  if (rule.phased) return "phased-merge";
  if (rule.window.taps > 0) return "window";
  if (rule.carry_operand >= 0) return "scan";
  std::string kind = ir::axis_kind_name(rule.result[result].kind);
  if (rule.result[result].monoid) kind += std::string("(") + rule.result[result].monoid->name + ")";
  return rule.indexed ? "indexed-" + kind : kind;
}

TEST_P(OpProperties, WholeEqualsPieces) {
  if (!runs()) return exclude("pieces", "runs over a mesh (tests/comm)");
  std::set<std::string> split, short_axes;
  each([&](const Example&, const Case& c) {
    const auto operands = c.operand_types(), results = c.result_types();
    const OpView view{&op(), &c.attrs, operands, results};
    for (const AxisRule& rule : ir::axis_rules(view)) {
      if (!rule.splittable()) {
        exclude("pieces", "axis " + rule.axis.str() + ": " + rule.why_whole);
        continue;
      }
      // A piece of a piece: set_base adds to the base that is there.
      if (rule.set_base) {
        Attrs once = c.attrs, twice = c.attrs;
        rule.set_base(once, 5);
        rule.set_base(twice, 2);
        rule.set_base(twice, 3);
        EXPECT_EQ(op().attrs->print(twice), op().attrs->print(once))
            << op().name << " axis " << rule.axis.str();
      }
      for (int pieces : {2, 3}) {
        const std::vector<int64_t> cuts = uneven_cuts(rule, pieces);
        if (cuts.empty()) {
          short_axes.insert(rule.axis.str());
          continue;
        }
        for (const kernels::KernelTable* table : test_tables()) {
          SCOPED_TRACE("axis " + rule.axis.str() + " in " + std::to_string(pieces) + " on " +
                       std::string(table->name));
          const Tensors whole = run_case(c, *table);
          std::string problem;
          const Tensors joined = run_pieces(c, rule, cuts, *table, &problem);
          EXPECT_EQ(problem, "") << op().name;
          for (size_t i = 0; i < whole.size(); ++i) {
            Summary::get().count_kind(kind_of(rule, static_cast<int>(i)));
            const bool exact = exact_in_pieces(rule, static_cast<int>(i));
            const Tolerance strict = Tolerance::exact();
            EXPECT_EQ(difference(joined[i], whole[i], exact ? &strict : nullptr), "")
                << op().name << " result " << i << " ("
                << ir::axis_kind_name(rule.result[static_cast<int>(i)].kind) << ")";
          }
          passed("pieces");
        }
        split.insert(rule.axis.str());
      }
    }
  });
  for (const std::string& axis : short_axes)
    EXPECT_TRUE(split.count(axis)) << op().name << ": no example is long enough to split axis " << axis;
}

// Where keys are bytes, backends may take queries as 16-bit integers too (kernels/cpu/attention_bytes.inc).
const Tolerance* backend_tolerance(const Case& c) {
  static const Tolerance bytes{2e-4};  // 2^-16 of a score, and scores reach 12 here
  for (const Type& t : c.operand_types())
    if (t.dtype == DType::i8) return &bytes;
  return nullptr;
}

TEST_P(OpProperties, BackendsEqualDecomposition) {
  if (!runs()) return exclude("backends", "runs over a mesh (tests/comm)");
  each([&](const Example&, const Case& c) {
    const Tensors want = run_decomposed(c);
    for (const kernels::KernelTable* table : test_tables()) {
      SCOPED_TRACE(std::string(table->name));
      const Tensors got = run_case(c, *table);
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < got.size(); ++i)
        EXPECT_EQ(difference(got[i], want[i], backend_tolerance(c)), "") << op().name << " result " << i;
      passed("backends");
    }
    for (DType narrow : {DType::bf16, DType::f16}) {
      const auto half = with_floats(c, narrow);
      if (!half) {
        exclude("16-bit", "takes no 16-bit floats");
        continue;
      }
      // The oracle computes in f32 on the rounded operands and rounds once at the end.
      const auto wide = with_floats(half->c, DType::f32);
      ASSERT_TRUE(wide);
      const Tensors exact = run_decomposed(wide->c);
      for (const kernels::KernelTable* table : test_tables()) {
        SCOPED_TRACE(std::string(table->name) + " " + std::string(dtype_name(narrow)));
        const Tensors got = run_case(half->c, *table);
        const Tolerance tolerance = Tolerance::of(narrow);
        for (size_t i = 0; i < got.size(); ++i) {
          const DType d = got[i].type.dtype;
          EXPECT_EQ(difference(got[i], convert(exact[i], d), is_float(d) ? &tolerance : nullptr), "")
              << op().name << " result " << i;
        }
        passed("16-bit");
      }
    }
  });
}

// The example with one axis of another size, wherever an operand has it; nullopt when the op (or its
// attributes) asks for the old one.
std::optional<Example> resized(const OpDef& op, const Example& example, const AxisRule& rule, int64_t size) {
  Example e = example;
  for (size_t i = 0; i < e.operands.size(); ++i) {
    const int dim = rule.operand_dim[static_cast<int>(i)];
    if (dim < 0) continue;
    ir::Dim& d = e.operands[i].type.dims[dim];
    if (d.size != rule.extent || !(d.axis == rule.axis)) return std::nullopt;
    d.size = size;
  }
  if (rule.set_extent) rule.set_extent(e.attrs, size);
  std::vector<Type> types;
  for (const auto& operand : e.operands) types.push_back(operand.type);
  try {
    ir::infer_types(op, e.attrs, types);
  } catch (const Error&) {
    return std::nullopt;
  }
  return e;
}

// Vectors have tails and matrices have tiles: every axis in turn empty, single, and longer than a register.
TEST_P(OpProperties, BackendsAgreeAtOtherSizes) {
  if (!runs()) return exclude("sizes", "runs over a mesh (tests/comm)");
  each([&](const Example& e, const Case& small) {
    const auto operands = small.operand_types(), results = small.result_types();
    for (const AxisRule& rule : ir::axis_rules({&op(), &small.attrs, operands, results}))
      for (int64_t size : {0, 1, 67}) {
        const auto changed = resized(op(), e, rule, size);
        if (!changed) continue;
        SCOPED_TRACE("axis " + rule.axis.str() + " of " + std::to_string(size));
        const Case c = make_case(op(), *changed);
        const Tensors want = run_decomposed(c);
        for (const kernels::KernelTable* table : test_tables()) {
          SCOPED_TRACE(std::string(table->name));
          const Tensors got = run_case(c, *table);
          for (size_t i = 0; i < got.size(); ++i)
            EXPECT_EQ(difference(got[i], want[i], backend_tolerance(c)), "") << op().name << " result " << i;
          passed("sizes");
        }
      }
  });
}

// Marks an axis live wherever it is outermost; nullopt when it stands further in somewhere, or the op
// refuses.
std::optional<Case> with_live(const Case& c, ir::Axis axis) {
  Case live = c;
  for (HostTensor& t : live.operands) {
    const int i = t.type.find(axis);
    if (i > 0) return std::nullopt;
    if (i == 0) t.type.dims[0].live = true;
  }
  try {
    for (const Type& t : live.result_types())
      for (int i = 1; i < t.rank(); ++i)
        if (t.dims[i].live) return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
  return live;
}

HostTensor prefix(const HostTensor& t, int64_t length) { return slice(t, 0, 0, length); }

TEST_P(OpProperties, LiveAxesStopAtTheirLength) {
  if (!runs()) return exclude("live", "runs over a mesh (tests/comm)");
  each([&](const Example&, const Case& c) {
    std::set<std::string> seen;
    for (const HostTensor& t : c.operands) {
      if (t.type.rank() == 0 || !seen.insert(t.type.dims[0].axis.str()).second) continue;
      const ir::Axis axis = t.type.dims[0].axis;
      const auto live = with_live(c, axis);
      if (!live) continue;
      const int64_t capacity = t.type.dims[0].size;
      for (int64_t length : {capacity / 2, capacity - 1, int64_t{0}}) {
        if (length < 0) continue;
        Case cut = c;
        bool legal = true;
        for (HostTensor& operand : cut.operands)
          if (operand.type.has(axis)) operand = prefix(operand, length);
        Tensors want;
        for (const kernels::KernelTable* table : test_tables()) {
          SCOPED_TRACE("axis " + axis.str() + " " + std::to_string(length) + " of " +
                       std::to_string(capacity) + " on " + std::string(table->name));
          const Tensors got = run_case(*live, *table, {{axis, length}});
          try {
            cut.result_types();
          } catch (const Error&) {
            legal = false;
            break;
          }
          want = run_case(cut, *table);
          for (size_t i = 0; i < got.size(); ++i) {
            const Type& type = got[i].type;
            const HostTensor part =
                type.rank() && type.dims[0].live ? prefix(got[i], want[i].type.dims[0].size) : got[i];
            const Tolerance strict = Tolerance::exact();
            EXPECT_EQ(difference(part, want[i], &strict), "") << op().name << " result " << i;
          }
          passed("live");
        }
        if (!legal) break;
      }
    }
  });
}

// Result 0 may overwrite any operand of its size.
TEST_P(OpProperties, ElementwiseResultMayOverwriteAnOperand) {
  if (!op().elementwise) return;
  each([&](const Example&, const Case& c) {
    const auto operands = c.operand_types(), results = c.result_types();
    const OpView view{&op(), &c.attrs, operands, results};
    for (const kernels::KernelTable* table : test_tables()) {
      SCOPED_TRACE(std::string(table->name));
      const kernels::Kernel* kernel = table->find(view);
      if (!kernel) continue;  // decomposed for this backend
      const Tensors want = run_case(c, *table);
      for (size_t i = 0; i < operands.size(); ++i) {
        if (operands[i].bytes() != results[0].bytes()) continue;
        Tensors in = c.operands, out;
        for (const Type& t : results) out.emplace_back(t);
        auto view_of = [](HostTensor& t) {
          kernels::TensorView v{t.data.data(), t.type.dtype, {}};
          for (const ir::Dim& d : t.type.dims) v.dims.push_back(d.size);
          return v;
        };
        std::vector<kernels::TensorView> x, y;
        for (HostTensor& t : in) x.push_back(view_of(t));
        for (HostTensor& t : out) y.push_back(view_of(t));
        y[0].data = x[i].data;
        runtime::run_kernel(*kernel, view, x, y, test_pool());
        out[0].data = in[i].data;
        const Tolerance strict = Tolerance::exact();
        EXPECT_EQ(difference(out[0], want[0], &strict), "") << op().name << " over operand " << i;
        passed("alias");
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Ops, OpProperties, ::testing::ValuesIn(ops::all_ops().begin(), ops::all_ops().end()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace hoist::testing
