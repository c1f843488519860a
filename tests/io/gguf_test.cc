// GGUF files: what is written reads back, and each rule of the format is checked.
#include "io/gguf.h"

#include <cstring>
#include <functional>

#include "io/gguf_model.h"
#include "support.h"

namespace hoist::io {
namespace {

// A file put together by hand, so that one thing at a time can be wrong.
struct Raw {
  std::string bytes;
  template <class T>
  Raw& put(T x) {
    bytes.append(reinterpret_cast<const char*>(&x), sizeof x);
    return *this;
  }
  Raw& text(std::string_view s) {
    put<uint64_t>(s.size());
    bytes += s;
    return *this;
  }
  Raw& pad(size_t multiple = 32) {
    bytes.resize((bytes.size() + multiple - 1) / multiple * multiple);
    return *this;
  }
  Raw& start(uint32_t version, uint64_t tensors, uint64_t keys) {
    bytes += "GGUF";
    return put(version).put(tensors).put(keys);
  }
  Raw& tensor(std::string_view name, std::initializer_list<int64_t> dims, uint32_t type, uint64_t offset) {
    text(name).put(static_cast<uint32_t>(dims.size()));
    for (int64_t dim : dims) put(dim);
    return put(type).put(offset);
  }
  GgufHeader parse() const {
    return parse_gguf_header([&](int64_t at, void* to, size_t n) { std::memcpy(to, bytes.data() + at, n); },
                             static_cast<int64_t>(bytes.size()), "x.gguf");
  }
  std::string error() const {
    return message_of([&] { parse(); });
  }
};

TEST(Gguf, WhatIsWrittenReadsBack) {
  TempDir dir;
  GgufMetadata meta;
  meta.set_text("general.architecture", "llama");
  meta.set_u32("a.u32", 4000000000u);
  meta.set_f32("a.f32", 0.25);
  meta.set_bool("a.bool", true);
  const std::vector<std::string> texts{"", "one", "two \u2581"};
  meta.set_texts("a.texts", texts);
  meta.set_i32s("a.i32s", std::vector<int32_t>{-1, 2});
  meta.set_f32s("a.f32s", std::vector<float>{1.5f});
  std::vector<GgufTensorSpec> specs{{"v", find_gguf_type("f32"), {3}},
                                    {"q", find_gguf_type("q4_k"), {256, 2}},
                                    {"h", find_gguf_type("bf16"), {5, 1}}};
  GgufWriter writer(dir.path("x.gguf"), meta, specs);
  const std::string data(288, 'z');
  writer.write("v", data.data(), 12);
  writer.write("q", data.data(), 144);
  writer.write("q", data.data() + 144, 144);
  writer.write("h", data.data(), 10);
  const FileDigest digest = writer.finish();
  EXPECT_EQ(digest.bytes % 32, 0);

  GgufFile file(dir.path("x.gguf"));
  EXPECT_EQ(file.header().version, 3u);
  EXPECT_EQ(file.metadata().text("general.architecture"), "llama");
  EXPECT_EQ(file.metadata().integer("a.u32", 0, INT64_MAX), 4000000000);
  EXPECT_EQ(file.metadata().number("a.f32", 0, 1), 0.25);
  EXPECT_EQ(file.metadata().boolean("a.bool"), true);
  EXPECT_EQ(file.metadata().at("a.texts").text(2), texts[2]);
  EXPECT_EQ(file.metadata().at("a.i32s").integer(0), -1);
  EXPECT_EQ(file.metadata().at("a.i32s").excerpt(), "[-1, 2]");
  EXPECT_FALSE(file.metadata().integer("none", 0, 1));
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.tensors()[1].type->format, "q4_k");
  EXPECT_EQ(file.tensors()[1].offset, 32);
  EXPECT_EQ(file.tensors()[2].dims, (std::vector<int64_t>{5, 1}));
  std::string back(288, ' ');
  file.read(file.tensors()[1], 0, 288, back.data());
  EXPECT_EQ(back, data);
  // Getters name file and key.
  EXPECT_EQ(message_of([&] { file.metadata().integer("a.u32", 0, 7); }),
            dir.path("x.gguf") + ": a.u32: found 4000000000 (u32), expected a whole number from 0 to 7");
  EXPECT_EQ(message_of([&] { file.metadata().text("a.texts"); }),
            dir.path("x.gguf") +
                ": a.texts: found [\"\", \"one\", \"two \u2581\"] (array of string), expected a string");
}

TEST(Gguf, EveryRuleIsChecked) {
  const auto good = [](const std::function<void(Raw&)>& tail = {}) {
    Raw raw;
    raw.start(3, 1, 1).text("k").put<uint32_t>(4).put<uint32_t>(7).tensor("t", {32, 2}, 2, 0);
    if (tail) tail(raw);
    raw.pad();
    raw.bytes.resize(raw.bytes.size() + 36);
    return raw;
  };
  EXPECT_EQ(good().error(), "");
  EXPECT_EQ(good().parse().tensors[0].bytes, 36);
  const auto says = [](const Raw& raw, const std::string& part) {
    const std::string error = raw.error();
    EXPECT_NE(error.find(part), std::string::npos) << error << " | " << part;
    EXPECT_EQ(error.rfind("x.gguf: ", 0), 0u) << error;
  };
  Raw raw = good();
  raw.bytes[0] = 'X';
  says(raw, "expected GGUF");
  says(Raw().start(1, 0, 0), "version 1, expected 2 or 3");
  says(Raw().start(0x03000000, 0, 0), "big-endian");
  says(Raw{"GG"}, "found 2 bytes");
  says(Raw().start(3, 1u << 30, 0), "tensors");
  says(Raw().start(3, 0, uint64_t{1} << 60), "keys");
  says(Raw().start(3, 0, 1).text(""), "");
  says(Raw().start(3, 0, 1).put<uint64_t>(UINT64_MAX).pad(64), "string of 18446744073709551615");
  says(Raw().start(3, 0, 1).text("k").put<uint32_t>(13).pad(64), "value type 13");
  says(Raw().start(3, 0, 1).text("k").put<uint32_t>(9).put<uint32_t>(9).put<uint64_t>(0).pad(64),
       "arrays do not nest");
  says(Raw().start(3, 0, 1).text("k").put<uint32_t>(9).put<uint32_t>(0).put<uint64_t>(1000).pad(64),
       "array of 1000");
  says(Raw().start(3, 0, 1).text("k").put<uint32_t>(7).put<uint8_t>(2), "expected 0 or 1");
  says(Raw()
           .start(3, 0, 2)
           .text("k")
           .put<uint32_t>(4)
           .put<uint32_t>(1)
           .text("k")
           .put<uint32_t>(4)
           .put<uint32_t>(1),
       "found the key twice");
  says(Raw().start(3, 0, 1).text("general.alignment").put<uint32_t>(4).put<uint32_t>(24), "power of two");
  const auto one = [](std::initializer_list<int64_t> dims, uint32_t type, uint64_t offset) {
    return Raw().start(3, 1, 0).tensor("t", dims, type, offset).pad();
  };
  says(one({}, 0, 0), "0 dimensions");
  says(one({1, 1, 1, 1, 1}, 0, 0), "5 dimensions");
  says(one({-1}, 0, 0), "no size of a tensor");
  says(one({int64_t{1} << 40, int64_t{1} << 40}, 0, 0), "no size of a tensor");
  says(one({int64_t{1} << 62}, 28, 0), "no size of a tensor");
  says(one({1}, 5, 0), "tensor type 5");
  says(one({33}, 2, 0), "multiple of 32 for Q4_0");
  says(one({1}, 0, 32), "found offset 32, expected 0");
  says(one({1}, 0, UINT64_MAX), "offset");
  says(one({100}, 0, 0), "cut short");
  says(Raw().start(3, 2, 0).tensor("t", {1}, 0, 0).tensor("t", {1}, 0, 32).pad(128), "found twice");
  says(Raw().start(3, 2, 0).tensor("t", {1}, 0, 0).tensor("u", {1}, 0, 4).pad(256),
       "found offset 4, expected 32");
  says(Raw().start(3, 1, 0).tensor(std::string(64, 'n'), {1}, 0, 0).pad(),
       "string of 64 bytes, expected at most 63");
  // Version 2 and another alignment are fine; so are types we cannot compute with, until somebody asks.
  Raw two;
  two.start(2, 2, 1).text("general.alignment").put<uint32_t>(4).put<uint32_t>(64);
  two.tensor("a", {256}, 16, 0).tensor("b", {1}, 0, 128).pad(64);
  two.bytes.resize(two.bytes.size() + 132);
  EXPECT_EQ(two.error(), "");
  EXPECT_EQ(two.parse().tensors[0].type->name, "IQ2_XXS");
}

TEST(Gguf, EveryCutIsRefusedOrWhole) {
  TempDir dir;
  GgufMetadata meta;
  meta.set_texts("k", std::vector<std::string>{"a", "bc"});
  GgufWriter writer(dir.path("x.gguf"), meta, {{"t", find_gguf_type("f32"), {9}}});
  const std::string data(36, 'd');
  writer.write("t", data.data(), 36);
  writer.finish();
  const std::string whole = read_file(dir.path("x.gguf"), 1 << 20);
  for (size_t n = 0; n < whole.size(); ++n) {
    const std::string error = Raw{whole.substr(0, n)}.error();
    EXPECT_EQ(error.empty(), n >= whole.size() - 28) << n << " " << error;  // the last 28 bytes are padding
  }
}

TEST(Gguf, PartsAreOpenedTogether) {
  TempDir dir;
  const auto write = [&](int number, int count, int no, int said, std::string tensor, int64_t total) {
    GgufMetadata meta;
    meta.set_u32("split.no", static_cast<uint64_t>(no));
    meta.set_u32("split.count", static_cast<uint64_t>(said));
    meta.set_u32("split.tensors.count", static_cast<uint64_t>(total));
    char name[64];
    std::snprintf(name, sizeof name, "m-%05d-of-%05d.gguf", number, count);
    GgufWriter writer(dir.path(name), meta, {{tensor, find_gguf_type("f32"), {1}}});
    const float x = 1;
    writer.write(tensor, &x, 4);
    writer.finish();
    return dir.path(name);
  };
  write(1, 2, 0, 2, "a", 2);
  const std::string second = write(2, 2, 1, 2, "b", 2);
  EXPECT_EQ(GgufSet::open(second)->parts().size(), 2u);
  EXPECT_EQ(GgufSet::open(second)->path(), dir.path("m-00001-of-00002.gguf"));
  const auto says = [&](const std::string& part) {
    const std::string error = message_of([&] { GgufSet::open(second); });
    EXPECT_NE(error.find(part), std::string::npos) << error;
  };
  write(2, 2, 0, 2, "b", 2);
  says("split.no: found 0, expected 1");
  write(2, 2, 1, 3, "b", 2);
  says("split.count: found 3, expected 2");
  write(2, 2, 1, 2, "a", 2);
  says("is in another part too");
  write(1, 2, 0, 2, "a", 5);
  write(2, 2, 1, 2, "b", 5);
  says("split.tensors.count: found 5, expected the 2 tensors");
  remove_file(dir.path("m-00001-of-00002.gguf"));
  says("m-00001-of-00002.gguf: found no such file");
}

TEST(Gguf, ConfigsSurviveTheFormat) {
  TempDir dir;
  for (Family family : {Family::kLlama, Family::kQwen2, Family::kQwen3, Family::kGpt2})
    for (int kind = 0; kind < 3; ++kind) {
      ModelConfig c = default_model_config(family);
      c.vocab = 64;
      c.hidden = 128;
      c.heads = c.kv_heads = 8;
      c.layers = 1;
      c.head_dim = family == Family::kQwen3 ? 64 : 16;
      c.tie_word_embeddings = kind == 0 || family == Family::kGpt2;
      c.norm_eps = 1e-5f;
      c.rope.theta = 500000;
      c.bos_id = 1;
      c.eos_ids = {2};
      if (kind == 1) c.rope = {.type = RopeConfig::Type::kLinear, .theta = 10000, .factor = 4};
      if (kind == 2)
        c.rope = {.type = RopeConfig::Type::kLlama3,
                  .theta = 500000,
                  .factor = 32,
                  .low_freq_factor = 1,
                  .high_freq_factor = 4,
                  .original_max_position = 8192};
      GgufMetadata meta;
      write_gguf_config(c, meta);
      meta.set_u32("tokenizer.ggml.bos_token_id", 1);
      meta.set_u32("tokenizer.ggml.eos_token_id", 2);
      const std::vector<GgufDivisors> divisors = gguf_rope_tensors(c);
      const std::vector<float> factors = divisors.empty() ? std::vector<float>{} : divisors[0].values;
      std::vector<GgufTensorSpec> specs{{"token_embd.weight", find_gguf_type("f32"), {c.hidden, c.vocab}}};
      if (!c.tie_word_embeddings)
        specs.push_back({"output.weight", find_gguf_type("f32"), {c.hidden, c.vocab}});
      if (c.qkv_bias) specs.push_back({"blk.0.attn_q.bias", find_gguf_type("f32"), {128}});
      if (!factors.empty()) specs.push_back({"rope_freqs.weight", find_gguf_type("f32"), {c.head_dim / 2}});
      GgufWriter writer(dir.path("x.gguf"), meta, specs);
      for (const GgufTensor& t : writer.tensors()) {
        const std::string zeros(static_cast<size_t>(t.bytes), '\0');
        writer.write(
            t.name,
            t.name == "rope_freqs.weight" ? reinterpret_cast<const char*>(factors.data()) : zeros.data(),
            t.bytes);
      }
      writer.finish();
      const ModelConfig back = read_gguf_config(*GgufSet::open(dir.path("x.gguf")));
      EXPECT_EQ(back.family, family);
      EXPECT_EQ(back.hidden, c.hidden);
      EXPECT_EQ(back.intermediate, c.intermediate);
      EXPECT_EQ(back.head_dim, c.head_dim);
      EXPECT_EQ(back.kv_heads, c.kv_heads);
      EXPECT_EQ(back.max_position, c.max_position);
      EXPECT_EQ(back.vocab, c.vocab);
      EXPECT_EQ(back.qkv_bias, c.qkv_bias && family != Family::kGpt2);
      EXPECT_EQ(back.qk_norm, c.qk_norm);
      EXPECT_EQ(back.tie_word_embeddings, c.tie_word_embeddings);
      EXPECT_EQ(back.norm_eps, c.norm_eps);
      EXPECT_EQ(back.activation, c.activation);
      EXPECT_EQ(back.bos_id, c.bos_id);
      EXPECT_EQ(back.eos_ids, c.eos_ids);
      if (family != Family::kGpt2) {
        EXPECT_EQ(back.rope, c.rope) << kind << " " << back.rope.original_max_position;
      }
    }
}

TEST(Gguf, KeysThatWouldChangeTheArithmeticAreRefused) {
  TempDir dir;
  const auto error = [&](const std::function<void(GgufMetadata&)>& change) {
    ModelConfig c = default_model_config(Family::kLlama);
    c.vocab = 4;
    c.hidden = c.head_dim = 32;
    c.heads = c.kv_heads = 1;
    GgufMetadata meta;
    change(meta);
    write_gguf_config(c, meta);
    GgufWriter writer(dir.path("x.gguf"), meta, {{"token_embd.weight", find_gguf_type("f32"), {32, 4}}});
    const std::string zeros(512, '\0');
    writer.write("token_embd.weight", zeros.data(), 512);
    writer.finish();
    return message_of([&] { read_gguf_config(*GgufSet::open(dir.path("x.gguf"))); });
  };
  const auto says = [&](const std::string& message, const std::string& part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  EXPECT_EQ(error([](GgufMetadata&) {}), "");
  EXPECT_EQ(error([](GgufMetadata& m) { m.set_u32("llama.expert_count", 0); }), "");
  says(error([](GgufMetadata& m) { m.set_u32("llama.expert_count", 8); }), "llama.expert_used_count");
  says(error([](GgufMetadata& m) { m.set_f32("llama.attn_logit_softcapping", 50); }),
       "attn_logit_softcapping: found 50");
  says(error([](GgufMetadata& m) { m.set_text("llama.rope.scaling.type", "other"); }),
       "expected none, linear, yarn or longrope");
  says(error([](GgufMetadata& m) { m.set_text("general.architecture", "mamba"); }),
       "general.architecture: found \"mamba\", expected one of llama, smollm3, qwen2, qwen3, qwen2moe, ");
  says(error([](GgufMetadata& m) { m.set_u32("llama.block_count", 0); }), "llama.block_count: found 0");
  says(error([](GgufMetadata& m) { m.set_i32s("llama.block_count", {}); }), "expected a whole number");
  says(error([](GgufMetadata& m) {
         m.set_text("llama.rope.scaling.type", "yarn");
         m.set_f32("llama.rope.scaling.yarn_attn_factor", 0);
       }),
       "found an attention factor of 0");
  says(error([](GgufMetadata& m) { m.set_u32("llama.rope.dimension_count", 16); }), "a part of a head");
  says(error([](GgufMetadata& m) { m.set_u32("llama.attention.head_count_kv", 3); }),
       "a divisor of head_count");
}

}  // namespace
}  // namespace hoist::io
