// LoRA adapters: the same as merging them into the weights, each for its own sequences of a batch.
#include "decode/adapter.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "engine_session.h"

namespace hoist::decode {
namespace {

namespace fs = std::filesystem;

struct Matrix {
  std::string tensor;  // without ".weight"
  int64_t in, out;
};

// The matrices of a fixture by their tensors, cut ones put together.
std::vector<Matrix> matrices(const Model& m) {
  std::map<std::string, Matrix> found;
  for (const auto& t :
       models::adapter_targets(models::parameters(m.config, DType::f32, DType::f32), {1, 4})) {
    Matrix& x = found[t.tensor];
    x.tensor = t.tensor.substr(0, t.tensor.size() - 7);
    x.in = t.in;
    x.out = std::max(x.out, t.first_row + t.out);
  }
  std::vector<Matrix> out;
  for (auto& [name, x] : found) out.push_back(x);
  return out;
}

void write_safetensors(
    const std::string& path,
    const std::vector<std::pair<std::string, std::pair<std::vector<int64_t>, std::vector<float>>>>& tensors) {
  std::string header = "{", data;
  for (const auto& [name, t] : tensors) {
    if (header.size() > 1) header += ",";
    header += "\"" + name + "\":{\"dtype\":\"F32\",\"shape\":[" + std::to_string(t.first[0]) + "," +
              std::to_string(t.first[1]) + "],\"data_offsets\":[" + std::to_string(data.size()) + ",";
    data.append(reinterpret_cast<const char*>(t.second.data()), 4 * t.second.size());
    header += std::to_string(data.size()) + "]}";
  }
  header += "}";
  while (header.size() % 8) header += ' ';
  const uint64_t size = header.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&size), 8);
  file << header << data;
}

using Pairs = std::map<std::string, std::pair<std::vector<float>, std::vector<float>>>;

class Adapters : public testing::Test {
 protected:
  Adapters() : folder_((fs::temp_directory_path() / ("hoist_lora_" + std::to_string(::getpid()))).string()) {
    fs::remove_all(folder_);
  }
  ~Adapters() override { fs::remove_all(folder_); }

  // A random adapter of some matrices, as a PEFT folder; returns its numbers.
  Pairs write(const Model& m, const std::string& name, int64_t rank, unsigned seed,
              const std::string& more = "") {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 0.2f);
    Pairs pairs;
    std::vector<std::pair<std::string, std::pair<std::vector<int64_t>, std::vector<float>>>> tensors;
    for (const Matrix& x : matrices(m)) {
      if (random() % 4 == 0) continue;
      auto& [a, b] = pairs[x.tensor + ".weight"];
      for (int64_t i = 0; i < rank * x.in; ++i) a.push_back(normal(random));
      for (int64_t i = 0; i < rank * x.out; ++i) b.push_back(normal(random));
      tensors.push_back({"base_model.model." + x.tensor + ".lora_A.weight", {{rank, x.in}, a}});
      tensors.push_back({"base_model.model." + x.tensor + ".lora_B.weight", {{x.out, rank}, b}});
    }
    fs::create_directories(path(name));
    std::ofstream(path(name) + "/adapter_config.json")
        << "{\"peft_type\": \"LORA\", \"r\": " << rank << ", \"lora_alpha\": " << 2 * rank << more << "}";
    write_safetensors(path(name) + "/adapter_model.safetensors", tensors);
    return pairs;
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_;
};

// The model with an adapter merged into its weights, in double precision.
Model merged(const Model& base, const Pairs& pairs, int64_t rank) {
  Model m;
  m.name = "merged";
  m.config = base.config;
  m.drawn_dtype = DType::f32;
  m.draw = [&base, pairs, rank](const models::Parameter& p, std::byte* to) {
    load_weights(
        base.config, *base.files, {p}, [&](const models::Parameter&) { return to; }, true);
    const auto found = pairs.find(p.tensor);
    if (found == pairs.end()) return;
    const auto& [a, b] = found->second;
    const models::AdapterTarget t = models::adapter_targets({p}, {1, rank})[0];
    float* w = reinterpret_cast<float*>(to);
    const bool in_first = p.inputs.contains(p.stored.dims[0].axis);  // GPT-2's matrices are transposed
    for (int64_t o = 0; o < t.out; ++o)
      for (int64_t i = 0; i < t.in; ++i) {
        double sum = 0;
        for (int64_t r = 0; r < rank; ++r)
          sum += static_cast<double>(b[static_cast<size_t>((t.first_row + o) * rank + r)]) *
                 static_cast<double>(a[static_cast<size_t>(r * t.in + i)]);
        float& v = w[in_first ? i * t.out + o : o * t.in + i];
        v = static_cast<float>(static_cast<double>(v) + 2 * sum);
      }
  };
  return m;
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0, scale = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    scale = std::max(scale, std::abs(static_cast<double>(b[i])));
  }
  return worst / scale;
}

TEST_F(Adapters, EqualTheMergedModel) {
  for (const char* name : {"llama3", "qwen2", "gpt2"}) {
    const Model m = fixture(name);
    EngineOptions o = small(8, 32, 512);
    o.adapters = {3, 8};
    Session r(m, o);
    std::vector<Pairs> pairs;
    const int64_t ranks[] = {4, 8, 1};
    for (int64_t slot = 0; slot < 3; ++slot) {
      const std::string at = name + std::to_string(slot);
      pairs.push_back(write(m, at, ranks[slot], static_cast<unsigned>(slot) + 1));
      r.engine.set_adapter(slot, r.engine.load_adapter(path(at)).get());
    }
    // All adapters and none in the same steps.
    std::mt19937 random(4);
    const Tokens prompt = some(random, 21, m.config.vocab);
    std::map<int64_t, uint64_t> ids;
    for (int64_t slot = -1; slot < 3; ++slot) ids[slot] = r.add(prompt, 1, 0, {}, slot);
    r.finish();
    const Said plain = Alone(m, small(1, 32, 32)).say(prompt, 1);
    EXPECT_LT(difference(r.said[ids[-1]]->logits, plain.logits), 1e-6) << name;
    for (int64_t slot = 0; slot < 3; ++slot) {
      const Model whole = merged(m, pairs[static_cast<size_t>(slot)], ranks[slot]);
      const Said want = Alone(whole, small(1, 32, 32)).say(prompt, 1);
      EXPECT_LT(difference(r.said[ids[slot]]->logits, want.logits), 1e-5) << name << " " << slot;
      EXPECT_GT(difference(want.logits, plain.logits), 1e-2) << "the adapter changes nothing";
    }
  }
}

// Folders that PEFT saved, against the logits that PEFT computed (scripts/make_adapter_fixtures.py).
TEST_F(Adapters, AsPeftComputesThem) {
  const std::pair<const char*, const char*> cases[] = {{"llama3", "llama3_attention"},
                                                       {"llama3", "llama3_all"},
                                                       {"qwen2", "qwen2_all"},
                                                       {"gpt2", "gpt2_joined"}};
  for (const auto& [base, name] : cases) {
    const Model m = fixture(base);
    const std::string at = std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/adapters/" + name;
    const io::SafetensorsFile expected(at + "/expected.safetensors");
    const io::TensorInfo *ids = expected.find("input_ids"), *logits = expected.find("logits");
    std::vector<int64_t> tokens(static_cast<size_t>(ids->elements()));
    expected.read(*ids, tokens.data());
    std::vector<float> want(static_cast<size_t>(logits->elements()));
    expected.read_as(*logits, DType::f32, want.data(), 0, logits->elements());
    EngineOptions o = small(4, 32, 128);
    o.adapters = {2, 8};
    o.prefix_cache = false;
    Session r(m, o);
    r.engine.set_adapter(1, r.engine.load_adapter(at).get());
    std::vector<float> got;
    for (size_t n = 1; n <= tokens.size();
         ++n) {  // each position's logits are those of a prompt that ends there
      const uint64_t id =
          r.add(Tokens(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(n)), 1, 0, {}, 1);
      r.finish();
      got.insert(got.end(), r.said[id]->logits.begin(), r.said[id]->logits.end());
    }
    EXPECT_LT(difference(got, want), 1e-5) << name;
  }
}

TEST_F(Adapters, EveryFamilyHasRoomForThem) {
  std::mt19937 random(6);
  for (const auto& entry : fs::directory_iterator(std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/parity")) {
    const std::string name = entry.path().filename().string();
    const Model m = fixture(name);
    EngineOptions o = small(4, 24, 128);
    o.adapters = {1, 4};
    Session r(m, o);
    const Pairs pairs = write(m, name, 4, 3);
    r.engine.set_adapter(0, r.engine.load_adapter(path(name)).get());
    const Tokens prompt = some(random, 13, m.config.vocab);
    const uint64_t plain = r.add(prompt, 1), adapted = r.add(prompt, 1, 0, {}, 0);
    r.finish();
    EXPECT_LT(difference(r.said[plain]->logits, Alone(m, small(1, 24, 24)).say(prompt, 1).logits), 1e-6)
        << name;
    const Model whole = merged(m, pairs, 4);
    EXPECT_LT(difference(r.said[adapted]->logits, Alone(whole, small(1, 24, 24)).say(prompt, 1).logits), 1e-5)
        << name;
  }
}

TEST_F(Adapters, NeighboursChangeNothing) {
  const Model m = fixture("llama3");
  EngineOptions o = small(6, 64, 256);
  o.adapters = {2, 8};
  Session r(m, o), lone(m, o);
  for (int64_t slot = 0; slot < 2; ++slot) {
    write(m, std::to_string(slot), 8, static_cast<unsigned>(slot) + 7);
    const auto adapter = r.engine.load_adapter(path(std::to_string(slot)));
    r.engine.set_adapter(slot, adapter.get());
    lone.engine.set_adapter(slot, adapter.get());
  }
  std::mt19937 random(5);
  std::vector<std::pair<uint64_t, std::pair<Tokens, int64_t>>> asked;
  for (int i = 0; i < 24; ++i) {
    const Tokens prompt = some(random, 1 + static_cast<int64_t>(random() % 30), m.config.vocab);
    const int64_t slot = static_cast<int64_t>(random() % 3) - 1;
    asked.push_back({r.add(prompt, 8, 0, {}, slot), {prompt, slot}});
    r.step();
  }
  r.finish();
  for (const auto& [id, a] : asked) {
    const uint64_t alone_id = lone.add(a.first, 8, 0, {}, a.second);
    lone.finish();
    expect_same(*r.said[id], *lone.said[alone_id]);
  }
}

TEST_F(Adapters, SlotsAreExchangedWhileOthersRun) {
  const Model m = fixture("llama3");
  EngineOptions o = small(4, 64, 256);
  o.adapters = {2, 8};
  Session r(m, o);
  write(m, "a", 8, 1);
  write(m, "b", 8, 2);
  const auto a = r.engine.load_adapter(path("a")), b = r.engine.load_adapter(path("b"));
  const Tokens prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  r.engine.set_adapter(0, a.get());
  const uint64_t first = r.add(prompt, 6, 0, {}, 0);
  r.finish();
  // In use: refused, and nothing changes.
  const uint64_t running = r.add(prompt, 6, 0, {}, 0);
  r.step();
  EXPECT_THROW(r.engine.set_adapter(0, b.get()), Error);
  r.engine.set_adapter(1, b.get());
  r.finish();
  expect_same(*r.said[running], *r.said[first]);
  EXPECT_GT(r.said[running]->reused, 0);
  // Another adapter in the slot: nothing that the first computed is taken for its own.
  r.engine.set_adapter(0, b.get());
  const uint64_t other = r.add(prompt, 6, 0, {}, 0), same = r.add(prompt, 6, 0, {}, 1);
  r.finish();
  EXPECT_EQ(r.said[other]->reused, 0);
  EXPECT_EQ(r.said[other]->tokens, r.said[same]->tokens);
  EXPECT_NE(r.said[other]->logits, r.said[first]->logits);
  EXPECT_THROW(r.add(prompt, 1, 0, {}, 2), Error);
}

TEST_F(Adapters, BadFoldersAreRefusedByName) {
  const Model m = fixture("llama3");
  EngineOptions o = small(4, 64, 256);
  o.adapters = {1, 8};
  const Engine engine(m, o);
  auto refusal = [&](const std::string& name) -> std::string {
    try {
      engine.load_adapter(path(name));
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_NE(refusal("none").find("adapter_config.json"), std::string::npos);
  write(m, "rank", 16, 1);
  EXPECT_NE(refusal("rank").find("r: found 16"), std::string::npos) << refusal("rank");
  write(m, "dora", 4, 1, ", \"use_dora\": true");
  EXPECT_NE(refusal("dora").find("use_dora"), std::string::npos);
  write(m, "bias", 4, 1, ", \"bias\": \"all\"");
  EXPECT_NE(refusal("bias").find("bias"), std::string::npos);
  write(m, "saved", 4, 1, ", \"modules_to_save\": [\"lm_head\"]");
  EXPECT_NE(refusal("saved").find("modules_to_save"), std::string::npos);
  write(m, "fine", 4, 1, ", \"use_dora\": false, \"modules_to_save\": null, \"rank_pattern\": {}");
  EXPECT_EQ(refusal("fine"), "accepted");
  write(m, "stranger", 4, 1);
  write_safetensors(
      path("stranger") + "/adapter_model.safetensors",
      {{"base_model.model.model.layers.99.mlp.up_proj.lora_A.weight", {{4, 2}, std::vector<float>(8)}}});
  EXPECT_NE(refusal("stranger").find("layers.99"), std::string::npos);
  const Matrix x = matrices(m)[0];
  write(m, "shape", 4, 1);
  write_safetensors(path("shape") + "/adapter_model.safetensors",
                    {{"base_model.model." + x.tensor + ".lora_A.weight",
                      {{4, x.in + 1}, std::vector<float>(static_cast<size_t>(4 * (x.in + 1)))}}});
  EXPECT_NE(refusal("shape").find("lora_A"), std::string::npos);
  write(m, "half", 4, 1);
  write_safetensors(path("half") + "/adapter_model.safetensors",
                    {{"base_model.model." + x.tensor + ".lora_A.weight",
                      {{4, x.in}, std::vector<float>(static_cast<size_t>(4 * x.in))}}});
  EXPECT_NE(refusal("half").find("only one"), std::string::npos);
}

}  // namespace
}  // namespace hoist::decode
