// read_metrics: what a run logs, what a kill leaves, and what a resumed run logs twice.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <fstream>

#include "base/error.h"
#include "report/training_report.h"

namespace hoist::report {
namespace {

class Metrics : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "hoist-report-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    std::remove(path().c_str());
    std::remove(folder_.c_str());
  }
  std::string path() const { return folder_ + "/metrics.jsonl"; }
  TrainingReport read(const std::string& text) {
    std::ofstream(path(), std::ios::binary) << text;
    return read_metrics(path());
  }
  std::string refusal(const std::string& text) {
    try {
      read(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      return error.what();
    }
    ADD_FAILURE() << "read: " << text;
    return "";
  }

 private:
  std::string folder_;
};

std::string step_line(int step, const std::string& loss = "2.5") {
  return "{\"kind\":\"step\",\"step\":" + std::to_string(step) + ",\"loss\":" + loss +
         ",\"loss_hex\":\"0x1.4p+1\",\"lr\":0.001,\"grad_norm\":1.25,\"tokens\":" +
         std::to_string(step * 768) + ",\"tokens_per_second\":15000.5,\"seconds\":0.5}";
}
std::string eval_line(int step, const std::string& rest = "") {
  return "{\"kind\":\"eval\",\"step\":" + std::to_string(step) + ",\"loss\":2.25" + rest + "}";
}

TEST_F(Metrics, ReadsStepsAndEvaluations) {
  const auto r = read(step_line(1) + "\n" + step_line(2, "3") + "\n" + eval_line(2) + "\n" +
                      eval_line(2, ",\"whole\":true") + "\n");
  ASSERT_EQ(r.points.size(), 2u);
  EXPECT_EQ(r.points[1].step, 2);
  EXPECT_EQ(r.points[1].loss, 3);
  EXPECT_EQ(r.points[1].lr, 0.001);
  EXPECT_EQ(r.points[1].grad_norm, 1.25);
  EXPECT_EQ(r.points[1].tokens, 1536);
  EXPECT_EQ(r.points[1].tokens_per_second, 15000.5);
  EXPECT_EQ(r.points[1].seconds, 0.5);
  EXPECT_TRUE(r.points[1].applied);
  ASSERT_EQ(r.evals.size(), 2u);
  EXPECT_EQ(r.evals[0].loss, 2.25);
  EXPECT_FALSE(r.evals[0].whole);
  EXPECT_TRUE(r.evals[1].whole);
}

TEST_F(Metrics, TakesAnEmptyFileAndUnknownKinds) {
  EXPECT_TRUE(read("").points.empty());
  EXPECT_EQ(read("{\"kind\":\"note\",\"text\":\"x\"}\n\n" + step_line(1) + "\r\n").points.size(), 1u);
}

TEST_F(Metrics, NullIsUnknown) {
  const auto r = read("{\"kind\":\"step\",\"step\":1,\"loss\":null,\"grad_norm\":null,\"applied\":false}\n");
  ASSERT_EQ(r.points.size(), 1u);
  EXPECT_TRUE(std::isnan(r.points[0].loss));
  EXPECT_TRUE(std::isnan(r.points[0].lr));
  EXPECT_FALSE(r.points[0].applied);
}

// A kill may cut the file at any byte: every whole line counts, the rest is passed over.
TEST_F(Metrics, IgnoresALastLineCutAnywhere) {
  const std::string head = step_line(1) + "\n" + step_line(2) + "\n", line = step_line(3) + "\n";
  for (size_t cut = 0; cut <= line.size(); ++cut)
    EXPECT_EQ(read(head + line.substr(0, cut)).points.size(), cut + 1 >= line.size() ? 3u : 2u) << cut;
}

TEST_F(Metrics, RefusesABrokenLineInTheMiddle) {
  for (const char* bad : {"{\"kind\":\"step\",\"st", "[]", "7", "{\"step\":1}", "{\"kind\":\"step\"}",
                          "{\"kind\":\"step\",\"step\":-1}", "{\"kind\":\"step\",\"step\":1,\"loss\":\"2\"}",
                          "{\"kind\":\"step\",\"step\":1,\"step\":2}", "{\"kind\":\"eval\",\"step\":1.5}"})
    EXPECT_NE(refusal(step_line(1) + "\n" + bad + "\n" + step_line(3) + "\n").find("metrics.jsonl:2"),
              std::string::npos)
        << bad;
}

TEST_F(Metrics, ALaterRunReplacesWhatItTookAgain) {
  const auto r =
      read(step_line(1, "4") + "\n" + eval_line(1) + "\n" + step_line(2, "3") + "\n" + step_line(3, "2") +
           "\n" + eval_line(3) + "\n" + step_line(2, "1") + "\n" + eval_line(2) + "\n" + eval_line(2) + "\n");
  ASSERT_EQ(r.points.size(), 2u);
  EXPECT_EQ(r.points[0].loss, 4);
  EXPECT_EQ(r.points[1].loss, 1);
  ASSERT_EQ(r.evals.size(), 2u);
  EXPECT_EQ(r.evals[0].step, 1);
  EXPECT_EQ(r.evals[1].step, 2);
}

TEST_F(Metrics, NamesAMissingFile) {
  try {
    read_metrics(path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("metrics.jsonl"), std::string::npos);
  }
}

}  // namespace
}  // namespace hoist::report
