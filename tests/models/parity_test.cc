// Parity with an independent implementation: logits, loss and the gradient of every parameter of tiny random
// models, against fixtures that scripts/make_parity_fixtures.py made with transformers on PyTorch. On every
// backend.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <map>

#include "decode/model.h"
#include "passes/autodiff.h"
#include "plan/build.h"
#include "runtime/executor.h"

namespace hoist {
namespace {

constexpr double kLogitBar = 1e-5, kGradientBar = 1e-4;

struct Measured {
  double logits = 0, loss = 0, worst_gradient = 0;
  std::string worst_name;
};

double norm(const std::vector<float>& x) {
  double s = 0;
  for (float v : x) s += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(s);
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double s = 0;
  for (size_t i = 0; i < a.size(); ++i)
    s += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  return std::sqrt(s);
}

std::vector<float> read_f32(const io::SafetensorsFile& file, const std::string& name) {
  const io::TensorInfo* t = file.find(name);
  if (!t) {
    ADD_FAILURE() << "fixture has no tensor " << name;
    return {};
  }
  std::vector<float> out(static_cast<size_t>(t->elements()));
  file.read_as(*t, DType::f32, out.data(), 0, t->elements());
  return out;
}

std::vector<float> floats(const kernels::TensorView& v) {
  const float* p = v.as<const float>();
  return {p, p + v.elements()};
}

Measured measure(const std::string& folder, const kernels::KernelTable& table) {
  io::ModelConfig config = io::load_model_config(folder);
  io::CheckpointFiles files(folder);
  io::SafetensorsFile expected(folder + "/expected.safetensors");
  const io::TensorInfo* ids_info = expected.find("input_ids");
  std::vector<int64_t> ids64(static_cast<size_t>(ids_info->elements()));
  expected.read(*ids_info, ids64.data());
  models::TrainShape shape;
  shape.batch = ids_info->shape[0];
  shape.seq = ids_info->shape[1];
  std::vector<int32_t> ids(ids64.begin(), ids64.end()), targets(ids.size(), -1);
  for (size_t i = 0; i + 1 < ids.size(); ++i)
    if ((i + 1) % static_cast<size_t>(shape.seq) != 0) targets[i] = ids[i + 1];

  ir::Graph graph = passes::autodiff(models::train_graph(config, shape, true), "loss_sum");
  plan::BuildOptions options;
  options.compile.threads = 2;
  plan::Built built = plan::build(graph, table, options);
  ThreadPoolOptions pool_options;
  pool_options.threads = 2;
  ThreadPool pool(pool_options);
  auto device = device::make_cpu_device();
  runtime::StateStore states(*device);
  runtime::Executor executor(built.plan, {*device, pool, states});
  std::vector<models::Parameter> parameters = models::parameters(config, DType::f32, DType::f32);
  decode::load_weights(config, files, parameters,
                       [&](const models::Parameter& p) { return states.data(p.name); });
  executor.bind_input("ids", ids.data());
  executor.bind_input("targets", targets.data());
  executor.run();

  Measured m;
  std::vector<float> logits = read_f32(expected, "logits"), loss = read_f32(expected, "loss");
  m.logits = difference(floats(executor.output("logits")), logits) / norm(logits);
  float weight = *executor.output("weight_sum").as<const float>();
  m.loss = std::abs(static_cast<double>(*executor.output("loss_sum").as<const float>() / weight) -
                    static_cast<double>(loss[0]));

  // Parameters that are parts of one checkpoint tensor are joined along its last dimension, or its first.
  std::map<std::string, std::vector<float>> gradients;
  for (const models::Parameter& p : parameters) {
    std::vector<float> g = floats(executor.output(passes::grad_name(p.name)));
    int64_t whole = 1;
    for (int64_t n : p.shape) whole *= n;
    for (size_t e = 0; e < p.stack.size(); ++e)
      for (int64_t i = 0; i < whole; ++i)
        gradients[p.stack[e]].push_back(g[e * static_cast<size_t>(whole) + static_cast<size_t>(i)] / weight);
    if (!p.stack.empty()) continue;
    std::vector<float>& to = gradients[p.tensor];
    to.resize(static_cast<size_t>(whole));
    if (p.rows) {
      for (size_t i = 0; i < g.size(); ++i)
        to[static_cast<size_t>(p.offset * p.shape[1]) + i] = g[i] / weight;
      continue;
    }
    const int64_t total = p.shape.back(), rows = whole / total, width = static_cast<int64_t>(g.size()) / rows;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < width; ++i)
        to[static_cast<size_t>(r * total + p.offset + i)] = g[static_cast<size_t>(r * width + i)] / weight;
  }
  double global = 0;
  size_t compared = 0;
  for (const io::TensorInfo& t : expected.tensors())
    if (t.name.starts_with("grad.")) global += std::pow(norm(read_f32(expected, t.name)), 2);
  global = std::sqrt(global);
  for (const io::TensorInfo& t : expected.tensors()) {
    if (!t.name.starts_with("grad.")) continue;
    std::vector<float> want = read_f32(expected, t.name);
    auto it = gradients.find(t.name.substr(5));
    if (it == gradients.end()) {
      ADD_FAILURE() << "we have no parameter " << t.name.substr(5);
      continue;
    }
    ++compared;
    double error = difference(it->second, want) / std::max(norm(want), 1e-6 * global);
    if (error > m.worst_gradient) {
      m.worst_gradient = error;
      m.worst_name = t.name;
    }
  }
  if (global > 0) {  // else the fixture has logits only
    EXPECT_EQ(compared, gradients.size()) << "every parameter has an expected gradient";
  }
  return m;
}

class Parity : public testing::TestWithParam<const char*> {};

TEST_P(Parity, LogitsLossAndEveryGradient) {
  const std::string folder = std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/parity/" + GetParam();
  std::vector<const kernels::KernelTable*> tables{&kernels::ref_table()};
  for (kernels::Isa isa :
       {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512, kernels::Isa::kAvx512Dot})
    if (kernels::isa_available(isa)) tables.push_back(&kernels::cpu_table(isa));
  for (const kernels::KernelTable* table : tables) {
    Measured m = measure(folder, *table);
    std::printf("parity %-12s %-10s logits %.1e  loss %.1e  worst gradient %.1e (%s)\n", GetParam(),
                std::string(table->name).c_str(), m.logits, m.loss, m.worst_gradient, m.worst_name.c_str());
    EXPECT_LE(m.logits, kLogitBar) << table->name;
    EXPECT_LE(m.worst_gradient, kGradientBar) << table->name << " " << m.worst_name;
    EXPECT_LE(m.loss, 1e-5) << table->name;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Parity,
                         testing::Values("gpt2", "llama2", "llama3", "llama3_tied", "qwen2", "qwen3",
                                         "mistral", "smollm3", "phi3", "phi3_short", "gemma2", "gemma3",
                                         "mixtral", "qwen2_moe", "qwen3_moe", "llama_dynamic"));

}  // namespace
}  // namespace hoist
