// Every optimizer against PyTorch (fixtures of scripts/make_optimizer_fixtures.py), and what holds for all.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "io/files.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/tensors.h"
#include "passes/add_optimizer.h"
#include "passes/autodiff.h"
#include "plan/programs.h"
#include "support/json.h"

namespace hoist::testing {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Role;
using ir::Type;
using passes::Optimizer;
using passes::OptimizerSpec;
using passes::StateStorage;
using support::Json;

// The numbers of the fixtures' formula.
HostTensor numbers(const Type& type, int64_t salt, int64_t step = 0) {
  HostTensor t(type);
  for (int64_t i = 0; i < type.elements(); ++i)
    set(t, i,
        static_cast<double>(static_cast<float>(
            (static_cast<double>((i * 7919 + step * 104729 + salt * 1299709) % 2003) - 1001) / 1001)));
  return t;
}

// A matrix and a vector whose gradients are inputs.
struct Problem {
  Graph graph;
  Bindings states;
  Type matrix, vector;

  Problem(const OptimizerSpec& asked, int64_t rows, int64_t cols, DType dtype = DType::f32)
      : matrix(dtype, {{"m", rows}, {"n", cols}}), vector(dtype, {{"n", cols}}) {
    OptimizerSpec spec = asked;
    spec.groups = {{"matrix", 0, 0.1, 1.0, {"n"}, {}, true}, {"vector", 0, 0.0, 1.0}};
    spec.clip = 0;
    Builder b(graph);
    auto gm = b.input("grad_matrix", matrix.with_dtype(DType::f32)),
         gv = b.input("grad_vector", vector.with_dtype(DType::f32));
    auto m = b.state("matrix", matrix, Role::kParameter, true),
         v = b.state("vector", vector, Role::kParameter, true);
    auto dot = [&](auto x, auto g, const AxisList& axes) {
      return ops::reduce_sum(b, ops::mul(b, ops::cast(b, x, DType::f32), g), axes);
    };
    b.output("loss_sum", ops::add(b, dot(m, gm, {"m", "n"}), dot(v, gv, {"n"})));
    b.output("weight_sum", b.input("tokens", Type(DType::f32, {})));
    Graph g = spec.scale_growth > 0 ? passes::autodiff(passes::scale_loss(graph), "scaled_loss")
                                    : passes::autodiff(graph, "loss_sum");
    graph = passes::add_optimizer(g, spec);
    for (const ir::State& s : graph.states) {
      HostTensor t(graph.type(s.value));
      const bool wide = s.name.starts_with("master.") || s.name.starts_with("ema.");
      if (s.name.ends_with("matrix") && (wide || s.role == Role::kParameter)) t = numbers(t.type, 1);
      if (s.name.ends_with("vector") && (wide || s.role == Role::kParameter)) t = numbers(t.type, 2);
      if (s.name == passes::kLossScaleState) set(t, 0, passes::kFirstLossScale);
      states.emplace(s.name, t);
    }
  }
  Bindings inputs(int64_t step, double lr) const {
    Bindings in;
    in.emplace("grad_matrix", numbers(matrix.with_dtype(DType::f32), 3, step));
    in.emplace("grad_vector", numbers(vector.with_dtype(DType::f32), 4, step));
    for (auto [name, x] : {std::pair("tokens", 1.0), {"lr", lr}, {"step", static_cast<double>(step + 1)}}) {
      HostTensor t(Type(DType::f32, {}));
      set(t, 0, x);
      in.emplace(name, t);
    }
    return in;
  }
  Ran step(int64_t step, double lr, int threads = 1, const kernels::KernelTable& table = cpu()) {
    RunOptions options;
    plan::CompileOptions compile;  // workspaces are made for so many threads
    compile.threads = options.threads = threads;
    Ran ran = run_plan(build_plan(graph, compile, table).plan, inputs(step, lr), states, options);
    states = ran.states;
    return ran;
  }
};

OptimizerSpec spec_of(Optimizer kind) {
  OptimizerSpec spec;
  spec.kind = kind;
  spec.beta1 = 0.9;
  spec.beta2 = 0.99;
  spec.eps = kind == Optimizer::kLamb ? 1e-6 : 1e-8;
  spec.momentum = kind == Optimizer::kMuon ? 0.95 : 0.9;
  spec.nesterov = kind == Optimizer::kMuon;
  return spec;
}

constexpr Optimizer kAll[] = {Optimizer::kAdamw, Optimizer::kSgd,       Optimizer::kLion,
                              Optimizer::kLamb,  Optimizer::kAdafactor, Optimizer::kMuon};

const Json& fixtures() {
  static const Json json = Json::parse(
      io::read_file(std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/optimizers/steps.json", 1 << 20));
  return json;
}

// Largest difference of every `every`-th element, relative to the largest value.
double worst(const HostTensor& got, const Json& want, int64_t every = 1) {
  double most = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double x = want[i].get<double>();
    norm = std::max(norm, std::abs(x));
    most = std::max(most, std::abs(get(got, static_cast<int64_t>(i) * every) - x));
  }
  return most / norm;
}

TEST(OptimizerSteps, AgreeWithPyTorch) {
  const int64_t rows = fixtures()["rows"].get<int64_t>(), cols = fixtures()["cols"].get<int64_t>(),
                steps = fixtures()["steps"].get<int64_t>();
  struct Named {
    const char* name;
    OptimizerSpec spec;
    double lr = 0, tolerance = 1e-5;
  };
  const double lr = fixtures()["lr"].get<double>();
  std::vector<Named> list = {{"adamw", spec_of(Optimizer::kAdamw)},
                             {"sgd", spec_of(Optimizer::kSgd)},
                             {"sgd_nesterov", spec_of(Optimizer::kSgd)},
                             {"sgd_plain", spec_of(Optimizer::kSgd)},
                             {"lion", spec_of(Optimizer::kLion)},
                             {"lamb", spec_of(Optimizer::kLamb)},
                             {"adafactor", spec_of(Optimizer::kAdafactor)},
                             {"adafactor_large_lr", spec_of(Optimizer::kAdafactor), 0.9},
                             {"muon_rms", spec_of(Optimizer::kMuon)},
                             {"muon_plain", spec_of(Optimizer::kMuon)},
                             {"ema", spec_of(Optimizer::kAdamw)},
                             // A moment on the edge between two 16-bit numbers may fall either way.
                             {"adamw_bf16", spec_of(Optimizer::kAdamw), 0, 2e-4}};
  for (Named& n : list) {
    const std::string name = n.name;
    SCOPED_TRACE(name);
    n.spec.nesterov |= name == "sgd_nesterov";
    if (name == "sgd_plain") n.spec.momentum = 0;
    n.spec.muon_plain = name == "muon_plain";
    if (name == "ema") n.spec.ema = 0.8;
    if (name == "adamw_bf16") n.spec.states = StateStorage::kBf16;
    for (const kernels::KernelTable* table : {&kernels::ref_table(), &cpu()}) {
      Problem p(n.spec, rows, cols);
      for (int64_t s = 0; s < steps; ++s)
        EXPECT_EQ(get(p.step(s, n.lr > 0 ? n.lr : lr, 1, *table).outputs.at("ok"), 0), 1);
      const Json& want = fixtures()["cases"][name.c_str()];
      const std::string prefix = name == "ema" ? "ema." : "";
      EXPECT_LE(worst(p.states.at(prefix + "matrix"), want[0]), n.tolerance);
      EXPECT_LE(worst(p.states.at(prefix + "vector"), want[1]), n.tolerance);
    }
  }
}

TEST(OptimizerSteps, EightBitStatesStayNearTheirReferenceAndThatOf32) {
  OptimizerSpec spec = spec_of(Optimizer::kAdamw);
  spec.states = StateStorage::k8bit;
  Problem p(spec, fixtures()["big_rows"].get<int64_t>(), fixtures()["big_cols"].get<int64_t>());
  EXPECT_EQ(p.states.at("adam_m.matrix").type.dtype, DType::u8);
  EXPECT_EQ(p.states.at("adam_v.vector").type.dtype, DType::f32) << "small parameters keep f32";
  for (int64_t s = 0; s < fixtures()["steps"].get<int64_t>(); ++s) p.step(s, fixtures()["lr"].get<double>());
  const int64_t every = fixtures()["every"].get<int64_t>();
  const Json& cases = fixtures()["cases"];
  const double to_reference = worst(p.states.at("matrix"), cases["adamw_8bit"][0], every),
               to_f32 = worst(p.states.at("matrix"), cases["adamw_8bit_of_f32"][0], every);
  std::printf("8-bit states: largest difference from the reference %.1e, from 32-bit states %.1e\n",
              to_reference, to_f32);
  // On a tie the reference, in f64, may take the other neighbour.
  EXPECT_LE(to_reference, 2e-3);
  EXPECT_LE(to_f32, 5e-3);
  EXPECT_LE(worst(p.states.at("vector"), cases["adamw_8bit"][1], every), 1e-5);
}

// Bits depend on no number of threads, for every optimizer and storage.
TEST(OptimizerSteps, ThreadsChangeNoBit) {
  for (Optimizer kind : kAll)
    for (StateStorage storage : {StateStorage::kF32, StateStorage::kBf16, StateStorage::k8bit})
      for (DType dtype : {DType::f32, DType::bf16}) {
        SCOPED_TRACE(std::to_string(static_cast<int>(kind)) + " states " +
                     std::to_string(static_cast<int>(storage)));
        OptimizerSpec spec = spec_of(kind);
        spec.states = storage;
        spec.ema = 0.9;
        Problem one(spec, 40, 300, dtype), three(spec, 40, 300, dtype);
        for (int64_t s = 0; s < 3; ++s) {
          one.step(s, 0.01, 1);
          three.step(s, 0.01, 3);
        }
        for (const auto& [name, t] : one.states) EXPECT_TRUE(t.data == three.states.at(name).data) << name;
      }
}

TEST(OptimizerSteps, AGradientThatIsNotFiniteChangesNoBit) {
  for (Optimizer kind : kAll)
    for (StateStorage storage : {StateStorage::kF32, StateStorage::kBf16, StateStorage::k8bit})
      for (float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        OptimizerSpec spec = spec_of(kind);
        spec.states = storage;
        spec.ema = 0.9;
        Problem p(spec, 20, 300, DType::bf16);
        p.step(0, 0.01);  // states that are not zero
        Bindings in = p.inputs(1, 0.01);
        set(in.at("grad_matrix"), 77, bad);
        const Ran ran = run_plan(build_plan(p.graph).plan, in, p.states);
        EXPECT_EQ(get(ran.outputs.at("ok"), 0), 0);
        for (const auto& [name, t] : ran.states) EXPECT_TRUE(t.data == p.states.at(name).data) << name;
      }
}

// Split by rows, by columns, and by both: whole-tensor norms and factors merge.
passes::Strategy split_by(const char* axis) {
  passes::Strategy strategy;
  strategy.mesh = {{"tensor", 2}};
  strategy.rules.push_back({axis, "tensor"});
  return strategy;
}

TEST(OptimizerSteps, RanksStepLikeOne) {
  for (Optimizer kind : kAll)
    for (StateStorage storage : {StateStorage::kF32, StateStorage::k8bit})
      for (const char* axis : {"m", "n"})
        for (int64_t cols : {512, 400}) {  // blocks that ranks share, and blocks that none may cut
          OptimizerSpec spec = spec_of(kind);
          spec.states = storage;
          Problem p(spec, 12, cols);
          SCOPED_TRACE(std::string(axis) + " of optimizer " + std::to_string(static_cast<int>(kind)) + ", " +
                       std::to_string(cols) + " columns");
          p.step(0, 0.01);
          const Bindings in = p.inputs(1, 0.01);
          const Ran want = run_plan(build_plan(p.graph).plan, in, p.states),
                    got = run_ranks(p.graph, split_by(axis), in, p.states);
          for (const auto& [name, t] : want.states) {
            if (t.type.dtype == DType::u8) continue;  // a rounding apart, codes may be one apart
            const Tolerance near{2e-5};
            EXPECT_EQ(difference(got.states.at(name), t, &near), "") << name;
          }
        }
}

TEST(OptimizerSteps, BlocksThatRanksWouldShareAreRefused) {
  OptimizerSpec spec = spec_of(Optimizer::kAdamw);
  spec.states = StateStorage::k8bit;
  Problem p(spec, 12, 768);
  EXPECT_EQ(
      error_of([&] { run_ranks(p.graph, split_by("n"), p.inputs(0, 0.01), p.states); }),
      "partition: axis n of 'adam_m.matrix.scale' has size 3, which does not divide by the 2 ranks of mesh "
      "dimension tensor");
}

TEST(OptimizerSteps, LossScaleHalvesWhenStepsOverflowAndDoublesAfterward) {
  OptimizerSpec spec = spec_of(Optimizer::kAdamw);
  spec.scale_growth = 3;
  Problem scaled(spec, 6, 5);
  spec.scale_growth = 0;
  Problem plain(spec, 6, 5);
  double scale = passes::kFirstLossScale;
  int good = 0;
  for (int64_t s = 0; s < 12; ++s) {
    const bool overflow = s == 2 || s == 3 || s == 9;
    Bindings in = scaled.inputs(s, 0.01);
    if (overflow) set(in.at("grad_vector"), 1, 1e38);
    const Ran ran = run_plan(build_plan(scaled.graph).plan, in, scaled.states);
    EXPECT_EQ(get(ran.outputs.at("ok"), 0), overflow ? 0 : 1);
    scaled.states = ran.states;
    if (!overflow) {
      const Ran want = run_plan(build_plan(plain.graph).plan, in, plain.states);
      plain.states = want.states;
      // A power of two changes no bit of what is divided by it again.
      EXPECT_EQ(get(ran.outputs.at("grad_norm"), 0), get(want.outputs.at("grad_norm"), 0));
    }
    good = overflow ? 0 : good + 1;
    scale *= overflow ? 0.5 : good == 3 ? 2 : 1;
    if (good == 3) good = 0;
    EXPECT_EQ(get(scaled.states.at(passes::kLossScaleState), 0), scale) << s;
    EXPECT_EQ(get(scaled.states.at(passes::kGoodStepsState), 0), good) << s;
  }
  for (const auto& [name, t] : plain.states) EXPECT_TRUE(t.data == scaled.states.at(name).data) << name;
}

TEST(OptimizerSteps, AveragesStandInForWeights) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Graph model = models::train_graph(tiny_config(io::Family::kLlama), {2, 4, dtype});
    const Graph averaged = passes::with_averages(model);
    const Bindings in = draw_inputs(model, 1), weights = draw_states(model, 2);
    Bindings averages;
    for (const auto& [name, t] : weights) averages.emplace(passes::ema_name(name), convert(t, DType::f32));
    const Ran want = run_plan(build_plan(model).plan, in, weights),
              got = run_plan(build_plan(averaged).plan, in, averages);
    expect_equal_values(got.outputs, want.outputs);
  }
}

TEST(OptimizerSteps, NamesAreKnown) {
  for (const char* name : {"adamw", "sgd", "lion", "lamb", "adafactor", "muon"})
    passes::parse_optimizer(name);
  EXPECT_EQ(error_of([] { passes::parse_optimizer("adam"); }),
            "optimizer: found 'adam', expected one of adamw, sgd, lion, lamb, adafactor, muon");
}

}  // namespace
}  // namespace hoist::testing
