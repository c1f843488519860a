// Fine-tuning on conversations: a run learns the answers, resumes exactly, and keeps the model's template.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "base/error.h"
#include "io/files.h"
#include "support.h"
#include "support/json.h"

namespace hoist::train {
namespace {

constexpr const char* kChatMl =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// A tokenizer's folder and two data sets in `root`.
Recipe chat_recipe(const std::string& root) {
  io::make_dirs(root + "/tokenizer");
  io::atomic_write(
      root + "/tokenizer/tokenizer.json",
      io::read_file(std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/tokenizers/qwen2.json", 1 << 24));
  io::atomic_write(root + "/tokenizer/chat_template.jinja", kChatMl);
  std::string chats, pairs;
  for (int i = 0; i < 60; ++i) {
    const int digit = (i + i / 10) % 10;  // not the same one wherever a sample is held out
    const std::string a = std::to_string(digit), b = std::to_string((digit + 1) % 10);
    chats += R"({"messages":[{"role":"user","content":"after )" + a +
             R"(?"},{"role":"assistant","content":"it is )" + b + "\"}]}\n";
    pairs += R"({"prompt":")" + a + R"( then ","completion":")" + b + "\"}\n";
  }
  io::atomic_write(root + "/chats.jsonl", chats);
  io::atomic_write(root + "/pairs.jsonl", pairs);
  Recipe r;
  r.paths = {root + "/chats.jsonl", root + "/pairs.jsonl"};
  r.format = "auto";
  r.tokenizer = root + "/tokenizer";
  r.family = "qwen2";
  r.hidden = 32;
  r.heads = 2;
  r.layers = 2;
  r.context = 64;
  r.validation = 0.1;
  r.steps = 60;
  r.batch = 4;
  r.lr = 1e-2;
  r.warmup = 4;
  r.checkpoint_every = 0;
  r.eval_every = 0;
  r.threads = 1;
  r.folder = root + "/run";
  return r;
}

TEST(SampleRuns, LearnAnswersAndResumeExactly) {
  TemporaryFolder tmp;
  const Recipe r = chat_recipe(tmp.path());
  std::vector<std::string> notes;
  TrainObserver observer;
  observer.note = [&](const std::string& text) { notes.push_back(text); };
  std::vector<float> want;
  observer.step = [&](const StepResult& s, int64_t, double, double) { want.push_back(s.loss); };
  std::atomic<bool> stop{false};
  double held = 0;
  observer.evaluation = [&](int64_t, double loss) { held = loss; };
  EXPECT_TRUE(Trainer(r, observer).run(stop));
  ASSERT_GE(notes.size(), 3u);
  EXPECT_NE(notes[0].find("60 samples of 1 file"), std::string::npos) << notes[0];
  EXPECT_NE(notes[2].find("% full"), std::string::npos) << notes[2];
  EXPECT_LT(want.back(), 0.3f * want.front());
  EXPECT_LT(held, 1.0);

  Recipe again = r;
  again.folder = tmp.path() + "/again";
  std::vector<float> got;
  observer.step = [&](const StepResult& s, int64_t, double, double) {
    got.push_back(s.loss);
    stop = s.step == 23;
  };
  EXPECT_FALSE(Trainer(again, observer).run(stop));
  stop = false;
  EXPECT_TRUE(Trainer(again, observer).run(stop));
  EXPECT_EQ(got, want);
  again.pack = false;
  EXPECT_THROW(Trainer(again, {}), Error) << "another recipe";

  // The model goes on from what was saved, and a template that came with a model stays with it.
  Recipe more = r;
  more.from = r.folder + "/model";
  more.folder = tmp.path() + "/more";
  more.steps = 2;
  EXPECT_TRUE(Trainer(more, {}).run(stop));
  EXPECT_EQ(io::read_file(more.folder + "/model/chat_template.jinja", 1 << 20), kChatMl);
}

TEST(SampleRuns, RanksAndMicroBatchesTakeTheSameSteps) {
  TemporaryFolder tmp;
  Recipe r = chat_recipe(tmp.path());
  const std::vector<float> want = losses(r, 6);
  struct Way {
    int64_t batch, accumulate, data, tensor;
  };
  for (Way w : {Way{2, 2, 1, 1}, Way{4, 1, 2, 1}, Way{4, 1, 1, 2}}) {
    r.batch = w.batch, r.accumulate = w.accumulate, r.data = w.data, r.tensor = w.tensor;
    r.folder = tmp.path() + "/" + std::to_string(w.batch) + std::to_string(w.data) + std::to_string(w.tensor);
    const std::vector<float> got = losses(r, 6);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-4f * want[i]);
  }
}

TEST(SampleRuns, ShowWhereLossLies) {
  TemporaryFolder tmp;
  const Trainer trainer(chat_recipe(tmp.path()), {});
  const auto first = trainer.first_samples();
  ASSERT_EQ(first.size(), 3u);
  std::vector<int32_t> trained;
  for (size_t i = 0; i < first[1].ids.size(); ++i)
    if (first[1].trained[i]) trained.push_back(first[1].ids[i]);
  EXPECT_EQ(trainer.tokenizer().decode(trained, false), "it is 2<|im_end|>");
}

TEST(SampleRuns, MistakesAreNamed) {
  TemporaryFolder tmp;
  auto message = [&](auto change) {
    Recipe r = chat_recipe(tmp.path());
    change(r);
    try {
      Trainer trainer(r, {});
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(message([](Recipe& r) { r.weights = {1}; }),
            "data.weights: found 1 numbers, expected 2, one for each of data.paths");
  EXPECT_NE(message([](Recipe& r) { r.context = 4; }).find("longer than 5 tokens"), std::string::npos);
  EXPECT_NE(message([&](Recipe& r) {
              io::remove_file(r.tokenizer + "/chat_template.jinja");
            }).find("chats.jsonl:1: found a conversation, expected a model with a chat template"),
            std::string::npos);
  try {
    parse_recipe("[data]\npaths = [\"a\"]\nformat = \"messages\"\n", "r.toml", {});
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_STREQ(
        e.what(),
        "r.toml: data.format: found messages, expected documents without model.from or a tokenizer's "
        "folder in data.tokenizer");
  }
  const Recipe r = parse_recipe("[data]\npaths = [\"a\", \"b\"]\nweights = [1, 2.5]\n", "r.toml", {});
  EXPECT_EQ(r.weights, (std::vector<double>{1, 2.5}));
  EXPECT_EQ(
      print(parse_recipe(print(r), "again", {"weights=[3]"})).find("weights = [3.0]") == std::string::npos,
      false);
}

}  // namespace
}  // namespace hoist::train
