// Benches on tiny sizes: every case runs, every row says what the table and the JSON promise. No claims about
// time.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "bench/command_peer.h"
#include "bench/generate.h"
#include "bench/harness.h"
#include "bench/kernel_cases.h"
#include "bench/machine.h"
#include "bench/peers.h"
#include "bench/random_model.h"
#include "bench/train.h"
#include "support/json.h"

namespace hoist::bench {
namespace {

using support::Json;

constexpr int64_t kLittleMemory = 1 << 20;

std::vector<Case> small_cases() {
  std::vector<Case> cases;
  const CaseOptions small{true};
  add_gemm_cases(small, cases);
  add_gemv_cases(small, cases);
  add_moe_cases(small, cases);
  add_attention_cases(small, cases);
  add_memory_cases(small, cases);
  add_codec_cases(small, cases);
  return cases;
}

// What every row must have, measured or not.
void expect_fields(const std::vector<Row>& rows) {
  const Json parsed = Json::parse(to_json(rows));
  ASSERT_TRUE(parsed.is_array());
  ASSERT_EQ(parsed.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const Json& j = parsed[i];
    SCOPED_TRACE(j.dump());
    for (const char* key : {"name", "shape", "dtype", "unit"}) {
      ASSERT_TRUE(j.contains(key) && j[key].is_string());
      EXPECT_FALSE(j[key].get<std::string>().empty()) << key;
    }
    EXPECT_TRUE(j.at("threads").is_integer());
    for (const char* key : {"value", "ceiling", "share"}) {
      ASSERT_TRUE(j.contains(key));
      EXPECT_TRUE(j[key].is_null() || j[key].get<double>() > 0) << key;
    }
    EXPECT_EQ(j.contains("peer"), !rows[i].peers.empty());
    EXPECT_EQ(j.contains("ratio"), !rows[i].peers.empty());
    EXPECT_TRUE(rows[i].value > 0 || j.contains("note"));
    EXPECT_FALSE(to_line(rows[i]).empty());
  }
}

TEST(Kernels, EveryCaseRunsOnEveryInstructionSet) {
  for (kernels::Isa isa :
       {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512, kernels::Isa::kAvx512Dot}) {
    if (!kernels::isa_available(isa)) continue;
    ThreadPoolOptions options;
    options.threads = 2;
    ThreadPool pool(options);
    Peers peers(2);
    const Setting setting{isa, 2, pool, peers};
    Ceilings ceilings(isa, pool, kLittleMemory);
    HarnessOptions harness;
    harness.rounds = 1;
    harness.turn_seconds = 0;
    int64_t seen = 0;
    const std::vector<Case> cases = small_cases();
    const std::vector<Row> rows =
        run_cases(cases, harness, setting, ceilings, [&](const Row&, int64_t at, int64_t total) {
          EXPECT_EQ(at, ++seen);
          EXPECT_EQ(total, static_cast<int64_t>(cases.size()));
        });
    expect_fields(rows);
    for (const Row& r : rows)  // f32 is what every instruction set can do
      EXPECT_TRUE(r.dtype != "f32" || r.value > 0) << r.name << " on " << kernels::isa_name(isa);
  }
}

TEST(Kernels, FilterChoosesByNameAndShape) {
  ThreadPoolOptions options;
  options.threads = 1;
  ThreadPool pool(options);
  Peers peers(1);
  const Setting setting{kernels::best_isa(), 1, pool, peers};
  Ceilings ceilings(setting.isa, pool, kLittleMemory);
  HarnessOptions harness;
  harness.rounds = 1;
  harness.turn_seconds = 0;
  harness.filter = "gemm.f32";
  auto run = [&] {
    return run_cases(small_cases(), harness, setting, ceilings, [](const Row&, int64_t, int64_t) {});
  };
  for (const Row& r : run()) EXPECT_EQ(r.name, "gemm.f32");
  EXPECT_FALSE(run().empty());
  harness.filter = "no such case";
  EXPECT_TRUE(run().empty());
}

TEST(Machine, RowsHaveEveryField) {
  MachineOptions options;
  options.threads = 2;
  options.rounds = 1;
  options.memory_bytes = kLittleMemory;
  options.disk = ::testing::TempDir();
  options.disk_bytes = 4 << 20;
  size_t seen = 0;
  const std::vector<Row> rows = measure_machine(options, [&](const Row&) { ++seen; });
  EXPECT_EQ(seen, rows.size());
  expect_fields(rows);
  for (const Row& r : rows) EXPECT_GT(r.value, 0) << r.name;
}

TEST(Machine, SaysWhichDiskFolderIsMissing) {
  try {
    measure_disk("/no/such/folder", 1 << 20);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kIo);
    EXPECT_NE(std::string(e.what()).find("/no/such/folder"), std::string::npos);
  }
}

TEST(Generate, RowsHaveEveryFieldAndPeersAreRunInTurns) {
  GenerateOptions options;
  options.shape = "tiny";
  options.prompt = 5;
  options.tokens = 3;
  options.threads = 2;
  options.rounds = 2;
  options.memory_bytes = kLittleMemory;
  options.peers = {parse_command_peer("prompt:other:speed=printf '{\"speed\": 2.5}'", {"prompt", "decode"})};
  for (const char* quant : {"f32", "bf16"})
    for (int64_t streams : {1, 3}) {
      options.quant = quant;
      options.streams = streams;
      options.context = streams == 3 ? 20 : 0;
      const std::vector<Row> rows = measure_generate(options, [](const std::string&) {});
      ASSERT_EQ(rows.size(), 2u);
      EXPECT_EQ(rows[0].name, "prompt");
      EXPECT_EQ(rows[1].name, "decode");
      expect_fields(rows);
      for (const Row& r : rows) EXPECT_GT(r.value, 0);
      ASSERT_EQ(rows[0].peers.size(), 1u);
      EXPECT_NEAR(rows[0].peers[0].value, 2.5, 2.5);  // derived from ratios: about it
      EXPECT_GT(rows[0].peers[0].value, 0);
    }
}

TEST(Train, RowHasEveryField) {
  TrainOptions options;
  options.shape = "tiny";
  options.batch = 2;
  options.seq = 8;
  options.threads = 2;
  options.rounds = 1;
  options.memory_bytes = kLittleMemory;
  for (const char* dtype : {"f32", "bf16"}) {
    options.dtype = dtype;
    const Row row = measure_train(options, [](const std::string&) {});
    expect_fields({row});
    EXPECT_GT(row.value, 0);
  }
}

// The costs that shares are counted from, against a count by hand.
TEST(Shapes, CostIsThatOfTheShape) {
  const io::ModelConfig llama = shape_config("llama-1.1b");
  const ModelCost c = model_cost(llama, {DType::bf16, {}});
  const double layer = 2048.0 * 2048 * 2 + 2 * 256.0 * 2048 + 3 * 5632.0 * 2048;
  EXPECT_EQ(c.layers, 22 * layer);
  EXPECT_EQ(c.head, 32000.0 * 2048);
  EXPECT_EQ(c.weight_bytes, 2 * (c.layers + c.head));
  EXPECT_EQ(c.norm_width, 45 * 2048.0);
  EXPECT_EQ(c.parameters, c.layers + 2 * c.head + c.norm_width);
  const ModelCost g = model_cost(shape_config("gpt2-124m"), {DType::f32, {}});
  EXPECT_EQ(g.parameters, 124439808.0);  // as published
  EXPECT_EQ(g.layers, 12 * 12.0 * 768 * 768);
  EXPECT_EQ(g.weight_bytes, 4 * (g.layers + g.head));
}

TEST(Shapes, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW(shape_config("gpt5"), Error);
  EXPECT_THROW(weight_storage("q3_x"), Error);
  GenerateOptions options;
  options.shape = "tiny";
  options.tokens = 0;
  EXPECT_THROW(measure_generate(options, [](const std::string&) {}), Error);
  options.tokens = 2;
  options.cache = "q9";
  EXPECT_THROW(measure_generate(options, [](const std::string&) {}), Error);
}

TEST(Rows, BestPeerGivesTheRatio) {
  Row r{"gemm.f32", "1x1x1", "f32", "GFLOP/s", 2, 30};
  r.peers = {{"a", 10}, {"b", 20}};
  const Json j = Json::parse(to_json({r}))[0];
  EXPECT_EQ(j["peer"], "b");
  EXPECT_EQ(j["ratio"], 1.5);
  EXPECT_EQ(j["peers"]["a"], 10);
  EXPECT_TRUE(j["ceiling"].is_null() && j["share"].is_null());
}

TEST(Rows, ShareAndPeersFollowFromRatios) {
  Row r{"gemm.f32", "1x1x1", "f32", "GFLOP/s", 2, 30};
  r.set_share(0.75);
  r.add_peer("a", 1.5);
  EXPECT_EQ(r.ceiling, 40);
  EXPECT_EQ(r.share(), 0.75);
  EXPECT_EQ(r.peers[0].value, 20);
  EXPECT_EQ(median_ratio({2, 8, 3}, {1, 2, 3}), 2);
  EXPECT_EQ(median_ratio({}, {}), 0);
}

TEST(CommandPeer, ParsesRowNameKeyAndCommand) {
  const CommandPeer p = parse_command_peer("decode:llama.cpp:avg_ts=x -a=b -o json", {"prompt", "decode"});
  EXPECT_EQ(p.row, "decode");
  EXPECT_EQ(p.name, "llama.cpp");
  EXPECT_EQ(p.key, "avg_ts");
  EXPECT_EQ(p.command, "x -a=b -o json");
  EXPECT_EQ(parse_command_peer("train:torch=y", {"train"}).key, "tokens_per_second");
  for (const char* bad : {"", "train", "train=x", "other:a=x", "train:=x", "train:a:=x", "train:a="})
    EXPECT_THROW(parse_command_peer(bad, {"train"}), Error) << bad;
}

TEST(CommandPeer, TakesTheNumberAfterTheLastKey) {
  EXPECT_EQ(number_after("{\"a\": 1, \"avg_ts\": 12.5, \"avg_ts\" : 7e1}", "avg_ts"), 70);
  EXPECT_EQ(number_after("speed=3", "speed"), 3);
  for (const char* none : {"", "speed", "speed: x", "speed: -1", "speed: nan", "speed: inf", "other 3"})
    EXPECT_EQ(number_after(none, "speed"), 0) << none;
  EXPECT_EQ(run_command_peer({"train", "x", "rate", "echo rate 4"}), 4);
  EXPECT_THROW(run_command_peer({"train", "x", "rate", "echo rate 4; exit 3"}), Error);
  EXPECT_THROW(run_command_peer({"train", "x", "rate", "echo nothing"}), Error);
}

TEST(Peers, NameWhatIsMissing) {
  Peers peers(1);
  EXPECT_TRUE(peers.empty());
  for (const char* bad :
       {"", "openblas", "mkl=/lib/x.so", "openblas=/no/such/lib.so", "onednn=/no/such/lib.so"})
    EXPECT_THROW(peers.open(bad), Error) << bad;
  EXPECT_TRUE(peers.matmul({2, 3, 4}).empty());
}

TEST(Ceilings, ArePositiveForEveryKind) {
  ThreadPoolOptions options;
  options.threads = 2;
  ThreadPool pool(options);
  for (kernels::Isa isa :
       {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512, kernels::Isa::kAvx512Dot}) {
    if (!kernels::isa_available(isa)) continue;
    Ceilings ceilings(isa, pool, kLittleMemory);
    for (Arithmetic a : {Arithmetic::kF32, Arithmetic::kBf16, Arithmetic::kI8}) EXPECT_GT(ceilings.fma(a), 0);
    for (Memory m : {Memory::kRead, Memory::kWrite, Memory::kCopy, Memory::kUpdate}) {
      EXPECT_GT(ceilings.memory(m), 0);
      EXPECT_FALSE(std::string(ceilings.chosen(m)).empty());
    }
    Work work;
    EXPECT_EQ(ceilings.seconds(work), 0);
    work.ops = 1e6;
    EXPECT_GT(ceilings.seconds(work), 0);
    work.read = 1e12;  // what takes longest binds
    EXPECT_GT(ceilings.seconds(work), 1);
  }
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
}

}  // namespace
}  // namespace hoist::bench
