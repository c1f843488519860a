// Every family served: logits of the paged engine against the parity fixtures, prompts in pieces of any size
// against whole ones to the bit, and beside neighbours against alone.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <cstring>
#include <map>

#include "decode/engine.h"
#include "io/checkpoint_files.h"
#include "io/files.h"
#include "io/safetensors.h"

namespace hoist::decode {
namespace {

constexpr int64_t kSequence = 24;  // of a fixture's texts

struct Fixture {
  Model model;
  std::vector<int64_t> ids;   // of its first text
  std::vector<float> logits;  // [kSequence, vocab]

  explicit Fixture(const std::string& name) {
    const std::string folder = std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/parity/" + name;
    model.folder = folder;
    model.name = name;
    model.config = io::load_model_config(folder);
    model.files = std::make_unique<io::CheckpointFiles>(io::join_path(folder, "model.safetensors"));
    const io::SafetensorsFile expected(io::join_path(folder, "expected.safetensors"));
    logits.resize(static_cast<size_t>(kSequence * model.config.vocab));
    std::vector<int64_t> all(static_cast<size_t>(expected.find("input_ids")->elements()));
    expected.read(*expected.find("input_ids"), all.data());
    ids.assign(all.begin(), all.begin() + kSequence);
    expected.read_as(*expected.find("logits"), DType::f32, logits.data(), 0, kSequence * model.config.vocab);
  }
  std::vector<int32_t> prompt(int64_t n) const { return {ids.begin(), ids.begin() + n}; }
};

// As long as the fixture's text: rope types that follow the context have that of the fixture.
EngineOptions options_for(const Fixture& f, int64_t step_tokens, bool pack) {
  EngineOptions o;
  o.threads = 2;
  o.max_seqs = 3;
  o.step_tokens = step_tokens;
  const bool dynamic = f.model.config.rope.type == io::RopeConfig::Type::kDynamic;
  o.context = dynamic ? kSequence : std::min<int64_t>(f.model.config.longest_context(), kSequence + 8);
  o.cache_tokens = 4 * o.context;
  o.block = 4;
  o.prefix_cache = false;
  o.pack = pack;
  return o;
}

// The logits after each of these prompts, computed side by side.
std::vector<std::vector<float>> after(const Fixture& f, const EngineOptions& options,
                                      const std::vector<int64_t>& lengths) {
  Engine engine(f.model, options);
  std::vector<std::vector<float>> out(lengths.size());
  for (size_t i = 0; i < lengths.size(); ++i) {
    SequenceRequest r;
    r.prompt = f.prompt(lengths[i]);
    r.max_tokens = 1;
    r.on_logits = [&out, i](std::span<const float> x) { out[i].assign(x.begin(), x.end()); };
    engine.add(std::move(r));
  }
  std::vector<TokenEvent> events;
  while (!engine.idle()) engine.step(events);
  return out;
}

class ServedFamilies : public testing::TestWithParam<const char*> {};

TEST_P(ServedFamilies, ServedLogitsAreThoseOfTheFixture) {
  const Fixture f(GetParam());
  const std::vector<int64_t> lengths{1, 4, 7, 12, 17, kSequence - 1};
  const auto vocab = static_cast<size_t>(f.model.config.vocab);
  for (bool pack : {true, false}) {
    const auto whole = after(f, options_for(f, 64, pack), lengths);
    for (size_t i = 0; i < lengths.size(); ++i) {
      ASSERT_EQ(whole[i].size(), vocab);
      const float* want = f.logits.data() + static_cast<size_t>(lengths[i] - 1) * vocab;
      double error = 0, norm = 0;
      for (size_t j = 0; j < vocab; ++j) {
        error += std::pow(static_cast<double>(whole[i][j]) - static_cast<double>(want[j]), 2);
        norm += std::pow(static_cast<double>(want[j]), 2);
      }
      EXPECT_LE(std::sqrt(error / norm), 1e-5) << "after " << lengths[i] << (pack ? ", packed" : "");
    }
    for (int64_t step : {3, 5}) {  // the fewest a step may have is one for each sequence
      const auto pieces = after(f, options_for(f, step, pack), lengths);
      for (size_t i = 0; i < lengths.size(); ++i)
        EXPECT_EQ(0, std::memcmp(pieces[i].data(), whole[i].data(), vocab * sizeof(float)))
            << "in steps of " << step << " after " << lengths[i];
    }
    EngineOptions one = options_for(f, 1, pack);  // token by token, as it is when text is generated
    one.max_seqs = 1;
    for (size_t i : {size_t{3}, lengths.size() - 1})
      EXPECT_EQ(0, std::memcmp(after(f, one, {lengths[i]})[0].data(), whole[i].data(), vocab * sizeof(float)))
          << "alone, token by token, after " << lengths[i];
  }
}

// What is saved is the checkpoint again: joined matrices joined, experts one by one.
TEST_P(ServedFamilies, SavedWeightsAreTheCheckpoint) {
  const Fixture f(GetParam());
  const std::vector<models::Parameter> parameters =
      models::parameters(f.model.config, DType::f32, DType::f32);
  std::map<std::string, std::vector<float>> values;
  load_weights(f.model.config, *f.model.files, parameters, [&](const models::Parameter& p) {
    auto& to = values[p.name];
    to.resize(static_cast<size_t>(p.type.elements()));
    return reinterpret_cast<std::byte*>(to.data());
  });
  std::string folder = testing::TempDir() + "hoist-families-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  save_weights(folder, parameters, DType::f32, [&](const models::Parameter& p) {
    return WeightData{reinterpret_cast<const std::byte*>(values.at(p.name).data()), DType::f32};
  });
  {
    const io::CheckpointFiles saved(folder);
    size_t compared = 0;
    for (const auto& entry : f.model.files->tensors()) {
      const io::TensorInfo& info = *entry.info;
      const auto* other = saved.find(info.name);
      ASSERT_TRUE(other) << info.name;
      EXPECT_EQ(other->info->shape, info.shape) << info.name;
      std::vector<float> want(static_cast<size_t>(info.elements())), got(want.size());
      entry.file->read_as(info, DType::f32, want.data(), 0, info.elements());
      other->file->read_as(*other->info, DType::f32, got.data(), 0, info.elements());
      EXPECT_EQ(got, want) << info.name;
      ++compared;
    }
    EXPECT_EQ(saved.tensors().size(), compared);
  }
  io::remove_tree(folder);
}

INSTANTIATE_TEST_SUITE_P(All, ServedFamilies,
                         testing::Values("gpt2", "llama3", "qwen2", "qwen3", "mistral", "smollm3", "phi3",
                                         "phi3_short", "gemma2", "gemma3", "mixtral", "qwen2_moe",
                                         "qwen3_moe", "llama_dynamic"));

TEST(Contexts, LongropeKeepsToItsFirstTableUnasked) {
  const Fixture f("phi3");
  EXPECT_EQ(f.model.config.usual_context(), 16);
  EXPECT_EQ(f.model.config.longest_context(), 64);
  EngineOptions o = options_for(f, 64, true);
  const auto longer = after(f, o, {12});
  o.context = 0;
  const auto usual = after(f, o, {12});
  EXPECT_NE(0, std::memcmp(longer[0].data(), usual[0].data(), longer[0].size() * sizeof(float)));
}

}  // namespace
}  // namespace hoist::decode
