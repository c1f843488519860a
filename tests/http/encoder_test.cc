// The embedding and scoring routes over an engine without a model.
#include "http/encoder_api.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <thread>

#include "http/client.h"
#include "http/fake_encoder.h"
#include "http/page.h"
#include "http/running_server.h"
#include "support/json.h"

namespace hoist::http {
namespace {

using support::Json;

class EncoderApiTest : public testing::Test {
 protected:
  EncoderApiTest() : server(test_options()), api(engine, server, 1 << 16) { api.add_routes(router); }
  ~EncoderApiTest() override {
    server.stop();
    if (thread.joinable()) thread.join();
  }
  Answer post(const char* path, const Json& body) {
    if (!thread.joinable()) thread = std::thread([this] { server.serve(router); });
    return ask(server.port(), "POST", path, body.dump());
  }
  FakeEncoder engine;
  Server server;
  EncoderApi api;
  Router router;
  std::thread thread;
};

TEST_F(EncoderApiTest, EmbeddingsOfTextsAndTokens) {
  Answer a = post("/v1/embeddings", {{"input", "abc"}, {"model", "fake-encoder"}});
  ASSERT_EQ(a.status, 200) << a.body;
  Json j = Json::parse(a.body);
  EXPECT_EQ(j["object"], "list");
  EXPECT_EQ(j["data"].size(), 1u);
  EXPECT_EQ(j["data"][0]["embedding"].size(), 4u);
  EXPECT_EQ(j["data"][0]["embedding"][0], 3);
  EXPECT_EQ(j["usage"]["prompt_tokens"], 3);
  EXPECT_NE(a.body.find(",0.1,"), std::string::npos) << "floats are written short";

  j = Json::parse(post("/v1/embeddings", {{"input", {"a", "bcd"}}}).body);
  EXPECT_EQ(j["data"].size(), 2u);
  EXPECT_EQ(j["data"][1]["index"], 1);
  EXPECT_EQ(j["usage"]["total_tokens"], 4);

  post("/v1/embeddings", {{"input", {7, 8, 9}}});
  EXPECT_EQ(engine.seen.back().ids, (std::vector<int64_t>{7, 8, 9}));
  j = Json::parse(post("/v1/embeddings", {{"input", {{7, 8, 9}, {1}}}}).body);
  EXPECT_EQ(j["data"].size(), 2u);
}

TEST_F(EncoderApiTest, Base64HoldsTheSameFloats) {
  const Answer a = post("/v1/embeddings", {{"input", "abc"}, {"encoding_format", "base64"}});
  ASSERT_EQ(a.status, 200);
  // 3, 1, 0.1 and -2 as little-endian floats.
  EXPECT_EQ(Json::parse(a.body)["data"][0]["embedding"], "AABAQAAAgD/NzMw9AAAAwA==");
}

TEST_F(EncoderApiTest, DimensionsWhereTheModelAllowsThem) {
  EXPECT_EQ(post("/v1/embeddings", {{"input", "abc"}, {"dimensions", 4}}).status, 200);
  const Answer refused = post("/v1/embeddings", {{"input", "abc"}, {"dimensions", 2}});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(Json::parse(refused.body)["error"]["param"], "dimensions");
  engine.model.shorter = engine.model.unit = true;
  const Json j = Json::parse(post("/v1/embeddings", {{"input", "abc"}, {"dimensions", 2}}).body);
  const auto x = j["data"][0]["embedding"][0].get<double>(), y = j["data"][0]["embedding"][1].get<double>();
  EXPECT_NEAR(x * x + y * y, 1, 1e-6);
}

TEST_F(EncoderApiTest, BadRequestsNameTheField) {
  const auto expect = [&](const char* path, const Json& body, const char* param, const char* text) {
    const Answer a = post(path, body);
    EXPECT_EQ(a.status, 400) << a.body;
    const Json error = Json::parse(a.body)["error"];
    EXPECT_EQ(error["param"], *param ? Json(param) : Json()) << a.body;
    EXPECT_NE(a.body.find(text), std::string::npos) << a.body;
  };
  expect("/v1/embeddings", {{"model", "fake-encoder"}}, "input", "missing");
  expect("/v1/embeddings", {{"input", Json::array()}}, "input", "at least one");
  expect("/v1/embeddings", {{"input", {1, "a"}}}, "input", "expected");
  expect("/v1/embeddings", {{"input", {-1}}}, "input", "expected");
  expect("/v1/embeddings", {{"input", "a"}, {"encoding_format", "hex"}}, "encoding_format",
         "float or base64");
  expect("/v1/embeddings", {{"input", "a"}, {"colour", 1}}, "colour", "unknown field");
  expect("/v1/embeddings", {{"input", Json::array({std::string(33, 'a')})}}, "input", "at most 32");
  expect("/v1/rerank", {{"query", "a"}}, "documents", "missing");
  expect("/v1/rerank", {{"query", "a"}, {"documents", {{{"title", "x"}}}}}, "documents", "text");
  expect("/v1/score", {{"text_1", {"a", "b"}}, {"text_2", {"a"}}}, "text_2", "expected as many");
  expect("/classify", {{"input", "a"}}, "", "no classification head");
  EXPECT_EQ(post("/v1/embeddings", {{"input", "a"}, {"model", "other"}}).status, 404);
}

TEST_F(EncoderApiTest, RerankByPairsSortsAndCuts) {
  engine.model.labels = {"LABEL_0"};
  const Json body = {{"query", "q"},
                     {"documents", {"ccc", "a", Json{{"text", "bbbbb"}}}},
                     {"top_n", 2},
                     {"return_documents", true}};
  for (const char* path : {"/v1/rerank", "/rerank"}) {
    const Json j = Json::parse(post(path, body).body);
    ASSERT_EQ(j["results"].size(), 2u);
    EXPECT_EQ(j["results"][0]["index"], 2);
    EXPECT_EQ(j["results"][0]["document"]["text"], "bbbbb");
    EXPECT_NEAR(j["results"][0]["relevance_score"].get<double>(), 1 / (1 + std::exp(-2.0)), 1e-9);
    EXPECT_EQ(j["results"][1]["index"], 0);
  }
  EXPECT_EQ(engine.seen.back().text, "q");
  EXPECT_EQ(*engine.seen.back().second, "bbbbb");
}

TEST_F(EncoderApiTest, ScoresWithoutAHeadAreCosines) {
  const Json j = Json::parse(post("/v1/score", {{"text_1", "abc"}, {"text_2", {"abc", "a"}}}).body);
  ASSERT_EQ(j["data"].size(), 2u);
  EXPECT_NEAR(j["data"][0]["score"].get<double>(), 1, 1e-9);
  EXPECT_LT(j["data"][1]["score"].get<double>(), 1);
}

TEST_F(EncoderApiTest, ClassesHaveProbabilities) {
  engine.model.labels = {"x", "y", "z"};
  const Json j = Json::parse(post("/v1/classify", {{"input", {"a", "abcdef"}}}).body);
  ASSERT_EQ(j["data"].size(), 2u);
  EXPECT_EQ(j["data"][1]["label"], "z");
  double sum = 0;
  for (const auto& p : j["data"][1]["probs"]) sum += p.get<double>();
  EXPECT_NEAR(sum, 1, 1e-9);
  EXPECT_EQ(post("/v1/rerank", {{"query", "a"}, {"documents", {"b"}}}).status, 400);
}

TEST_F(EncoderApiTest, AFailureFailsTheWholeAnswer) {
  engine.fail = true;
  const Answer a = post("/v1/embeddings", {{"input", {"a", "b"}}});
  EXPECT_GE(a.status, 500) << a.body;
}

}  // namespace
}  // namespace hoist::http
