// Several models behind one API: loaded when asked for, unloaded, exchanged; nothing fails, nothing mixes.
#include "serve/model_host.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "base/error.h"
#include "http/fake_engine.h"

namespace hoist::serve {
namespace {

using http::CompletionEvent;
using http::CompletionRequest;

// Says "<model>:<version>[+<adapter's content>]" as every token.
class FakeModel final : public HostedModel {
 public:
  FakeModel(const std::string& says, int64_t slots, std::atomic<int>& alive)
      : engine_(options(says)), tags_(static_cast<size_t>(slots)), alive_(alive) {
    ++alive_;
  }
  ~FakeModel() override { --alive_; }
  http::CompletionEngine& engine() override { return front_; }
  EngineLoad load() const override { return {}; }
  int64_t adapter_slots() const override { return static_cast<int64_t>(tags_.size()); }
  void set_adapter(int64_t slot, const std::string& folder) override {
    if (folder == "bad") throw_not_found("bad: no such adapter");
    const std::lock_guard lock(mutex_);
    tags_[static_cast<size_t>(slot)] = folder;
  }

 private:
  static http::FakeEngineOptions options(const std::string& says) {
    http::FakeEngineOptions o;
    o.token = says;
    o.step = std::chrono::microseconds(200);
    return o;
  }
  // Adds what the adapter's slot held when the request began.
  struct Front final : http::CompletionEngine {
    explicit Front(FakeModel& m) : model(m) {}
    http::ModelInfo info() const override { return model.engine_.info(); }
    Handle submit(CompletionRequest r, http::CompletionSink sink) override {
      std::string tag;
      if (r.adapter >= 0) {
        const std::lock_guard lock(model.mutex_);
        tag = "+" + model.tags_.at(static_cast<size_t>(r.adapter));
      }
      return model.engine_.submit(std::move(r), [tag, sink = std::move(sink)](CompletionEvent e) {
        if (!e.text.empty()) e.text += tag + " ";
        sink(std::move(e));
      });
    }
    void cancel(Handle handle) override { model.engine_.cancel(handle); }
    FakeModel& model;
  };
  http::FakeEngine engine_;
  std::mutex mutex_;
  std::vector<std::string> tags_;
  std::atomic<int>& alive_;
  Front front_{*this};
};

struct World {
  std::atomic<int> alive{0}, loads{0};
  std::mutex mutex;
  std::map<std::string, int> version;  // by path
  std::map<std::string, bool> broken;  // loading fails
  int64_t slots = 0;
  std::unique_ptr<HostedModel> load(const ModelSource& s) {
    ++loads;
    const std::lock_guard lock(mutex);
    if (broken[s.path]) throw_corrupt(s.path + ": broken");
    return std::make_unique<FakeModel>(s.name + ":" + std::to_string(version[s.path]), slots, alive);
  }
  ModelHostOptions options() {
    ModelHostOptions o;
    o.fingerprint = [this](const std::string& path) {
      const std::lock_guard lock(mutex);
      return path + std::to_string(version[path]);
    };
    return o;
  }
  ModelHost::Load loader() {
    return [this](const ModelSource& s) { return load(s); };
  }
};

struct Answer {
  std::string text;
  bool failed = false;
  std::exception_ptr refused;
};

// Waits for the whole answer.
std::future<Answer> ask(ModelHost& host, const std::string& model, int64_t tokens = 3) {
  CompletionRequest r;
  r.prompt = "say";
  r.model = model;
  r.max_tokens = tokens;
  auto promise = std::make_shared<std::promise<Answer>>();
  auto answer = std::make_shared<Answer>();
  host.submit(r, [promise, answer](CompletionEvent e) {
    answer->text += e.text;
    if (e.refused) answer->refused = e.refused;
    if (e.finished) {
      answer->failed = e.reason == http::FinishReason::kError;
      promise->set_value(*answer);
    }
  });
  return promise->get_future();
}

std::string times(const std::string& word, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += word;
  return out;
}

TEST(ModelHost, LoadsWhenAskedAndMakesRoom) {
  World w;
  ModelHost host({{"a", "pa", {}}, {"b", "pb", {}}, {"c", "pc", {}}}, w.loader(), w.options());
  host.wait_for_first();
  EXPECT_EQ(host.state(), http::EngineState::kReady);
  EXPECT_EQ(w.loads, 1);
  EXPECT_EQ(ask(host, "").get().text, times("a:0 ", 3));
  EXPECT_EQ(ask(host, "b").get().text, times("b:0 ", 3));  // waits until it is loaded; a makes room
  EXPECT_EQ(ask(host, "c").get().text, times("c:0 ", 3));
  EXPECT_EQ(w.alive, 1);
  EXPECT_EQ(ask(host, "a").get().text, times("a:0 ", 3));
  EXPECT_EQ(w.loads, 4);
  std::vector<std::string> names;
  for (const auto& m : host.models()) names.push_back(m.id + (m.loaded ? "!" : ""));
  EXPECT_EQ(names, (std::vector<std::string>{"a!", "b", "c"}));
  EXPECT_THROW(ask(host, "d"), Error);
}

TEST(ModelHost, SeveralStayWhenTheyMay) {
  World w;
  ModelHostOptions o = w.options();
  o.max_loaded = 2;
  ModelHost host({{"a", "pa", {}}, {"b", "pb", {}}, {"c", "pc", {}}}, w.loader(), o);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(ask(host, "a").get().text, times("a:0 ", 3));
    EXPECT_EQ(ask(host, "b").get().text, times("b:0 ", 3));
  }
  EXPECT_EQ(w.loads, 2);
  ask(host, "c").get();  // the one idle longest goes: a
  EXPECT_EQ(w.loads, 3);
  ask(host, "b").get();
  EXPECT_EQ(w.loads, 3);
}

TEST(ModelHost, ABusyModelIsNotTakenAway) {
  World w;
  ModelHost host({{"a", "pa", {}}, {"b", "pb", {}}}, w.loader(), w.options());
  host.wait_for_first();
  auto lengthy = ask(host, "a", 400);
  auto other = ask(host, "b");
  EXPECT_EQ(lengthy.get().text, times("a:0 ", 400));
  EXPECT_EQ(other.get().text, times("b:0 ", 3));
}

TEST(ModelHost, WhatCannotBeLoadedIsSaid) {
  World w;
  w.broken["pb"] = true;
  ModelHost host({{"a", "pa", {}}, {"b", "pb", {}}}, w.loader(), w.options());
  const Answer answer = ask(host, "b").get();
  EXPECT_TRUE(answer.failed);
  ASSERT_TRUE(answer.refused);
  try {
    std::rethrow_exception(answer.refused);
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("pb"), std::string::npos);
  }
  w.broken["pb"] = false;
  EXPECT_EQ(ask(host, "b").get().text, times("b:0 ", 3));

  World bad;
  bad.broken["pa"] = true;
  ModelHost first({{"a", "pa", {}}}, bad.loader(), bad.options());
  EXPECT_THROW(first.wait_for_first(), Error);
}

TEST(ModelHost, NamesAreDistinct) {
  World w;
  EXPECT_THROW(ModelHost({{"a", "pa", {}}, {"a", "pb", {}}}, w.loader(), w.options()), Error);
  EXPECT_THROW(ModelHost({{"a", "pa", {{"a", "x"}}}}, w.loader(), w.options()), Error);
}

TEST(ModelHost, ChangedFilesAreExchangedAndNothingMixes) {
  World w;
  ModelHostOptions o = w.options();
  o.reload_seconds = 0.001;
  ModelHost host({{"a", "pa", {}}}, w.loader(), o);
  host.wait_for_first();
  std::atomic<bool> stop{false};
  std::atomic<int> answers{0}, wrong{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c)
    clients.emplace_back([&] {
      while (!stop) {
        const Answer a = ask(host, "a", 20).get();
        const std::string word = a.text.substr(0, a.text.size() / 20);
        if (a.failed || a.text != times(word, 20)) ++wrong;
        ++answers;
      }
    });
  for (int v = 1; v <= 20; ++v) {
    {
      const std::lock_guard lock(w.mutex);
      w.version["pa"] = v;
    }
    const std::string wanted = times("a:" + std::to_string(v) + " ", 3);
    while (ask(host, "a").get().text != wanted) {
    }
  }
  stop = true;
  for (auto& c : clients) c.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(answers, 20);
}

TEST(ModelHost, ABrokenChangeLeavesTheOldOne) {
  World w;
  ModelHostOptions o = w.options();
  o.reload_seconds = 0.001;
  std::promise<void> refused;
  std::atomic<int> lines{0};
  o.log = [&](const std::string& line) {
    if (line.find("the old one stays") != line.npos && ++lines == 1) refused.set_value();
  };
  ModelHost host({{"a", "pa", {}}}, w.loader(), o);
  host.wait_for_first();
  {
    const std::lock_guard lock(w.mutex);
    w.broken["pa"] = true;
    w.version["pa"] = 1;
  }
  refused.get_future().wait();
  EXPECT_EQ(ask(host, "a").get().text, times("a:0 ", 3));
  {
    const std::lock_guard lock(w.mutex);
    w.broken["pa"] = false;
    w.version["pa"] = 2;
  }
  while (ask(host, "a").get().text != times("a:2 ", 3)) {
  }
  EXPECT_EQ(lines, 1);  // not tried again while nothing changed
}

TEST(ModelHost, IdleModelsGo) {
  World w;
  ModelHostOptions o = w.options();
  o.unload_after = 1e-3;
  std::promise<void> unloaded;
  std::atomic<int> lines{0};
  o.log = [&](const std::string& line) {
    if (line.find("idle") != line.npos && ++lines == 1) unloaded.set_value();
  };
  ModelHost host({{"a", "pa", {}}}, w.loader(), o);
  unloaded.get_future().wait();
  EXPECT_EQ(host.state(), http::EngineState::kReady);
  EXPECT_EQ(ask(host, "a").get().text, times("a:0 ", 3));
}

TEST(ModelHost, AdaptersComeAndGoWhileRequestsRun) {
  World w;
  w.slots = 3;
  ModelHost host({{"a", "pa", {{"x", "x0"}}}}, w.loader(), w.options());
  host.wait_for_first();
  EXPECT_EQ(ask(host, "x").get().text, times("a:0+x0 ", 3));
  EXPECT_EQ(ask(host, "a").get().text, times("a:0 ", 3));
  EXPECT_EQ(host.models().at(1).parent, "a");
  EXPECT_THROW(host.load_adapter("a", "f", ""), Error);
  EXPECT_THROW(host.load_adapter("y", "bad", ""), Error);
  EXPECT_THROW(host.unload_adapter("y"), Error);

  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c)
    clients.emplace_back([&, c] {
      while (!stop) {
        const Answer a = ask(host, c % 2 ? "x" : "a", 20).get();
        const std::string word = a.text.substr(0, a.text.size() / 20);
        if (a.failed || a.text != times(word, 20)) ++wrong;
      }
    });
  for (int v = 1; v <= 20; ++v) {
    host.load_adapter("x", "x" + std::to_string(v), "a");
    EXPECT_EQ(ask(host, "x").get().text, times("a:0+x" + std::to_string(v) + " ", 3));
  }
  stop = true;
  for (auto& c : clients) c.join();
  EXPECT_EQ(wrong, 0);
  host.unload_adapter("x");
  EXPECT_THROW(ask(host, "x"), Error);
}

TEST(ModelHost, CancelsAtAnyTime) {
  World w;
  ModelHost host({{"a", "pa", {}}, {"b", "pb", {}}}, w.loader(), w.options());
  std::atomic<int> late{0};
  for (int i = 0; i < 200; ++i) {
    CompletionRequest r;
    r.prompt = "say";
    r.model = i % 3 ? "a" : "b";
    r.max_tokens = 50;
    const auto handle = host.submit(r, [](CompletionEvent) {});
    if (i % 5) std::this_thread::sleep_for(std::chrono::microseconds(i * 7 % 300));
    host.cancel(handle);
    host.cancel(handle);
  }
  EXPECT_EQ(ask(host, "a").get().text, times("a:0 ", 3));
  EXPECT_EQ(late, 0);
}

}  // namespace
}  // namespace hoist::serve
