// Models through GGUF: every family's weights come back in place, in every format; stories260K says the same.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/threads.h"
#include "decode/engine.h"
#include "decode/quantize.h"
#include "io/files.h"
#include "quant/codec.h"

namespace hoist::decode {
namespace {

class TempDir {
 public:
  TempDir() {
    std::string pattern = ::testing::TempDir() + "hoist-gguf-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() { io::remove_tree(path_); }
  std::string path(const std::string& name) const { return io::join_path(path_, name); }

 private:
  std::string path_;
};

// A parity fixture with a tokenizer of one letter a row.
Model fixture(const std::string& name) {
  const std::string folder = std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/parity/" + name;
  Model m;
  m.folder = folder;
  m.name = name;
  m.config = io::load_model_config(folder);
  m.files = std::make_unique<io::CheckpointFiles>(io::join_path(folder, "model.safetensors"));
  // What files of these architectures say by their sizes.
  if (m.config.gemma()) m.config.attention_scalar = static_cast<double>(m.config.head_dim);
  std::string vocab;
  for (int i = 0; i < 90; ++i)
    vocab += (i ? ",\"" : "\"") + std::string(i == 2 || i == 60 ? "\\" : "") + static_cast<char>(32 + i) +
             "\":" + std::to_string(i);
  m.tokenizer = text::Tokenizer::from_json(
      R"({"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":null,
          "decoder":{"type":"Fuse"},"model":{"type":"BPE","vocab":{)" +
      vocab + R"(},"merges":[]}})");
  return m;
}

std::map<std::string, std::vector<float>> weights(const Model& m) {
  std::map<std::string, std::vector<float>> out;
  load_weights(m.config, *m.files, models::parameters(m.config, DType::f32, DType::f32),
               [&](const models::Parameter& p) {
                 auto& to = out[p.name];
                 to.resize(static_cast<size_t>(p.type.elements()));
                 return reinterpret_cast<std::byte*>(to.data());
               });
  return out;
}

Model through_gguf(const Model& m, const QuantizeOptions& options, const std::string& path) {
  ThreadPool pool;
  write_quantized(m, plan_quantize(m, options), path, pool);
  return open_model(path);
}

class Families : public testing::TestWithParam<const char*> {};

TEST_P(Families, EveryWeightComesBackInPlace) {
  TempDir dir;
  const Model m = fixture(GetParam());
  const auto want = weights(m);
  const Model back = through_gguf(m, {.to = "f32"}, dir.path("x.gguf"));
  EXPECT_EQ(back.config.family, m.config.family);
  EXPECT_EQ(back.config.rope, m.config.rope);
  EXPECT_EQ(back.config.tie_word_embeddings, m.config.tie_word_embeddings);
  const auto got = weights(back);
  EXPECT_EQ(got.size(), want.size());
  for (const auto& [name, values] : want)
    if (m.config.norm_offset() && name.find("norm") != name.npos)  // stored plus one
      for (size_t i = 0; i < values.size(); ++i)
        ASSERT_NEAR(got.at(name)[i], values[i], 1e-7) << name << " " << i;
    else
      EXPECT_EQ(got.at(name), values) << name;
  // And all else that is computed. Files hold numbers as f32.
  io::ModelConfig config = m.config;
  config.norm_eps = static_cast<double>(static_cast<float>(config.norm_eps));
  const models::ServeShape shape;
  EXPECT_EQ(ir::print(models::serve_graph(back.config, shape)),
            ir::print(models::serve_graph(config, shape)));
  // As bf16 and back: what rounding to bf16 gives.
  const auto half = weights(through_gguf(m, {.to = "bf16"}, dir.path("y.gguf")));
  for (const auto& [name, values] : want)
    for (size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(half.at(name)[i], values[i], std::abs(values[i]) / 250) << name << " " << i;
}

TEST_P(Families, BlocksAreThoseOfTheRowsAsTheFileHasThem) {
  TempDir dir;
  const Model m = fixture(GetParam());
  const Model back = through_gguf(m, {.to = "q8_0"}, dir.path("x.gguf"));
  int in_blocks = 0;
  for (const auto& entry : back.files->tensors()) {
    const io::TensorInfo& info = *entry.info;
    if (info.format.empty()) continue;
    ++in_blocks;
    EXPECT_EQ(back.files->format(info.name), "q8_0");
    EXPECT_FALSE(info.dtype);
    const quant::BlockCodec& codec = *quant::find_codec(info.format);
    const int64_t rows = info.row_count(), width = info.row_elements();
    std::vector<float> original(static_cast<size_t>(rows * width)), dense(original.size()),
        row(static_cast<size_t>(width));
    m.files->read_as(info.name, DType::f32, original.data(), 0, rows * width);
    back.files->read_as(info.name, DType::f32, dense.data(), 0, rows * width);
    std::vector<char> raw(static_cast<size_t>(codec.bytes_of(width))), fresh(raw.size());
    for (int64_t r = 0; r < rows; ++r) {
      // Row r as stored: of the shape, or of its transpose.
      std::vector<float> from(row.size());
      for (int64_t i = 0; i < width; ++i)
        from[static_cast<size_t>(i)] =
            original[static_cast<size_t>(info.transposed ? i * rows + r : r * width + i)];
      back.files->read_rows(info.name, r, 1, raw.data());
      codec.quantize(from.data(), fresh.data(), width);
      ASSERT_EQ(raw, fresh) << info.name << " row " << r;
      codec.dequantize(raw.data(), row.data(), width);
      for (int64_t i = 0; i < width; ++i)
        ASSERT_EQ(row[static_cast<size_t>(i)],
                  dense[static_cast<size_t>(info.transposed ? i * rows + r : r * width + i)])
            << info.name;
    }
    // Any range of elements is the same as a part of all of them.
    for (int64_t first = 0; first < rows * width; first += 41) {
      std::vector<float> piece(static_cast<size_t>(std::min<int64_t>(37, rows * width - first)));
      back.files->read_as(info.name, DType::f32, piece.data(), first, static_cast<int64_t>(piece.size()));
      ASSERT_EQ(0, std::memcmp(piece.data(), dense.data() + first, piece.size() * 4))
          << info.name << " " << first;
    }
  }
  EXPECT_GT(in_blocks, 6);
}

INSTANTIATE_TEST_SUITE_P(All, Families,
                         testing::Values("gpt2", "llama2", "llama3", "llama3_tied", "qwen2", "qwen3",
                                         "mistral", "smollm3", "phi3", "phi3_short", "gemma2", "gemma3",
                                         "mixtral", "qwen2_moe", "qwen3_moe"));

// Experts' blocks go from one tensor of the file into panels; what cannot be in blocks stays dense.
TEST(Quantize, ExpertsAreServedInBlocks) {
  TempDir dir;
  for (const char* name : {"mixtral", "qwen2_moe", "qwen3_moe"}) {
    const Model m = through_gguf(fixture(name), {.to = "q8_0"}, dir.path("x.gguf"));
    int experts_in_blocks = 0;
    for (const models::Parameter& p :
         models::in_panels(models::parameters(m.config, DType::f32, DType::f32),
                           [&](const models::Parameter& q) { return m.block_format(q); }))
      experts_in_blocks += !p.stack.empty() && p.type.format == Symbol("q8_0_p1");
    EXPECT_EQ(experts_in_blocks, 4) << name;  // gate and up of two layers
    std::vector<std::vector<float>> logits;
    for (bool pack : {true, false}) {
      EngineOptions options;
      options.threads = 2;
      options.max_seqs = 1;
      options.step_tokens = pack ? 5 : 32;
      options.context = options.cache_tokens = 32;
      options.pack = pack;
      Engine engine(m, options);
      SequenceRequest request;
      for (int i = 0; i < 20; ++i) request.prompt.push_back(i * 37 % 90);
      request.max_tokens = 1;
      request.on_logits = [&](std::span<const float> x) { logits.emplace_back(x.begin(), x.end()); };
      engine.add(std::move(request));
      std::vector<TokenEvent> events;
      while (!engine.idle()) engine.step(events);
    }
    double error = 0, norm = 0;
    for (size_t i = 0; i < logits[0].size(); ++i) {
      error += std::pow(static_cast<double>(logits[0][i]) - static_cast<double>(logits[1][i]), 2);
      norm += std::pow(static_cast<double>(logits[1][i]), 2);
    }
    EXPECT_LT(std::sqrt(error / norm), 0.05) << name;  // rows are rounded to 8 bits before block products
  }
}

TEST(Quantize, TheRuleForWidths) {
  const Model m = fixture("llama2");  // width 32, MLP 40, not tied
  std::map<std::string, std::string> types;
  for (const QuantizeStep& step : plan_quantize(m, {.to = "q4_k"}).steps)
    types[step.name.gguf] = step.type->name;
  EXPECT_EQ(types["token_embd.weight"], "Q5_0");
  EXPECT_EQ(types["output.weight"], "Q8_0");
  EXPECT_EQ(types["blk.0.attn_q.weight"], "Q5_0");
  EXPECT_EQ(types["blk.0.ffn_down.weight"], "F16");
  EXPECT_EQ(types["blk.0.attn_norm.weight"], "F32");
  types.clear();
  for (const QuantizeStep& step : plan_quantize(m, {.to = "q4_0", .head = "f16", .embedding = "q8_0"}).steps)
    types[step.name.gguf] = step.type->name;
  EXPECT_EQ(types["token_embd.weight"], "Q8_0");
  EXPECT_EQ(types["output.weight"], "F16");
  EXPECT_EQ(types["blk.0.attn_q.weight"], "Q4_0");
  for (const QuantizeStep& step : plan_quantize(fixture("gpt2"), {.to = "q8_0"}).steps)
    types[step.name.gguf] = step.type->name;
  EXPECT_EQ(types["position_embd.weight"], "F32");
  EXPECT_EQ(types["blk.0.attn_qkv.weight"], "Q8_0");
}

TEST(Quantize, RefusesByOptionOrTensor) {
  TempDir dir;
  const Model m = fixture("llama2");
  const auto message = [](auto body) -> std::string {
    try {
      body();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(message([&] { plan_quantize(m, {.to = "iq2_xs"}); }).substr(0, 26), "--to: found 'iq2_xs', expe");
  EXPECT_EQ(message([&] { plan_quantize(m, {.to = "q8_0", .head = "x"}); }).substr(0, 17),
            "--head: found 'x'");
  const Model blocks = through_gguf(m, {.to = "q8_0"}, dir.path("x.gguf"));
  EXPECT_NE(message([&] { plan_quantize(blocks, {.to = "q4_0"}); }).find("--requantize"), std::string::npos);
  EXPECT_EQ(message([&] { plan_quantize(blocks, {.to = "q4_0", .requantize = true}); }), "");
}

TEST(Quantize, AWeightThatIsNoNumberIsNamed) {
  TempDir dir;
  Model m = fixture("llama2");
  std::vector<io::TensorSpec> specs;
  for (const auto& entry : m.files->tensors())
    specs.push_back({entry.info->name, DType::f32, entry.info->shape});
  {
    io::SafetensorsWriter writer(dir.path("model.safetensors"), specs);
    for (const io::TensorInfo& info : writer.tensors()) {
      std::vector<float> x(static_cast<size_t>(info.elements()));
      m.files->read_as(info.name, DType::f32, x.data(), 0, info.elements());
      if (info.name == "model.layers.1.mlp.up_proj.weight") x[77] = std::numeric_limits<float>::infinity();
      writer.write(info.name, x.data(), info.elements() * 4);
    }
    writer.finish();
  }
  m.files = std::make_unique<io::CheckpointFiles>(dir.path("model.safetensors"));
  ThreadPool pool;
  for (const char* to : {"q8_0", "f16"}) {
    try {
      write_quantized(m, plan_quantize(m, {.to = to}), dir.path("x.gguf"), pool);
      FAIL();
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("tensor 'model.layers.1.mlp.up_proj.weight': found inf"),
                std::string::npos)
          << e.what();
    }
    EXPECT_FALSE(io::path_exists(dir.path("x.gguf")));
  }
}

std::vector<int32_t> greedy(const Model& m, const std::string& prompt, int64_t count) {
  EngineOptions options;
  options.threads = 1;
  options.max_seqs = 1;
  options.context = 256;
  options.cache_tokens = 256;
  Engine engine(m, options);
  SequenceRequest request;
  request.prompt = encode_prompt(m, prompt);
  request.sampling.temperature = 0;
  request.max_tokens = count;
  engine.add(std::move(request));
  std::vector<int32_t> ids;
  std::vector<TokenEvent> events;
  for (bool done = false; !done;) {
    events.clear();
    engine.step(events);
    for (const TokenEvent& e : events) {
      if (e.token != kNoToken) ids.push_back(e.token);
      done = done || e.finish != Finish::kNone;
    }
  }
  return ids;
}

TEST(Stories, SayTheSameFromGguf) {
  const std::string folder = std::string(HOIST_SOURCE_DIR) + "/../shared/models/stories260K";
  if (!io::path_exists(folder + "/golden.json")) GTEST_SKIP() << "needs ../shared/models/stories260K";
  TempDir dir;
  const Model m = open_model(folder);
  const Model back = through_gguf(m, {.to = "f32"}, dir.path("x.gguf"));
  EXPECT_EQ(back.eos_ids, m.eos_ids);
  for (const char* prompt : {"Once upon a time", "", "Lily and Tom"})
    EXPECT_EQ(greedy(back, prompt, 60), greedy(m, prompt, 60));
  // GGUF to GGUF keeps all it knows.
  const Model again = through_gguf(back, {.to = "q8_0"}, dir.path("y.gguf"));
  EXPECT_EQ(again.gguf->metadata().text("general.name"), back.gguf->metadata().text("general.name"));
  EXPECT_EQ(again.tokenizer->encode("Once upon"), m.tokenizer->encode("Once upon"));
  EXPECT_EQ(greedy(again, "Once upon a time", 20).size(), 20u);
}

}  // namespace
}  // namespace hoist::decode
