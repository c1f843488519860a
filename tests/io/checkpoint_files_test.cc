#include "io/checkpoint_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "support.h"

namespace hoist::io {
namespace {

constexpr const char* kIndex = "model.safetensors.index.json";

void write_shard(const std::string& path, const std::vector<std::string>& names) {
  std::vector<TensorSpec> specs;
  for (const auto& name : names) specs.push_back({name, DType::f32, {1}});
  SafetensorsWriter writer(path, specs);
  const float x = 1;
  for (const TensorInfo& info : writer.tensors()) writer.write(info.name, &x, 4);
  writer.finish();
}

// A good folder of two shards: a, b in one and c in the other.
struct Folder {
  Folder() {
    write_shard(dir.path("s1.safetensors"), {"a", "b"});
    write_shard(dir.path("s2.safetensors"), {"c"});
    index(
        R"({"metadata":{"total_size":12},"weight_map":{"a":"s1.safetensors","b":"s1.safetensors","c":"s2.safetensors"}})");
  }
  void index(const std::string& text) { atomic_write(dir.path(kIndex), text); }
  std::string open() {
    return message_of([&] { CheckpointFiles files(dir.path()); });
  }
  TempDir dir;
};

TEST(CheckpointFiles, OpensShards) {
  Folder folder;
  const CheckpointFiles files(folder.dir.path());
  EXPECT_EQ(files.tensors().size(), 3u);
  EXPECT_EQ(files.data_bytes(), 12);
  float x = 0;
  files.read_as("c", DType::f32, &x, 0, 1);
  EXPECT_EQ(x, 1);
  EXPECT_EQ(code_of([&] { files.at("d"); }), ErrorCode::kNotFound);
}

TEST(CheckpointFiles, EachIndexRuleHasItsRefusal) {
  const struct {
    const char* index;
    const char* message;
  } defects[] = {
      {R"({"weight_map":{"a":"s1.safetensors","b":"s1.safetensors","c":"s3.safetensors"}})",
       "names s3.safetensors, which is not"},
      {R"({"weight_map":{"a":"s1.safetensors","b":"s2.safetensors","c":"s2.safetensors"}})",
       "b\" is in s2.safetensors, which does not hold it"},
      {R"({"weight_map":{"a":"s1.safetensors","b":"s1.safetensors","c":"s2.safetensors","d":"s2.safetensors"}})",
       "\"d\" is in s2"},
      {R"({"weight_map":{"a":"s1.safetensors","c":"s2.safetensors"}})", "does not name \"b\""},
      {R"({"weight_map":{"a":"s1.safetensors","b":"s1.safetensors","c":"../s2.safetensors"}})",
       "expected a plain name"},
      {R"({"weight_map":{"a":"/etc/s1.safetensors"}})", "expected a plain name"},
      {R"({"weight_map":{"a":".."}})", "expected a plain name"},
      {R"({"weight_map":{"a":""}})", "expected a plain name"},
      {R"({"weight_map":{"a":"x\\y.safetensors"}})", "expected a plain name"},
      {R"({"weight_map":{"a":"x\u0000.safetensors"}})", "expected a plain name"},
      {R"({"weight_map":{"a":"pytorch_model.bin"}})", "never opened"},
      {R"({"weight_map":{"a":"config.json"}})", "ends in .safetensors"},
      {R"({"weight_map":{"a":7}})", "weight_map.a: found 7"},
      {R"({"weight_map":[]})", "weight_map: found []"},
      {R"({"weight_map":{}})", "at least one tensor"},
      {R"({"map":{}})", "key \"weight_map\" is missing"},
      {R"([])", "expected an object"},
      {R"({"weight_map":{"a":"s1.safetensors","a":"s2.safetensors"}})", "given twice"},
      {R"({"weight_map":)", "not valid JSON"},
  };
  for (const auto& defect : defects) {
    Folder folder;
    folder.index(defect.index);
    const std::string message = folder.open();
    EXPECT_NE(message.find(defect.message), std::string::npos)
        << "wanted: " << defect.message << "\nfound: " << message;
    EXPECT_EQ(message.rfind(folder.dir.path(kIndex), 0), 0u) << message;
  }
}

TEST(CheckpointFiles, OneFileUnderTwoNamesIsRefused) {
  Folder folder;
  ASSERT_EQ(::link(folder.dir.path("s1.safetensors").c_str(), folder.dir.path("s3.safetensors").c_str()), 0);
  folder.index(R"({"weight_map":{"a":"s1.safetensors","b":"s3.safetensors","c":"s2.safetensors"}})");
  EXPECT_NE(folder.open().find("is the same file as"), std::string::npos);
}

TEST(CheckpointFiles, OneTensorInTwoShardsIsRefused) {
  Folder folder;
  write_shard(folder.dir.path("s2.safetensors"), {"a", "c"});
  EXPECT_NE(folder.open().find("is already in"), std::string::npos);
}

TEST(CheckpointFiles, PicklesAreRefusedWithAdvice) {
  TempDir dir;
  for (const char* name : {"pytorch_model.bin", "model.pt", "model.pth", "last.ckpt"}) {
    atomic_write(dir.path(name), "\x80\x02}q.");
    EXPECT_EQ(code_of([&] { CheckpointFiles files(dir.path(name)); }), ErrorCode::kUnsupported);
    EXPECT_NE(message_of([&] { CheckpointFiles files(dir.path()); }).find("convert it"), std::string::npos);
    remove_file(dir.path(name));
  }
  EXPECT_EQ(code_of([&] { CheckpointFiles files(dir.path()); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { CheckpointFiles files(dir.path("nowhere")); }), ErrorCode::kNotFound);
}

std::vector<TensorSpec> numbered(int n) {
  std::vector<TensorSpec> specs;
  for (int i = 0; i < n; ++i) specs.push_back({"t" + std::to_string(i), DType::f32, {i + 1}});
  return specs;
}

void write_all(CheckpointWriter& writer) {
  for (const TensorSpec& spec : writer.order()) {
    const std::vector<float> values(static_cast<size_t>(spec.shape[0]), static_cast<float>(spec.shape[0]));
    writer.write_as(spec.name, DType::f32, values.data(), spec.shape[0]);
  }
}

TEST(CheckpointWriter, SplitsGreedilyAndReadsBack) {
  for (int64_t limit : {1, 8, 40, 100, 100000}) {
    TempDir dir;
    CheckpointWriter writer(dir.path(), numbered(10), limit);
    write_all(writer);
    const auto written = writer.finish();
    for (const auto& [name, digest] : written)
      EXPECT_EQ(digest_file(dir.path(name)).xxh3_128, digest.xxh3_128);
    EXPECT_EQ(list_dir(dir.path()).size(), written.size());
    const CheckpointFiles files(dir.path());
    EXPECT_EQ(files.tensors().size(), 10u);
    for (const auto& shard : files.shards())
      EXPECT_TRUE(shard->data_bytes() <= limit || shard->tensors().size() == 1);
    float x[10];
    files.read_as("t9", DType::f32, x, 0, 10);
    EXPECT_EQ(x[9], 10);
    EXPECT_EQ(path_exists(dir.path("model.safetensors")), limit >= 220);
  }
}

TEST(CheckpointWriter, NewSaveIsNeverReadWithAnOldOne) {
  TempDir dir;
  const std::pair<int, int64_t> saves[] = {{4, 8}, {6, 100000}, {8, 24}, {8, 8}, {3, 100000}};
  for (const auto& [count, limit] : saves) {
    CheckpointWriter writer(dir.path(), numbered(count), limit);
    write_all(writer);
    const size_t files = writer.finish().size();
    EXPECT_EQ(CheckpointFiles(dir.path()).tensors().size(), static_cast<size_t>(count));
    EXPECT_EQ(list_dir(dir.path()).size(), files);
  }
}

TEST(CheckpointWriter, RefusesATensorDeclaredTwice) {
  TempDir dir;
  EXPECT_NE(message_of([&] {
              CheckpointWriter writer(dir.path(), {{"a", DType::f32, {4}}, {"a", DType::f32, {4}}}, 8);
            }),
            "");
}

}  // namespace
}  // namespace hoist::io
