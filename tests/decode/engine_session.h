// Engines over small committed models, and what they say: tokens and the bits of all logits.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <random>

#include "decode/engine.h"
#include "io/checkpoint_files.h"
#include "io/files.h"

namespace hoist::decode {

using Tokens = std::vector<int32_t>;

inline Model fixture(const std::string& name) {
  std::string folder = HOIST_SOURCE_DIR;
  folder += "/tests/fixtures/parity/" + name;
  Model m;
  m.folder = folder;
  m.name = name;
  m.config = io::load_model_config(folder);
  m.files = std::make_unique<io::CheckpointFiles>(io::join_path(folder, "model.safetensors"));
  return m;
}

inline EngineOptions small(int64_t seqs, int64_t context, int64_t cache_tokens) {
  EngineOptions o;
  o.threads = 1;
  o.max_seqs = seqs;
  o.step_tokens = 24;
  o.context = context;
  o.cache_tokens = cache_tokens;
  o.block = 4;
  return o;
}

// What became of a sequence: its tokens, and the bits of all its logits.
struct Said {
  Tokens tokens;
  std::vector<float> logits;
  Finish finish = Finish::kNone;
  int64_t reused = 0;
  bool keep_logits = true;
};

struct Session {
  Engine engine;
  std::map<uint64_t, std::shared_ptr<Said>> said;
  int32_t tenant = 0, priority = 0;  // of those added from here on
  Session(const Model& m, const EngineOptions& o) : engine(m, o) {}
  uint64_t add(const Tokens& prompt, int64_t count, uint64_t scope = 0, const SamplingParams& sampling = {},
               int64_t adapter = -1) {
    auto s = std::make_shared<Said>();
    SequenceRequest r;
    r.prompt = prompt;
    r.max_tokens = count;
    r.scope = scope;
    r.sampling = sampling;
    r.adapter = adapter;
    r.tenant = tenant;
    r.priority = priority;
    r.on_logits = [s](std::span<const float> x) {
      if (s->keep_logits) s->logits.insert(s->logits.end(), x.begin(), x.end());
    };
    const uint64_t id = engine.add(std::move(r));
    said[id] = s;
    return id;
  }
  void step() {
    std::vector<TokenEvent> events;
    engine.step(events);
    for (const TokenEvent& e : events) {
      Said& s = *said[e.id];
      if (e.token != kNoToken) s.tokens.push_back(e.token);
      s.finish = e.finish;
      s.reused = e.reused;
    }
  }
  void finish() {
    while (!engine.idle()) step();
  }
};

// What a sequence says with nothing beside it and nothing kept from before.
class Alone {
 public:
  Alone(const Model& m, EngineOptions o) : session_(m, only_one(std::move(o))) {}
  Said say(const Tokens& prompt, int64_t count, const SamplingParams& sampling = {}) {
    const uint64_t id = session_.add(prompt, count, 0, sampling);
    session_.finish();
    return *session_.said[id];
  }

 private:
  static EngineOptions only_one(EngineOptions o) {
    o.max_seqs = 1;
    o.cache_tokens = o.context;
    o.prefix_cache = false;
    o.policy = {"fcfs", {}};
    o.swap_bytes = 0;
    o.speculate = 0;
    return o;
  }
  Session session_;
};

inline Said alone(const Model& m, const Tokens& prompt, int64_t count) {
  return Alone(m, small(1, 64, 64)).say(prompt, count);
}

inline void expect_same(const Said& got, const Said& want) {
  EXPECT_EQ(got.tokens, want.tokens);
  ASSERT_EQ(got.logits.size(), want.logits.size());
  EXPECT_EQ(0, std::memcmp(got.logits.data(), want.logits.data(), got.logits.size() * sizeof(float)));
}

inline Tokens some(std::mt19937& random, int64_t count, int64_t vocab) {
  Tokens t;
  for (int64_t i = 0; i < count; ++i)
    t.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(vocab)));
  return t;
}

}  // namespace hoist::decode
