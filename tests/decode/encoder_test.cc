// Encoders: parity with transformers on tiny random models (scripts/make_encoder_fixtures.py), and the same
// bits alone, in any batch, in any order, on any number of threads.
#include "decode/encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <random>

#include "base/error.h"
#include "io/safetensors.h"

namespace hoist::decode {
namespace {

constexpr double kBar = 1e-5;

std::string folder(const std::string& name) {
  return std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/encoders/" + name;
}

template <class T>
std::vector<T> read(const io::SafetensorsFile& file, const std::string& name) {
  const io::TensorInfo* t = file.find(name);
  if (!t) return {};
  std::vector<T> out(static_cast<size_t>(t->elements()));
  file.read(*t, out.data());
  return out;
}

struct Fixture {
  std::vector<EncoderInput> inputs;
  std::vector<float> cls, mean, logits;

  explicit Fixture(const std::string& name) {
    const io::SafetensorsFile file(folder(name) + "/expected.safetensors");
    const auto lengths = read<int64_t>(file, "lengths"), ids = read<int64_t>(file, "ids"),
               types = read<int64_t>(file, "types");
    cls = read<float>(file, "cls");
    mean = read<float>(file, "mean");
    logits = read<float>(file, "logits");
    size_t at = 0;
    for (int64_t n : lengths) {
      EncoderInput& input = inputs.emplace_back();
      for (int64_t i = 0; i < n; ++i, ++at) {
        input.ids.push_back(static_cast<int32_t>(ids[at]));
        input.types.push_back(static_cast<int32_t>(types[at]));
      }
    }
  }
};

std::vector<std::vector<float>> run(Encoder& encoder, const std::vector<const EncoderInput*>& inputs,
                                    EncoderTask task) {
  std::vector<std::vector<float>> results;
  encoder.run(inputs, std::vector<EncoderTask>(inputs.size(), task), results);
  return results;
}

double error(const std::vector<std::vector<float>>& found, const std::vector<float>& expected) {
  double difference = 0, norm = 0;
  size_t at = 0;
  for (const auto& row : found)
    for (float x : row) {
      const double want = expected.at(at++), d = static_cast<double>(x) - want;
      difference += d * d;
      norm += want * want;
    }
  EXPECT_EQ(at, expected.size());
  return std::sqrt(difference / norm);
}

class Encoders : public testing::TestWithParam<const char*> {};

TEST_P(Encoders, ParityAloneAndInARaggedBatch) {
  const Fixture fixture(GetParam());
  ASSERT_FALSE(fixture.inputs.empty());
  for (const bool pack : {true, false})
    for (const int threads : {1, 2}) {
      EncoderModel model = open_encoder(folder(GetParam()));
      model.pooling.max_tokens.reset();  // whole vectors, as the fixtures have them
      model.pooling.normalize = false;
      EncoderOptions options;
      options.threads = threads;
      options.pack = pack;
      options.batch_tokens = 300;
      Encoder encoder(model, options);
      std::vector<const EncoderInput*> all;
      for (const EncoderInput& input : fixture.inputs) {
        EXPECT_NO_THROW(encoder.check(input, EncoderTask::kEmbed));
        all.push_back(&input);
      }
      const auto compare = [&](const char* what, EncoderTask task, const std::vector<float>& expected) {
        const auto batch = run(encoder, all, task);
        std::vector<std::vector<float>> alone;
        for (const EncoderInput* input : all) alone.push_back(run(encoder, {input}, task)[0]);
        EXPECT_EQ(batch, alone) << what << ": a sequence's bits depend on its batch";
        const double e = error(batch, expected);
        std::printf("encoder %-12s %-6s pack %d threads %d: %.1e\n", GetParam(), what, pack, threads, e);
        EXPECT_LE(e, kBar) << what;
      };
      model.pooling.pooling = io::Pooling::kCls;
      compare("cls", EncoderTask::kEmbed, fixture.cls);
      model.pooling.pooling = io::Pooling::kMean;
      compare("mean", EncoderTask::kEmbed, fixture.mean);
      if (!fixture.logits.empty()) compare("logits", EncoderTask::kClassify, fixture.logits);
    }
}

TEST_P(Encoders, BitsDoNotDependOnNeighboursOrOrder) {
  const Fixture fixture(GetParam());
  EncoderModel model = open_encoder(folder(GetParam()));
  EncoderOptions options;
  options.threads = 2;
  options.batch_tokens = 200;
  Encoder encoder(model, options);
  std::vector<const EncoderInput*> usable;
  for (const EncoderInput& input : fixture.inputs)
    if (static_cast<int64_t>(input.ids.size()) <= encoder.max_tokens()) usable.push_back(&input);
  std::vector<std::vector<float>> alone;
  for (const EncoderInput* input : usable) alone.push_back(run(encoder, {input}, EncoderTask::kEmbed)[0]);
  std::mt19937_64 rng(3);
  for (int trial = 0; trial < 30; ++trial) {
    std::vector<const EncoderInput*> batch;
    std::vector<size_t> who;
    size_t tokens = 0;
    while (true) {
      const size_t i = rng() % usable.size();
      if (tokens + usable[i]->ids.size() > 200) break;
      tokens += usable[i]->ids.size();
      batch.push_back(usable[i]);
      who.push_back(i);
    }
    const auto found = run(encoder, batch, EncoderTask::kEmbed);
    for (size_t k = 0; k < who.size(); ++k) EXPECT_EQ(found[k], alone[who[k]]) << "trial " << trial;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Encoders,
                         testing::Values("sentence", "bert", "cross", "roberta", "xlm-roberta", "distilbert"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(EncoderModels, SaysWhatItRefuses) {
  const auto message = [](auto f) {
    try {
      f();
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("nothing");
  };
  EncoderModel model = open_encoder(folder("sentence"));
  EXPECT_EQ(model.max_tokens(), 60);
  EXPECT_TRUE(model.pooling.normalize);
  Encoder encoder(model, {.threads = 1, .batch_tokens = 64});
  EXPECT_NE(message([&] {
              encoder.check({{}, {}}, EncoderTask::kEmbed);
            }).find("no tokens"),
            std::string::npos);
  EXPECT_NE(message([&] {
              encoder.check({std::vector<int32_t>(61, 5), {}}, EncoderTask::kEmbed);
            }).find("at most 60"),
            std::string::npos);
  EXPECT_NE(message([&] {
              encoder.check({{5, 96}, {}}, EncoderTask::kEmbed);
            }).find("token id 96"),
            std::string::npos);
  EXPECT_NE(message([&] {
              encoder.check({{5}, {2}}, EncoderTask::kEmbed);
            }).find("token type 2"),
            std::string::npos);
  EXPECT_NE(message([&] {
              encoder.check({{5}, {}}, EncoderTask::kClassify);
            }).find("no classification head"),
            std::string::npos);
}

}  // namespace
}  // namespace hoist::decode
