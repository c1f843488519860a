#include "io/encoder_config.h"

#include <gtest/gtest.h>

#include "support.h"

namespace hoist::io {
namespace {

std::string with_labels(const std::string& labels) {
  return R"({"model_type":"bert","architectures":["BertForSequenceClassification"],"hidden_size":8,
 "intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2,"vocab_size":10,"max_position_embeddings":16,
 "id2label":)" +
         labels + "}";
}

TEST(EncoderConfig, LabelsInAnyOrder) {
  EXPECT_EQ(parse_encoder_config(with_labels(R"({"1":"b","0":"a"})"), "x").labels,
            (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(parse_encoder_config(with_labels("null"), "x").labels.size(), 2u);
  for (const char* labels : {R"({"1":"a"})", R"({"0":"a","2":"b"})", R"({"0":"a","01":"b"})",
                             R"({"0":"a","-1":"b"})", R"({"0":1})", R"(["a"])", "{}", "3"})
    EXPECT_NE(message_of([&] { parse_encoder_config(with_labels(labels), "x"); }), "") << labels;
}

// As many as there may be; looking each up among all of them would take minutes.
TEST(EncoderConfig, ManyLabels) {
  std::string labels = "{";
  for (int i = 99999; i >= 0; --i)
    labels += "\"" + std::to_string(i) + "\":\"" + std::to_string(i) + "\"" + (i ? "," : "}");
  const std::vector<std::string> read = parse_encoder_config(with_labels(labels), "x").labels;
  ASSERT_EQ(read.size(), 100000u);
  for (size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i], std::to_string(i));
}

}  // namespace
}  // namespace hoist::io
