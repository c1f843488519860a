#include "io/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <random>

#include "support.h"

namespace hoist::io {
namespace {

std::string file_of(const std::string& header, size_t data_bytes, int64_t length = -1) {
  const uint64_t n = length < 0 ? header.size() : static_cast<uint64_t>(length);
  std::string bytes(reinterpret_cast<const char*>(&n), 8);
  return bytes + header + std::string(data_bytes, '\1');
}
std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets +
         "}";
}

class Crafted : public ::testing::Test {
 protected:
  std::string open(const std::string& bytes) {
    atomic_write(dir_.path("x.safetensors"), bytes);
    return message_of([&] { SafetensorsFile file(dir_.path("x.safetensors")); });
  }
  TempDir dir_;
};

struct Defect {
  std::string bytes;
  const char* message;
};

// One file per rule, each with exactly one defect.
TEST_F(Crafted, EachRuleHasItsRefusal) {
  const std::string a = tensor("a", "F32", "[2]", "[0,8]"), b = tensor("b", "U8", "[4]", "[8,12]");
  ASSERT_EQ(open(file_of("{" + a + "," + b + "}", 12)), "");
  const auto one = [](const std::string& entry, size_t bytes) { return file_of("{" + entry + "}", bytes); };
  const Defect defects[] = {
      {"1234567", "expected at least the 8 of the header length"},
      {"", "found 0 bytes"},
      {file_of("{}", 0, 100'000'001), "header length: found 100000001"},
      {file_of("{}", 0, -2 & INT64_MAX), "header length: found"},
      {file_of("{}", 0, 3), "but the file has only 2 bytes"},
      {file_of("", 0), "found nothing as first byte"},
      {file_of("{\"\xff\":0}", 0), "not valid UTF-8"},
      {file_of(" {" + a + "}", 8), "found \" \" as first byte"},
      {file_of("[" + std::string("1]"), 0), "found \"[\" as first byte"},
      {file_of("{" + a, 8), "not valid JSON"},
      {file_of("{" + a + "}x", 8), "not valid JSON"},
      {file_of("{" + a + "," + a + "}", 8), "key \"a\" is given twice"},
      {file_of("{\"__metadata__\":{\"k\":1}," + a + "}", 8), "__metadata__.k: found 1, expected a string"},
      {file_of("{\"__metadata__\":[]," + a + "}", 8),
       "__metadata__: found [], expected an object of strings"},
      {one("\"a\":[]", 0), "a: found [], expected an object"},
      {one("\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}", 8), "key \"dtype\" is missing"},
      {one("\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}", 8), "key \"shape\" is missing"},
      {one("\"a\":{\"dtype\":\"F32\",\"shape\":[2]}", 8), "key \"data_offsets\" is missing"},
      {one(tensor("a", "F33", "[2]", "[0,8]"), 8), "a.dtype: found \"F33\""},
      {one(tensor("a", "F32", "[-2]", "[0,8]"), 8), "a.shape[0]: found -2"},
      {one(tensor("a", "F32", "[2.0]", "[0,8]"), 8), "a.shape[0]: found 2.0"},
      {one(tensor("a", "F32", "2", "[0,8]"), 8), "a.shape: found 2, expected an array"},
      {one(tensor("a", "F32", "[2]", "[0,8,9]"), 8), "expected two offsets"},
      {one(tensor("a", "F32", "[2]", "[-8,0]"), 8), "data_offsets[0]: found -8"},
      {one(tensor("a", "F32", "[2]", "[8,0]"), 8), "expected an end that is not before the beginning"},
      {one(tensor("a", "F32", "[3]", "[0,8]"), 8), "expected 12 bytes between them"},
      {one(tensor("a", "F32", "[4611686018427387904,4]", "[0,0]"), 0),
       "expected a size that fits into 64 bits"},
      {one(tensor("a", "F32", "[1152921504606846976]", "[0,0]"), 0),
       "expected a size that fits into 64 bits"},
      {one(tensor("a", "F4", "[3]", "[0,1]"), 1), "a whole number of bytes of 4-bit elements"},
      {one(tensor("a", "F32", "[2]", "[4,12]"), 12), "begins at 4, expected 0: there is a hole before it"},
      {file_of("{" + a + "," + tensor("b", "U8", "[4]", "[9,13]") + "}", 13), "there is a hole before it"},
      {file_of("{" + a + "," + tensor("b", "U8", "[4]", "[7,11]") + "}", 11),
       "it overlaps the tensor before it"},
      {file_of("{" + a + "," + tensor("b", "F32", "[2]", "[0,8]") + "}", 8),
       "it overlaps the tensor before it"},
      {file_of("{" + a + "}", 9), "found 9 bytes of data, expected 8"},
      {file_of("{" + a + "}", 7), "found 7 bytes of data, expected 8"},
      {file_of("{}", 1), "found 1 bytes of data, expected 0"},
      {file_of("{\"a\":" + std::string(70, '[') + std::string(70, ']') + "}", 0), "nested deeper than 64"},
  };
  for (const Defect& defect : defects) {
    const std::string message = open(defect.bytes);
    EXPECT_NE(message.find(defect.message), std::string::npos)
        << "wanted: " << defect.message << "\nfound: " << message;
    EXPECT_EQ(message.rfind(dir_.path("x.safetensors"), 0), 0u) << message;
    EXPECT_EQ(code_of([&] { SafetensorsFile file(dir_.path("x.safetensors")); }), ErrorCode::kCorrupt);
  }
}

TEST_F(Crafted, WhatTheFormatAllows) {
  EXPECT_EQ(open(file_of("{}", 0)), "");
  EXPECT_EQ(open(file_of("{}      ", 0)), "");
  EXPECT_EQ(open(file_of("{\"__metadata__\":{\"a\":\"b\"}}", 0)), "");
  EXPECT_EQ(open(file_of("{" + tensor("s", "F64", "[]", "[0,8]") + "}", 8)), "");
  EXPECT_EQ(
      open(file_of("{" + tensor("e", "F32", "[3,0]", "[0,0]") + "," + tensor("s", "U8", "[1]", "[0,1]") + "}",
                   1)),
      "");
  EXPECT_EQ(open(file_of(
                "{" + tensor("e", "F32", "[0]", "[1,1]") + "," + tensor("s", "U8", "[1]", "[0,1]") + "}", 1)),
            "");
  EXPECT_EQ(open(file_of("{" + tensor("f", "F4", "[4]", "[0,2]") + "}", 2)), "");
  EXPECT_EQ(open(file_of("{" + tensor("f", "F6_E2M3", "[4]", "[0,3]") + "}", 3)), "");
  EXPECT_EQ(open(file_of(
                "{" + tensor("b", "U8", "[1]", "[1,2]") + "," + tensor("a", "U8", "[1]", "[0,1]") + "}", 2)),
            "");
  EXPECT_EQ(open(file_of("{" + tensor(std::string(1 << 20, 'n'), "U8", "[1]", "[0,1]") + "}", 1)), "");
}

TEST_F(Crafted, OneFlippedBitNeverCrashes) {
  const std::string good =
      file_of("{\"__metadata__\":{\"format\":\"pt\"}," + tensor("a", "F32", "[2]", "[0,8]") + "," +
                  tensor("b", "U8", "[4]", "[8,12]") + "}",
              12);
  for (size_t bit = 0; bit < (good.size() - 12) * 8; ++bit) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    message_of([&] {
      for (const TensorInfo& info :
           parse_safetensors_header(bytes, static_cast<int64_t>(bytes.size()), "x").tensors)
        EXPECT_LE(info.end, 12);
    });
  }
}

TEST(Safetensors, ManyTensorsInLinearTime) {
  std::string header = "{";
  for (int i = 0; i < 200'000; ++i) header += tensor("t" + std::to_string(i), "U8", "[0]", "[0,0]") + ",";
  header.back() = '}';
  const std::string bytes = file_of(header, 0);
  EXPECT_EQ(parse_safetensors_header(bytes, static_cast<int64_t>(bytes.size()), "x").tensors.size(),
            200'000u);
}

TEST(Safetensors, WritesInCanonicalOrderAndReadsBack) {
  TempDir dir;
  const std::vector<TensorSpec> specs = {{"b", DType::f32, {2, 3}}, {"quote\"é\n", DType::bf16, {3}},
                                         {"c", DType::i64, {}},     {"empty", DType::f32, {0, 3}},
                                         {"a", DType::f32, {1}},    {"h", DType::f16, {2}},
                                         {"u", DType::u8, {5}},     {"d", DType::f64, {1}}};
  SafetensorsWriter writer(dir.path("x"), specs, {{"step", "7"}});
  std::vector<std::string> order;
  char data[64];
  std::memset(data, 3, sizeof data);
  for (const TensorInfo& info : writer.tensors()) {
    order.push_back(info.name);
    writer.write(info.name, data, info.bytes() / 2);
    if (info.bytes()) writer.write(info.name, data, info.bytes() - info.bytes() / 2);
  }
  const FileDigest digest = writer.finish();
  EXPECT_EQ(order, (std::vector<std::string>{"c", "d", "a", "b", "empty", "quote\"é\n", "h", "u"}));
  const SafetensorsFile file(dir.path("x"));
  EXPECT_EQ(digest_file(dir.path("x")).xxh3_128, digest.xxh3_128);
  EXPECT_EQ(file.metadata(), (StringMap{{"format", "pt"}, {"step", "7"}}));
  EXPECT_EQ(file.tensors().size(), specs.size());
  for (const TensorSpec& spec : specs) {
    const TensorInfo* info = file.find(spec.name);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->shape, spec.shape);
    EXPECT_EQ(info->dtype, spec.dtype);
    std::string bytes(static_cast<size_t>(info->bytes()), 0);
    file.read(*info, bytes.data());
    EXPECT_EQ(bytes, std::string(bytes.size(), '\3'));
  }
  EXPECT_EQ(file.find("nobody"), nullptr);
  uint64_t length;
  std::memcpy(&length, read_file(dir.path("x"), 1 << 20).data(), 8);
  EXPECT_EQ(length % 8, 0u);
}

TEST(Safetensors, WriterRefusesBadDeclarations) {
  TempDir dir;
  const auto refuses = [&](const std::vector<TensorSpec>& specs) {
    return message_of([&] { SafetensorsWriter writer(dir.path("x"), specs); });
  };
  EXPECT_NE(refuses({{"a", DType::f32, {1}}, {"a", DType::f16, {1}}}).find("declared twice"),
            std::string::npos);
  EXPECT_NE(refuses({{"a", DType::f32, {-1}}}), "");
  EXPECT_NE(refuses({{"a", DType::f32, {int64_t{1} << 61}}}), "");
  EXPECT_NE(refuses({{"a", DType::u8, {INT64_MAX}}, {"b", DType::u8, {1}}}), "");
  EXPECT_NE(refuses({{"__metadata__", DType::u8, {1}}}), "");
  EXPECT_TRUE(list_dir(dir.path()).empty());
}

TEST(Safetensors, ConvertsOnReadAndWrite) {
  TempDir dir;
  // More than one staging buffer, and no multiple of it.
  const int64_t n = (int64_t{4} << 20) / 4 + 12345;
  std::vector<float> values(static_cast<size_t>(n));
  std::mt19937 random(1);
  for (float& x : values)
    x = std::ldexp(static_cast<float>(random()) - 2e9f, static_cast<int>(random() % 40) - 50);
  values[0] = NAN, values[1] = INFINITY, values[2] = -0.0f, values[3] = 65520.0f, values[4] = 1e-8f;
  for (DType stored : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
    SafetensorsWriter writer(dir.path("x"), {{"t", stored, {n}}});
    writer.write_as("t", DType::f32, values.data(), 1000);
    writer.write_as("t", DType::f32, values.data() + 1000, n - 1000);
    writer.finish();
    const SafetensorsFile file(dir.path("x"));
    for (DType wanted : {DType::f32, DType::bf16, DType::f16}) {
      const int64_t first = 3, count = n - 5;
      std::string got(static_cast<size_t>(count * dtype_size(wanted) + 1), 0);
      file.read_as(*file.find("t"), wanted, got.data() + 1, first, count);  // unaligned on purpose
      int wrong = 0;
      for (int64_t i = 0; i < count; ++i) {
        float x = values[static_cast<size_t>(first + i)];
        if (stored == DType::bf16) x = to_float(to_bf16(x));
        if (stored == DType::f16) x = to_float(to_f16(x));
        char expected[4];
        const bf16 b = to_bf16(x);
        const f16 h = to_f16(x);
        std::memcpy(expected,
                    wanted == DType::f32    ? static_cast<const void*>(&x)
                    : wanted == DType::bf16 ? &b.bits
                                            : &h.bits,
                    static_cast<size_t>(dtype_size(wanted)));
        wrong += std::memcmp(expected, got.data() + 1 + i * dtype_size(wanted),
                             static_cast<size_t>(dtype_size(wanted))) != 0;
      }
      EXPECT_EQ(wrong, 0) << dtype_name(stored) << " to " << dtype_name(wanted);
    }
  }
}

TEST(Safetensors, ReadsUnalignedData) {
  TempDir dir;
  const std::string header =
      "{" + tensor("u", "U8", "[1]", "[0,1]") + "," + tensor("f", "F32", "[2]", "[1,9]") + "}";
  std::string bytes = file_of(header, 0) + '\5';
  const float x[2] = {1.5f, -2.25f};
  bytes.append(reinterpret_cast<const char*>(x), 8);
  atomic_write(dir.path("x"), bytes);
  const SafetensorsFile file(dir.path("x"));
  float y[2];
  file.read(*file.find("f"), y);
  EXPECT_EQ(std::memcmp(x, y, 8), 0);
  bf16 z;
  file.read_as(*file.find("f"), DType::bf16, &z, 1, 1);
  EXPECT_EQ(to_float(z), -2.25f);
}

TEST(Safetensors, RefusesConversionsItDoesNotHave) {
  TempDir dir;
  atomic_write(dir.path("x"), file_of("{" + tensor("i", "I32", "[1]", "[0,4]") + "," +
                                          tensor("q", "F8_E4M3", "[2]", "[4,6]") + "}",
                                      6));
  const SafetensorsFile file(dir.path("x"));
  float out[2];
  EXPECT_EQ(code_of([&] { file.read_as(*file.find("i"), DType::f32, out, 0, 1); }), ErrorCode::kUnsupported);
  EXPECT_NE(message_of([&] { file.read_as(*file.find("q"), DType::f32, out, 0, 2); }).find("F8_E4M3"),
            std::string::npos);
  file.read_as(*file.find("i"), DType::i32, out, 0, 1);
}

TEST(Safetensors, FileCutShortAfterOpeningIsAnError) {
  TempDir dir;
  atomic_write(dir.path("x"), file_of("{" + tensor("a", "U8", "[100000]", "[0,100000]") + "}", 100000));
  const SafetensorsFile file(dir.path("x"));
  ASSERT_EQ(::truncate(dir.path("x").c_str(), 50000), 0);
  std::string buffer(100000, 0);
  EXPECT_EQ(code_of([&] { file.read(*file.find("a"), buffer.data()); }), ErrorCode::kCorrupt);
}

TEST(Safetensors, AbandonedWriterLeavesNothing) {
  TempDir dir;
  { SafetensorsWriter writer(dir.path("x"), {{"a", DType::f32, {1}}}); }
  EXPECT_TRUE(list_dir(dir.path()).empty());
}

TEST(Safetensors, OpensARealModel) {
  const std::string path = std::string(HOIST_SOURCE_DIR) + "/../shared/models/stories260K/model.safetensors";
  if (!path_exists(path)) GTEST_SKIP() << "needs ../shared/models/stories260K";
  const SafetensorsFile file(path);
  const TensorInfo* norm = file.find("model.norm.weight");
  ASSERT_TRUE(norm);
  EXPECT_EQ(norm->shape, (std::vector<int64_t>{64}));
}

}  // namespace
}  // namespace hoist::io
