// config.json of the families beyond Llama's own shape: what each says, what it leaves to its class, and what
// is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "io/model_config.h"
#include "support.h"

namespace hoist::io {
namespace {

const char* const kSmall =
    R"("hidden_size":64,"intermediate_size":128,"num_hidden_layers":4,"num_attention_heads":8,
       "num_key_value_heads":4,"vocab_size":100,"max_position_embeddings":256)";

ModelConfig parse(const std::string& type, const std::string& members = "") {
  return parse_model_config(
      "{\"model_type\":\"" + type + "\"," + kSmall + (members.empty() ? "" : ",") + members + "}", "c");
}
std::string error(const std::string& type, const std::string& members) {
  return message_of([&] { parse(type, members); });
}

TEST(FamilyConfigs, UnknownOnesAreRefusedWithTheListOfKnownOnes) {
  EXPECT_NE(error("mamba", "")
                .find("model_type: found \"mamba\", expected gpt2, llama, mistral, smollm3, qwen2, "
                      "qwen3, phi3, gemma2, gemma3_text, mixtral, qwen2_moe or qwen3_moe"),
            std::string::npos);
  EXPECT_EQ(all_families().size(), 12u);
}

TEST(FamilyConfigs, MistralSlides) {
  EXPECT_EQ(parse("mistral").window, 4096);
  EXPECT_EQ(parse("mistral").head_dim, 8);
  EXPECT_EQ(parse("mistral", R"("sliding_window":null,"head_dim":16)").window, 0);
  EXPECT_EQ(parse("mistral", R"("sliding_window":7)").layer_window(3), 7);
  EXPECT_NE(error("mistral", R"("sliding_window":0)").find("sliding_window: found 0"), std::string::npos);
}

TEST(FamilyConfigs, SmolLM3LeavesRopeOutOfSomeLayers) {
  const ModelConfig c = parse("smollm3");
  EXPECT_TRUE(c.layer_rotates(0) && c.layer_rotates(2) && !c.layer_rotates(3));
  EXPECT_EQ(c.rope.theta, 2e6);
  const ModelConfig d = parse("smollm3", R"("no_rope_layers":[0,1,1,0,1])");
  EXPECT_TRUE(!d.layer_rotates(0) && d.layer_rotates(1) && !d.layer_rotates(3));
  EXPECT_NE(error("smollm3", R"("no_rope_layers":[1,1])").find("no_rope_layers: found"), std::string::npos);
}

TEST(FamilyConfigs, Phi3TurnsAPartOfAHead) {
  const std::string scaling = R"("rope_scaling":{"type":"su","short_factor":[1,1],"long_factor":[2,4]},)"
                              R"("original_max_position_embeddings":64,"partial_rotary_factor":0.5)";
  const ModelConfig c = parse("phi3", scaling);
  EXPECT_EQ(c.rotary_dim(), 4);
  EXPECT_EQ(c.rope.type, RopeConfig::Type::kLongrope);
  EXPECT_EQ(c.rope.original_max_position, 64);
  EXPECT_DOUBLE_EQ(c.rope.attention_factor, std::sqrt(1 + std::log(4.0) / std::log(64.0)));
  EXPECT_EQ(c.usual_context(), 64);
  EXPECT_EQ(c.longest_context(), 256);
  EXPECT_NE(error("phi3", R"("partial_rotary_factor":0.4)").find("partial_rotary_factor: found 0.4"),
            std::string::npos);
  EXPECT_NE(
      error("phi3", R"("rope_scaling":{"type":"longrope","short_factor":[1,1],"long_factor":[1,1,1,1]})")
          .find("short_factor: found 2 numbers, expected 4"),
      std::string::npos);
}

TEST(FamilyConfigs, YarnAndDynamic) {
  const RopeConfig yarn = parse("llama", R"("rope_scaling":{"type":"yarn","factor":4,"beta_slow":2})").rope;
  EXPECT_EQ(yarn.type, RopeConfig::Type::kYarn);
  EXPECT_EQ(yarn.original_max_position, 256);
  EXPECT_EQ(yarn.beta_slow, 2);
  EXPECT_DOUBLE_EQ(yarn.attention_factor, 0.1 * std::log(4.0) + 1);
  EXPECT_DOUBLE_EQ(
      parse("llama", R"("rope_scaling":{"type":"yarn","factor":4,"mscale":1.0,"mscale_all_dim":1.0})")
          .rope.attention_factor,
      1);
  const ModelConfig dynamic = parse("llama", R"("rope_scaling":{"type":"dynamic","factor":2})");
  EXPECT_EQ(dynamic.usual_context(), 256);
  EXPECT_EQ(dynamic.longest_context(), 512);
}

TEST(FamilyConfigs, GemmaAlternates) {
  const ModelConfig c = parse("gemma2");
  EXPECT_TRUE(c.layer_slides(0) && !c.layer_slides(1) && c.layer_slides(2));
  EXPECT_EQ(c.head_dim, 256);
  EXPECT_EQ(c.attention_softcap, 50);
  EXPECT_EQ(c.final_softcap, 30);
  EXPECT_TRUE(c.tie_word_embeddings && c.norm_offset());
  EXPECT_EQ(c.activation, Activation::kGeluTanh);
  EXPECT_EQ(parse("gemma2", R"("attn_logit_softcapping":null)").attention_softcap, 0);
  const ModelConfig d = parse("gemma3_text", R"("rope_theta":500000,"rope_local_base_freq":777,)"
                                             R"("sliding_window_pattern":3,"sliding_window":512)");
  EXPECT_TRUE(d.layer_slides(0) && d.layer_slides(1) && !d.layer_slides(2) && d.layer_slides(3));
  EXPECT_TRUE(d.local_layer(0) && !d.local_layer(2) && d.qk_norm);
  EXPECT_EQ(d.rope.theta, 500000);
  EXPECT_EQ(d.local_rope.theta, 777);
  EXPECT_EQ(d.final_softcap, 0);
  const ModelConfig e =
      parse("gemma3_text", R"("rope_parameters":{"full_attention":{"rope_type":"linear","factor":8.0,)"
                           R"("rope_theta":1000000.0},"sliding_attention":{"rope_type":"default"}})");
  EXPECT_EQ(e.rope.factor, 8);
  EXPECT_EQ(e.local_rope.theta, 10000);
  EXPECT_NE(error("gemma2", R"("layer_types":["full_attention","x","full_attention","full_attention"])")
                .find("layer_types[1]: found \"x\""),
            std::string::npos);
  EXPECT_NE(error("gemma2", R"("use_bidirectional_attention":true)").find("use_bidirectional_attention"),
            std::string::npos);
}

TEST(FamilyConfigs, Experts) {
  const ModelConfig c = parse("mixtral", R"("num_local_experts":4)");
  EXPECT_EQ(c.experts, 4);
  EXPECT_EQ(c.experts_per_token, 2);
  EXPECT_EQ(c.expert_intermediate, 128);
  EXPECT_TRUE(c.norm_topk && c.moe_layer(0));
  const ModelConfig d = parse("qwen2_moe");
  EXPECT_EQ(d.shared_intermediate, 5632);
  EXPECT_TRUE(d.qkv_bias && !d.norm_topk);
  const ModelConfig e =
      parse("qwen3_moe", R"("decoder_sparse_step":2,"mlp_only_layers":[1,99],"norm_topk_prob":true)");
  EXPECT_TRUE(!e.moe_layer(0) && !e.moe_layer(1) && !e.moe_layer(2) && e.moe_layer(3));
  EXPECT_TRUE(e.qk_norm && e.norm_topk);
  EXPECT_NE(error("mixtral", R"("num_experts_per_tok":9)").find("num_experts_per_tok: found 9"),
            std::string::npos);
  EXPECT_NE(message_of([] {
              parse_model_config(
                  R"({"model_type":"qwen3_moe","num_experts":65536,"moe_intermediate_size":1})", "c");
            }).find("layers times experts: found 1572864"),
            std::string::npos);
  EXPECT_NE(error("qwen2_moe", R"("use_sliding_window":true)").find("use_sliding_window"), std::string::npos);
}

TEST(FamilyConfigs, WriteThenReadIsTheSame) {
  std::vector<ModelConfig> configs;
  for (Family family : all_families()) configs.push_back(default_model_config(family));
  configs.push_back(parse("mistral", R"("sliding_window":null)"));
  configs.push_back(parse("smollm3", R"("no_rope_layers":[0,1,1,0])"));
  configs.push_back(parse("phi3",
                          R"("rope_scaling":{"type":"longrope","short_factor":[1,1],"long_factor":[2,4],)"
                          R"("attention_factor":1.25},"partial_rotary_factor":0.5)"));
  configs.push_back(parse("gemma2", R"("final_logit_softcapping":null,"sliding_window":null)"));
  configs.push_back(parse("gemma3_text", R"("sliding_window_pattern":2)"));
  configs.push_back(parse("qwen3_moe", R"("mlp_only_layers":[1])"));
  configs.push_back(parse("llama",
                          R"("rope_scaling":{"type":"yarn","factor":4,"truncate":false,"mscale":0.7,)"
                          R"("mscale_all_dim":1.0})"));
  configs.push_back(parse("llama", R"("rope_scaling":{"type":"dynamic","factor":2})"));
  configs.push_back(parse("llama", R"("rope_scaling":{"type":"longrope","factor":4,"short_factor":[1,1,1,1],)"
                                   R"("long_factor":[2,2,2,2]})"));
  for (const ModelConfig& config : configs) {
    const std::string text = write_model_config(config);
    const ModelConfig again = parse_model_config(text, "c");
    EXPECT_EQ(write_model_config(again), text);
    EXPECT_EQ(again.family, config.family);
    EXPECT_EQ(again.rope, config.rope) << text;
    EXPECT_EQ(again.local_rope, config.local_rope) << text;
    EXPECT_EQ(again.rotary_dim(), config.rotary_dim());
    EXPECT_EQ(again.experts, config.experts);
    EXPECT_EQ(again.expert_intermediate, config.expert_intermediate);
    EXPECT_EQ(again.shared_intermediate, config.shared_intermediate);
    EXPECT_EQ(again.norm_topk, config.norm_topk);
    EXPECT_EQ(again.attention_scalar, config.attention_scalar);
    EXPECT_EQ(again.attention_softcap, config.attention_softcap);
    EXPECT_EQ(again.final_softcap, config.final_softcap);
    for (int64_t i = 0; i < config.layers && !config.slides.empty(); ++i)
      EXPECT_EQ(again.layer_window(i), config.layer_window(i));
    for (int64_t i = 0; i < std::min<int64_t>(4, config.layers); ++i) {
      EXPECT_EQ(again.moe_layer(i), config.moe_layer(i));
      if (!config.unrotated.empty()) {
        EXPECT_EQ(again.layer_rotates(i), config.layer_rotates(i));
      }
    }
  }
}

}  // namespace
}  // namespace hoist::io
