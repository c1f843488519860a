#include "io/model_config.h"

#include <gtest/gtest.h>

#include "support.h"

namespace hoist::io {
namespace {

const char* const kLlama = R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":64,
 "intermediate_size":172,"num_hidden_layers":5,"num_attention_heads":8,"num_key_value_heads":4,"vocab_size":512,
 "max_position_embeddings":512,"rms_norm_eps":1e-05,"rope_theta":20000.0,"hidden_act":"silu",
 "tie_word_embeddings":true,"bos_token_id":1,"eos_token_id":[2,3],"torch_dtype":"bfloat16","use_cache":true})";
const char* const kQwen2 =
    R"({"model_type":"qwen2","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,
 "num_attention_heads":4,"num_key_value_heads":2,"vocab_size":100,"use_sliding_window":false,"sliding_window":4096,
 "max_window_layers":28,"layer_types":["full_attention","full_attention"]})";
const char* const kQwen3 =
    R"({"model_type":"qwen3","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,
 "num_attention_heads":5,"num_key_value_heads":1,"head_dim":16,"vocab_size":100})";
const char* const kGpt2 =
    R"({"model_type":"gpt2","n_embd":64,"n_layer":2,"n_head":4,"n_positions":128,"vocab_size":100,
 "n_ctx":128,"task_specific_params":{"text-generation":{"do_sample":true}}})";

// `json` with more members in front, which come first for us but would be duplicates of what is there.
std::string with(const std::string& json, const std::string& members) {
  return "{" + members + "," + json.substr(1);
}
std::string without(std::string json, const std::string& key) {
  const size_t at = json.find("\"" + key + "\":");
  size_t end = at, depth = 0;
  for (; end < json.size(); ++end) {
    if (json[end] == '[' || json[end] == '{') ++depth;
    if (json[end] == ']' || (json[end] == '}' && depth)) --depth;
    if (json[end] == ',' && !depth) break;
    if (json[end] == '}' && !depth) break;
  }
  if (end < json.size() && json[end] == ',') ++end;
  const bool last = json[end] == '}';  // then the comma before it goes
  return json.substr(0, last ? json.rfind(',', at) : at) + json.substr(end);
}
std::string set(const std::string& json, const std::string& key, const std::string& value) {
  return with(json.find("\"" + key + "\":") == std::string::npos ? json : without(json, key),
              "\"" + key + "\":" + value);
}

TEST(ModelConfig, ReadsLlama) {
  const ModelConfig c = parse_model_config(kLlama, "config.json");
  EXPECT_EQ(c.family, Family::kLlama);
  EXPECT_EQ(c.vocab, 512);
  EXPECT_EQ(c.hidden, 64);
  EXPECT_EQ(c.intermediate, 172);
  EXPECT_EQ(c.layers, 5);
  EXPECT_EQ(c.heads, 8);
  EXPECT_EQ(c.kv_heads, 4);
  EXPECT_EQ(c.head_dim, 8);
  EXPECT_EQ(c.max_position, 512);
  EXPECT_EQ(c.norm_eps, 1e-5);
  EXPECT_EQ(c.rope.theta, 20000);
  EXPECT_EQ(c.rope.type, RopeConfig::Type::kDefault);
  EXPECT_TRUE(c.tie_word_embeddings);
  EXPECT_FALSE(c.qkv_bias || c.out_bias || c.mlp_bias || c.qk_norm);
  EXPECT_EQ(c.eos_ids, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(c.bos_id, 1);
  EXPECT_EQ(c.dtype, DType::bf16);
  EXPECT_EQ(c.kept, (KeptKeys{{"use_cache", "true"}}));
}

TEST(ModelConfig, ClassDefaultsDifferByFamily) {
  const ModelConfig llama = parse_model_config(R"({"model_type":"llama"})", "c");
  EXPECT_EQ(llama.vocab, 32000);
  EXPECT_EQ(llama.kv_heads, 32);
  EXPECT_EQ(llama.norm_eps, 1e-6);
  EXPECT_EQ(llama.rope.theta, 10000);
  EXPECT_FALSE(llama.tie_word_embeddings);
  EXPECT_EQ(llama.eos_ids, (std::vector<int64_t>{2}));
  EXPECT_EQ(parse_model_config(R"({"model_type":"llama","num_attention_heads":16})", "c").kv_heads, 16);
  const ModelConfig qwen2 = parse_model_config(R"({"model_type":"qwen2"})", "c");
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_FALSE(qwen2.out_bias);
  EXPECT_TRUE(qwen2.eos_ids.empty());
  EXPECT_EQ(qwen2.vocab, 151936);
  EXPECT_NE(message_of([] { parse_model_config(R"({"model_type":"qwen2","num_attention_heads":16})", "c"); }),
            "");
  EXPECT_EQ(
      parse_model_config(R"({"model_type":"qwen2","num_attention_heads":16,"num_key_value_heads":null})", "c")
          .kv_heads,
      16);
  const ModelConfig qwen3 = parse_model_config(kQwen3, "c");
  EXPECT_TRUE(qwen3.qk_norm);
  EXPECT_EQ(qwen3.head_dim, 16);
  EXPECT_EQ(
      parse_model_config(R"({"model_type":"qwen3","num_attention_heads":16,"num_key_value_heads":8})", "c")
          .head_dim,
      128);
  const ModelConfig gpt2 = parse_model_config(R"({"model_type":"gpt2"})", "c");
  EXPECT_EQ(gpt2.intermediate, 3072);
  EXPECT_TRUE(gpt2.tie_word_embeddings && gpt2.qkv_bias && gpt2.out_bias && gpt2.mlp_bias);
  EXPECT_EQ(gpt2.activation, Activation::kGeluTanh);
  EXPECT_EQ(gpt2.residual_dropout, 0.1);
  const ModelConfig small = parse_model_config(kGpt2, "c");
  EXPECT_EQ(small.intermediate, 256);
  EXPECT_EQ(small.kept.size(), 2u);
  EXPECT_EQ(
      parse_model_config(R"({"model_type":"gpt2","hidden_size":48,"num_attention_heads":4})", "c").head_dim,
      12);
}

TEST(ModelConfig, RopeInItsThreeSpellings) {
  const std::string base = without(kLlama, "rope_theta");
  const auto rope = [&](const std::string& members) {
    return parse_model_config(with(base, members), "c").rope;
  };
  const RopeConfig llama3{.type = RopeConfig::Type::kLlama3,
                          .theta = 500000,
                          .factor = 8,
                          .low_freq_factor = 1,
                          .high_freq_factor = 4,
                          .original_max_position = 8192};
  const std::string numbers =
      R"("factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192})";
  EXPECT_EQ(rope(R"("rope_theta":500000,"rope_scaling":{"type":"llama3",)" + numbers), llama3);
  EXPECT_EQ(rope(R"("rope_theta":500000.0,"rope_scaling":{"rope_type":"llama3",)" + numbers), llama3);
  EXPECT_EQ(rope(R"("rope_parameters":{"rope_theta":500000.0,"rope_type":"llama3",)" + numbers), llama3);
  EXPECT_EQ(rope(R"("rope_theta":500000,"rope_parameters":{"rope_theta":500000.0,"rope_type":"llama3",)" +
                 numbers + R"(,"rope_scaling":{"type":"llama3",)" + numbers),
            llama3);
  const RopeConfig linear{.type = RopeConfig::Type::kLinear, .theta = 10000, .factor = 2.5};
  EXPECT_EQ(rope(R"("rope_scaling":{"type":"linear","factor":2.5})"), linear);
  EXPECT_EQ(rope(R"("rope_scaling":null)"), RopeConfig{});
  EXPECT_EQ(rope(R"("rope_parameters":{"rope_type":"default","rope_theta":10000.0})"), RopeConfig{});
  EXPECT_EQ(rope(R"("rope_scaling":{"type":"llama3","factor":2})").original_max_position, 512);
}

struct Refusal {
  const char *base, *key, *value, *message;
  ErrorCode code = ErrorCode::kInvalidArgument;
};

TEST(ModelConfig, EachBadFieldIsRefusedByName) {
  constexpr ErrorCode kNo = ErrorCode::kUnsupported;
  const Refusal refusals[] = {
      {kLlama, "hidden_size", "0", "hidden_size: found 0, expected an integer from 1"},
      {kLlama, "hidden_size", "64.0", "hidden_size: found 64.0"},
      {kLlama, "hidden_size", "\"64\"", "hidden_size: found \"64\""},
      {kLlama, "hidden_size", "null", "hidden_size: found null"},
      {kLlama, "hidden_size", "true", "hidden_size: found true"},
      {kLlama, "hidden_size", "-64", "hidden_size: found -64"},
      {kLlama, "hidden_size", "99999999999999999999", "number", ErrorCode::kCorrupt},
      {kLlama, "hidden_size", "60", "hidden_size: found 60, expected a multiple"},
      {kLlama, "num_hidden_layers", "1000000000", "num_hidden_layers: found 1000000000"},
      {kLlama, "num_hidden_layers", "0", "num_hidden_layers: found 0"},
      {kLlama, "num_attention_heads", "0", "num_attention_heads: found 0"},
      {kLlama, "num_key_value_heads", "3", "num_key_value_heads: found 3, expected a divisor"},
      {kLlama, "num_key_value_heads", "0", "num_key_value_heads: found 0"},
      {kLlama, "head_dim", "7", "head_dim: found 7, expected an even number"},
      {kLlama, "head_dim", "100000", "head_dim: found 100000"},
      {kLlama, "vocab_size", "0", "vocab_size: found 0"},
      {kLlama, "intermediate_size", "9223372036854775807", "intermediate_size: found"},
      {kLlama, "max_position_embeddings", "0", "max_position_embeddings: found 0"},
      {kLlama, "rms_norm_eps", "-1", "rms_norm_eps: found -1"},
      {kLlama, "rms_norm_eps", "\"x\"", "rms_norm_eps: found \"x\""},
      {kLlama, "rope_theta", "0", "rope_theta: found 0"},
      {kLlama, "tie_word_embeddings", "1", "tie_word_embeddings: found 1"},
      {kLlama, "attention_bias", "\"no\"", "attention_bias: found \"no\""},
      {kLlama, "eos_token_id", "\"</s>\"", "eos_token_id: found \"</s>\""},
      {kLlama, "eos_token_id", "[2,\"x\"]", "eos_token_id[1]: found \"x\""},
      {kLlama, "bos_token_id", "1.5", "bos_token_id: found 1.5"},
      {kLlama, "hidden_act", "\"xielu\"", "hidden_act: found \"xielu\"", kNo},
      {kLlama, "model_type", "\"mamba\"", "model_type: found \"mamba\"", kNo},
      {kLlama, "model_type", "7", "model_type: found 7"},
      {kLlama, "architectures", "[\"LlamaForSequenceClassification\"]", "architectures[0]: found", kNo},
      {kLlama, "torch_dtype", "\"float8_e4m3fn\"", "torch_dtype: found \"float8_e4m3fn\"", kNo},
      {kLlama, "sliding_window", "4096", "sliding_window: found 4096", kNo},
      {kLlama, "quantization_config", "{\"bits\":4}", "quantization_config: found", kNo},
      {kLlama, "partial_rotary_factor", "0.5", "partial_rotary_factor: found 0.5", kNo},
      {kLlama, "is_encoder_decoder", "true", "is_encoder_decoder: found true", kNo},
      {kLlama, "attn_logit_softcapping", "50.0", "attn_logit_softcapping: found 50.0", kNo},
      {kLlama, "embedding_multiplier", "12", "embedding_multiplier: found 12", kNo},
      {kLlama, "num_local_experts", "8", "num_local_experts: found 8", kNo},
      {kLlama, "rope_scaling", "{\"type\":\"mrope\",\"factor\":4}", "rope_scaling.type: found \"mrope\"",
       kNo},
      {kLlama, "rope_scaling", "{\"type\":\"yarn\"}", "rope_scaling: key \"factor\" is missing"},
      {kLlama, "rope_scaling", "{\"type\":\"yarn\",\"factor\":4,\"beta_fast\":0.5}",
       "beta_fast: found 0.5, expected at least beta_slow (1)"},
      {kLlama, "rope_scaling", "{\"type\":\"dynamic\",\"factor\":0.5}", "rope_scaling.factor: found 0.5"},
      {kLlama, "rope_scaling", "{\"rope_type\":\"longrope\"}", "key \"short_factor\" is missing"},
      {kLlama, "rope_scaling",
       "{\"rope_type\":\"longrope\",\"short_factor\":[1,1,1],\"long_factor\":[1,1,1,1]}",
       "rope_scaling.short_factor: found 3 numbers, expected 4"},
      {kLlama, "rope_scaling", "{\"type\":\"linear\"}", "rope_scaling: key \"factor\" is missing"},
      {kLlama, "rope_scaling", "{\"type\":\"linear\",\"factor\":0.5}", "rope_scaling.factor: found 0.5"},
      {kLlama, "rope_scaling", "{\"type\":\"linear\",\"rope_type\":\"llama3\",\"factor\":2}",
       "expected the same as type"},
      {kLlama, "rope_scaling", "{\"type\":\"linear\",\"factor\":2,\"beta_fast\":3}",
       "rope_scaling.beta_fast: found 3", kNo},
      {kLlama, "rope_scaling",
       "{\"type\":\"llama3\",\"factor\":2,\"low_freq_factor\":4,\"high_freq_factor\":4}",
       "high_freq_factor: found 4"},
      {kLlama, "rope_scaling", "{\"type\":\"llama3\",\"factor\":2,\"low_freq_factor\":5}",
       "high_freq_factor: found 4"},
      {kLlama, "rope_scaling", "[]", "rope_scaling: found []"},
      {kLlama, "rope_parameters", "{\"rope_theta\":7777}", "rope_parameters.rope_theta: found 7777"},
      {kQwen2, "use_sliding_window", "true", "use_sliding_window: found true", kNo},
      {kQwen2, "layer_types", "[\"full_attention\",\"sliding_attention\"]", "layer_types[1]: found", kNo},
      {kQwen2, "layer_types", "[\"full_attention\"]", "expected 2 entries"},
      {kQwen2, "attention_bias", "false", "attention_bias: found false", kNo},
      {kQwen2, "num_attention_heads", "6", "hidden_size: found 64"},
      {kQwen3, "use_sliding_window", "true", "use_sliding_window: found true", kNo},
      {kQwen3, "head_dim", "null", "head_dim: found null"},
      {kGpt2, "n_embd", "62", "n_embd: found 62, expected a multiple of n_head"},
      {kGpt2, "hidden_size", "32", "hidden_size: found 32, expected 64, the value of n_embd"},
      {kGpt2, "n_inner", "0", "n_inner: found 0"},
      {kGpt2, "scale_attn_by_inverse_layer_idx", "true", "scale_attn_by_inverse_layer_idx: found true", kNo},
      {kGpt2, "reorder_and_upcast_attn", "true", "reorder_and_upcast_attn: found true", kNo},
      {kGpt2, "add_cross_attention", "true", "add_cross_attention: found true", kNo},
      {kGpt2, "resid_pdrop", "1.5", "resid_pdrop: found 1.5"},
      {kGpt2, "activation_function", "\"quick_gelu\"", "activation_function: found \"quick_gelu\"", kNo},
  };
  for (const Refusal& r : refusals) {
    const std::string json = set(r.base, r.key, r.value);
    const std::string message = message_of([&] { parse_model_config(json, "dir/config.json"); });
    EXPECT_NE(message.find(r.message), std::string::npos)
        << json << "\nwanted: " << r.message << "\nfound: " << message;
    EXPECT_EQ(message.rfind("dir/config.json: ", 0), 0u) << message;
    EXPECT_EQ(code_of([&] { parse_model_config(json, "c"); }), r.code) << json;
  }
  EXPECT_NE(message_of([] { parse_model_config("{}", "c"); }).find("\"model_type\" is missing"),
            std::string::npos);
  EXPECT_NE(message_of([] { parse_model_config("[]", "c"); }), "");
}

TEST(ModelConfig, NeutralValuesOfForeignKeysPass) {
  for (const char* members :
       {R"("sliding_window":null)", R"("partial_rotary_factor":1.0)", R"("pretraining_tp":1)",
        R"("quantization_config":null)", R"("use_moe":false)", R"("rope_scaling":null)", R"("head_dim":null)",
        R"("num_experts":null)", R"("partial_rotary_factor":1)"})
    EXPECT_EQ(message_of([&] { parse_model_config(with(kLlama, members), "c"); }), "") << members;
}

TEST(ModelConfig, WriteThenReadIsTheSame) {
  std::vector<std::string> configs = {kLlama, kQwen2, kQwen3, kGpt2};
  for (const char* family : {"gpt2", "llama", "qwen2", "qwen3"})
    configs.push_back(std::string("{\"model_type\":\"") + family + "\"}");
  configs.push_back(with(kLlama, R"("rope_scaling":{"type":"llama3","factor":3.5})"));
  configs.push_back(with(kLlama, R"("rope_scaling":{"type":"linear","factor":2})"));
  configs.push_back(with(kLlama, R"("attention_bias":true,"mlp_bias":true,"note":{"deep":[1,2.5,"é"]})"));
  configs.push_back(set(kGpt2, "n_inner", "100"));
  for (const std::string& json : configs) {
    const ModelConfig config = parse_model_config(json, "c");
    const std::string text = write_model_config(config);
    const ModelConfig again = parse_model_config(text, "c");
    EXPECT_EQ(write_model_config(again), text);
    EXPECT_EQ(again.kept, config.kept);
    EXPECT_EQ(again.rope, config.rope);
    EXPECT_EQ(again.norm_eps, config.norm_eps);
    EXPECT_EQ(again.intermediate, config.intermediate);
    EXPECT_EQ(again.eos_ids, config.eos_ids);
    EXPECT_EQ(again.qkv_bias, config.qkv_bias);
    EXPECT_EQ(again.dtype, config.dtype);
  }
  ModelConfig broken = default_model_config(Family::kLlama);
  broken.kv_heads = 5;
  EXPECT_NE(message_of([&] { write_model_config(broken); }), "");
}

TEST(ModelConfig, LoadsFromAFolder) {
  TempDir dir;
  EXPECT_EQ(code_of([&] { load_model_config(dir.path()); }), ErrorCode::kNotFound);
  atomic_write(dir.path("config.json"), kQwen2);
  EXPECT_EQ(load_model_config(dir.path()).family, Family::kQwen2);
}

TEST(GenerationConfig, ReadsAndKeeps) {
  const GenerationConfig c = parse_generation_config(
      R"({"do_sample":true,"temperature":0.6,"top_k":null,"top_p":0.9,"eos_token_id":[1,2],"pad_token_id":0,
          "repetition_penalty":1.1,"max_new_tokens":50,"transformers_version":"5.0","foo":[1]})",
      "g");
  EXPECT_EQ(c.temperature, 0.6);
  EXPECT_FALSE(c.top_k);
  EXPECT_EQ(c.top_p, 0.9);
  EXPECT_EQ(c.eos_ids, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(c.max_new_tokens, 50);
  EXPECT_EQ(c.kept.size(), 2u);
  const std::string text = write_generation_config(c);
  EXPECT_EQ(write_generation_config(parse_generation_config(text, "g")), text);
  TempDir dir;
  EXPECT_FALSE(load_generation_config(dir.path()).temperature);
  for (const char* json :
       {R"({"temperature":-1})", R"({"top_p":1.5})", R"({"top_k":-3})", R"({"do_sample":"yes"})",
        R"({"repetition_penalty":0})", R"({"max_new_tokens":1.5})", "[]"})
    EXPECT_NE(message_of([&] { parse_generation_config(json, "g"); }), "") << json;
}

}  // namespace
}  // namespace hoist::io
