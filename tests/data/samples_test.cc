// Samples for fine-tuning: lines, forms, templates, and which tokens carry loss.
#include <gtest/gtest.h>
#include <zstd.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "base/error.h"
#include "data/json_items.h"
#include "data/line_reader.h"
#include "data/sample_set.h"
#include "io/files.h"

namespace hoist::data {
namespace {

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/hoist-samples-XXXXXX";
    root_ = mkdtemp(pattern.data());
  }
  void TearDown() override { io::remove_tree(root_); }
  std::string write(const std::string& name, const std::string& bytes) {
    std::ofstream(root_ + "/" + name, std::ios::binary) << bytes;
    return root_ + "/" + name;
  }
  std::string root_;
};

std::string compress(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::vector<std::string> lines_of(const std::string& path, size_t max_line = LineReader::kMaxLine) {
  LineReader reader(path, max_line);
  std::vector<std::string> out;
  std::string_view line;
  while (reader.next(line)) out.emplace_back(line);
  EXPECT_EQ(reader.line_number(), static_cast<int64_t>(out.size()));
  return out;
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

using LineReaderTest = Files;

TEST_F(LineReaderTest, ReadsTheSameLinesHoweverTheyAreStored) {
  std::mt19937 random(7);
  for (int round = 0; round < 30; ++round) {
    std::vector<std::string> want;
    std::string text, frames;
    const int count = static_cast<int>(random() % 50);
    size_t framed = 0;
    for (int i = 0; i < count; ++i) {
      std::string line(random() % (i % 7 == 0 ? 300000 : 30), 'a');
      for (char& c : line) c = static_cast<char>('a' + random() % 26);
      const bool last_open = i + 1 == count && round % 2 && !line.empty();
      text += line + (last_open ? "" : i % 3 ? "\n" : "\r\n");
      want.push_back(line);
      if (random() % 10 == 0) {
        frames += compress(std::string_view(text).substr(framed));
        framed = text.size();
      }
    }
    frames += compress(std::string_view(text).substr(framed));
    EXPECT_EQ(lines_of(write("a.jsonl", text)), want);
    EXPECT_EQ(lines_of(write("a.jsonl.zst", frames)), want);
    if (!want.empty()) {
      want[0] = want[0];
      EXPECT_EQ(lines_of(write("bom.jsonl", "\xef\xbb\xbf" + text)), want);
    }
  }
}

TEST_F(LineReaderTest, RefusesBrokenDataAndEndlessLines) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "line " + std::to_string(i * i) + "\n";
  const std::string whole = compress(text);
  for (size_t keep : {whole.size() - 1, whole.size() / 2, size_t{5}}) {
    const std::string path = write("cut.zst", whole.substr(0, keep));
    EXPECT_EQ(error_of([&] { lines_of(path); }), path + ": the compressed data is cut short");
  }
  const std::string bad = write("bad.zst", "this is not compressed at all");
  EXPECT_TRUE(error_of([&] { lines_of(bad); }).starts_with(bad + ": broken compressed data"));
  const std::string path = write("long.txt", "a\n" + std::string(1000, 'x'));
  EXPECT_EQ(error_of([&] { lines_of(path, 999); }), path + ":2: found a line of more than 999 bytes");
  EXPECT_EQ(lines_of(path, 1000).size(), 2u);
  EXPECT_NE(error_of([&] { lines_of(root_ + "/absent"); }), "no error");
  EXPECT_TRUE(lines_of(write("empty.zst", "")).empty());
}

using JsonItemsTest = Files;

std::vector<std::string> items_of(const std::string& path) {
  JsonItems items(path);
  std::vector<std::string> out;
  std::string item;
  while (items.next(item)) {
    std::string squeezed;
    for (char c : item)
      if (c != '\n') squeezed += c;
    out.push_back(squeezed);
  }
  return out;
}

// Lists and rows of objects, with line breaks wherever JSON allows them.
TEST_F(JsonItemsTest, FindObjectsHoweverTheyAreLaidOut) {
  std::mt19937 random(2);
  const char* texts[] = {R"({"a":"x"})", R"({})", R"({"b":["]","}",{"c":"\"}{"}]})",
                         R"({"d":"\\","e":[[],[{}]]})"};
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> want;
    const bool list = random() % 2;
    std::string text = list ? " [" : "";
    for (int i = 0, n = static_cast<int>(random() % 6); i < n; ++i) {
      want.push_back(texts[random() % 4]);
      if (i && list) text += ",";
      bool in_text = false;
      char before = 0;
      for (char c : want.back()) {
        text += c;
        if (c == '"' && before != '\\') in_text = !in_text;
        before = c == '\\' && before == '\\' ? '\0' : c;
        if (!in_text && random() % 5 == 0) text += "\n";
      }
      text += random() % 2 ? "\n" : " ";
    }
    if (list) text += "]\n";
    EXPECT_EQ(items_of(write("a.json", text)), want) << text;
  }
  for (const auto& [text, wrong] : {std::pair<std::string, std::string>{"[{}", ":1: the list is cut short"},
                                    {"[{\"a\":[{}", ":1: an object is cut short"},
                                    {"[{}] {}", ":1: found '{', expected nothing behind the list"},
                                    {"{}\n3", ":2: found '3', expected an object"}}) {
    const std::string path = write("bad.json", text);
    EXPECT_EQ(error_of([&] { items_of(path); }), path + wrong);
  }
}

// ---- forms ----

std::string shape_of(const Sample& s) {
  std::string out;
  for (size_t i = 0; i < s.messages.size(); ++i) {
    const auto* content = s.messages[i].find("content");
    out += s.messages[i].find("role")->as_string() + (s.trained[i] ? "*" : "") + ":" +
           (content && content->is_string() ? content->as_string() : "-") + "|";
  }
  return out;
}

TEST(SampleForms, AreToldApartByTheirKeys) {
  auto shape = [](const char* json) { return shape_of(parse_sample(json, "t")); };
  EXPECT_EQ(shape(R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})"),
            "user:a|assistant*:b|");
  EXPECT_EQ(shape(R"({"messages":[{"role":"assistant","content":"a","weight":0},{"role":"user","content":"u"},
                      {"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","content":"4"}]})"),
            "assistant:a|user:u|assistant*:-|tool:4|");
  EXPECT_EQ(
      shape(R"({"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}],"system":"s"})"),
      "system:s|user:a|assistant*:b|");
  EXPECT_EQ(shape(R"({"instruction":"i","input":"","output":"o","id":7})"), "user:i|assistant*:o|");
  EXPECT_EQ(shape(R"({"instruction":"i","input":"x","output":"o","history":[["a","b"]],"system":"s"})"),
            "system:s|user:a|assistant*:b|user:i\n\nx|assistant*:o|");
  EXPECT_EQ(shape(R"({"prompt":[{"role":"assistant","content":"p"}],
                      "completion":[{"role":"assistant","content":"c"}]})"),
            "assistant:p|assistant*:c|");
  const Sample pair = parse_sample(R"({"prompt":"p","completion":"c"})", "t");
  EXPECT_EQ(pair.kind, Sample::Kind::kCompletion);
  EXPECT_EQ(pair.prompt + pair.text, "pc");
  EXPECT_EQ(parse_sample(R"({"text":"x"})", "t").text, "x");
  EXPECT_EQ(parse_sample(R"({"story":"x"})", "t", SampleFormat::kAuto, "story").text, "x");
  EXPECT_TRUE(
      parse_sample(R"({"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]})", "t")
          .tools.is_sequence());
}

TEST(SampleForms, MistakesNameTheirPlace) {
  auto message = [](const char* json, SampleFormat format = SampleFormat::kAuto) {
    return error_of([&] { parse_sample(json, "f.jsonl:3", format); });
  };
  EXPECT_EQ(message("[]"), "f.jsonl:3: found [], expected an object");
  EXPECT_TRUE(message(R"({"a":1})").starts_with("f.jsonl:3: found {\"a\":1}, expected a sample: messages,"));
  EXPECT_TRUE(message(R"({"messages":[{"content":"a"}]})").starts_with("f.jsonl:3: messages[0]"));
  EXPECT_EQ(message(R"({"messages":[]})"),
            "f.jsonl:3: messages: found [], expected a list of 1 to 4096 messages");
  EXPECT_EQ(message(R"({"messages":[{"role":"user","content":3}]})"),
            "f.jsonl:3: messages[0].content: found 3, expected text, a list of parts, or null");
  EXPECT_EQ(message(R"({"conversations":[{"from":"robot","value":"a"}]})"),
            "f.jsonl:3: conversations[0].from: found \"robot\", expected one of human, user, gpt, assistant, "
            "chatgpt, system, tool, observation");
  EXPECT_TRUE(message(R"({"instruction":"a","output":3})").starts_with("f.jsonl:3: output: found 3"));
  EXPECT_TRUE(message(R"({"text":"a"})", SampleFormat::kMessages).starts_with("f.jsonl:3: "));
  EXPECT_EQ(error_of([] { parse_sample_format("jsonl"); }),
            "sample format: found 'jsonl', expected one of auto, text, messages, prompt_completion, alpaca, "
            "sharegpt");
}

// ---- tokens and loss ----

constexpr const char* kChatMl =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
// The same with marks of its own.
constexpr const char* kMarked =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' "
    "}}"
    "{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif "
    "%}";
// Earlier answers lose what stands before a slash, as reasoning is left out of earlier turns.
constexpr const char* kForgetful =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content if loop.last else "
    "m.content.split('/')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

struct Model {
  std::unique_ptr<text::Tokenizer> tokenizer;
  text::ChatTemplate chat;
  Model(const char* tokenizer_name, const char* text)
      : tokenizer(text::Tokenizer::load(std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/tokenizers/" +
                                        tokenizer_name + ".json")),
        chat(text::ChatTemplate::from_text(text, {}, "template")) {}
  SampleEncoder encoder(int32_t end = -1) const { return {*tokenizer, &chat, end}; }
  // What carries loss, runs apart by '#'.
  std::string trained(const TokenSample& s) const {
    std::string out;
    for (size_t i = 0; i < s.ids.size(); ++i) {
      if (!s.trained[i]) continue;
      if (i == 0 || !s.trained[i - 1]) out += "#";
      const int32_t id = s.ids[i];
      out += tokenizer->is_special(id) ? std::string(*tokenizer->id_to_token(id)) : tokenizer->bytes_of(id);
    }
    return out;
  }
};

Sample conversation(const std::vector<std::pair<std::string, std::string>>& turns) {
  Sample s;
  s.kind = Sample::Kind::kChat;
  using text::jinja::Value;
  for (const auto& [role, content] : turns) {
    s.messages.push_back(Value::dict({{"role", Value::string(role)}, {"content", Value::string(content)}}));
    s.trained.push_back(role == "assistant");
  }
  return s;
}

TEST(SampleEncoderTest, LossLiesOnAnswersAndTheirEndAlone) {
  std::mt19937 random(3);
  const char* contents[] = {"",     "Hello there", " spaces  ", "x\ny\n\n", "Zwölf Boxkämpfer",
                            "{}[]", "1234567",     "\n"};
  for (const char* tokenizer : {"qwen2"})
    for (const char* chat : {kChatMl, kMarked}) {
      const Model model(tokenizer, chat);
      for (int round = 0; round < 100; ++round) {
        std::vector<std::pair<std::string, std::string>> turns;
        std::string want, whole;
        if (round % 3 == 0) turns.push_back({"system", "Be brief."});
        for (int i = 0, n = 1 + static_cast<int>(random() % 4); i < n; ++i) {
          turns.push_back({"user", contents[random() % std::size(contents)]});
          turns.push_back({"assistant", contents[random() % std::size(contents)]});
        }
        Sample s = conversation(turns);
        for (size_t i = 0; i < turns.size(); ++i) {
          if (turns[i].first == "assistant" && random() % 4 == 0) s.trained[i] = 0;
          if (s.trained[i]) want += "#" + turns[i].second + "<|im_end|>";
          whole += "<|im_start|>" + turns[i].first + "\n" + turns[i].second + "<|im_end|>\n";
        }
        const std::vector<TokenSample> got = model.encoder().encode(s, "t");
        ASSERT_EQ(got.size(), 1u);
        EXPECT_EQ(model.trained(got[0]), want);
        EXPECT_EQ(got[0].any_trained(), !want.empty());
        EXPECT_EQ(got[0].ids.size(), got[0].trained.size());
        EXPECT_EQ(model.tokenizer->decode(got[0].ids, false), whole);
      }
    }
}

// What stands before an answer has the ids it has as a prompt.
TEST(SampleEncoderTest, PromptsHaveTheIdsTheModelWillMeet) {
  for (const char* tokenizer : {"qwen2", "sp_prepend"}) {
    const Model model(tokenizer, kChatMl);
    const Sample s = conversation({{"user", "What is it?"}, {"assistant", " It is a test"}});
    const TokenSample got = model.encoder().encode(s, "t")[0];
    const auto prompt =
        model.tokenizer->encode("<|im_start|>user\nWhat is it?<|im_end|>\n<|im_start|>assistant\n", false);
    ASSERT_GE(got.ids.size(), prompt.size());
    EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), got.ids.begin())) << tokenizer;
    EXPECT_EQ(std::find(got.trained.begin(), got.trained.end(), 1) - got.trained.begin(),
              static_cast<std::ptrdiff_t>(prompt.size()))
        << tokenizer;
  }
}

TEST(SampleEncoderTest, TemplatesThatForgetMakeASampleOfEachAnswer) {
  const Model model("qwen2", kForgetful);
  const Sample s =
      conversation({{"user", "a"}, {"assistant", "why/b"}, {"user", "c"}, {"assistant", "so/d"}});
  const std::vector<TokenSample> got = model.encoder().encode(s, "t");
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(model.trained(got[0]), "#why/b<|im_end|>");
  EXPECT_EQ(model.trained(got[1]), "#so/d<|im_end|>");
  EXPECT_EQ(
      model.tokenizer->decode(got[1].ids, false),
      "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
      "<|im_start|>assistant\nso/d<|im_end|>\n");
}

TEST(SampleEncoderTest, CompletionsAndTextsEnd) {
  const Model model("qwen2", kChatMl);
  const SampleEncoder encoder = model.encoder(700);
  TokenSample s = encoder.encode(parse_sample(R"({"prompt":"One two","completion":" three"})", "t"), "t")[0];
  EXPECT_EQ(model.trained(s), "# three<|endoftext|>");
  EXPECT_EQ(model.tokenizer->decode(s.ids, false), "One two three<|endoftext|>");
  s = encoder.encode(parse_sample(R"({"text":"One two"})", "t"), "t")[0];
  EXPECT_EQ(model.trained(s), "#One two<|endoftext|>");
}

TEST(SampleEncoderTest, RefusalsNameTheLine) {
  const Model model("qwen2", "{{ raise_exception('roles must alternate') }}");
  const Sample s = conversation({{"user", "a"}, {"assistant", "b"}});
  const std::string refused = error_of([&] { model.encoder().encode(s, "f.jsonl:9"); });
  EXPECT_TRUE(refused.starts_with("f.jsonl:9: template") && refused.ends_with("roles must alternate"))
      << refused;
  EXPECT_EQ(error_of([&] { SampleEncoder(*model.tokenizer, nullptr, -1).encode(s, "f.jsonl:9"); }),
            "f.jsonl:9: found a conversation, expected a model with a chat template for it");
}

// ---- sets ----

using SampleSets = Files;

TEST_F(SampleSets, CountWhatTheyLeaveOut) {
  const Model model("qwen2", kChatMl);
  std::string lines;
  for (int i = 0; i < 40; ++i)
    lines += R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"answer )" +
             std::to_string(i) + R"("}]})" + "\n\n";
  lines += R"({"messages":[{"role":"user","content":"nobody answers"}]})"
           "\n";
  lines += R"({"text":")" + std::string(2000, 'z') + "\"}\n";
  SampleSetOptions options;
  options.paths = {write("a.jsonl.zst", compress(lines))};
  options.validation = 0.1;
  options.max_length = 100;
  options.scratch = root_;
  std::vector<TokenSample> first;
  const SampleSet set = read_samples(options, model.encoder(), {}, &first, 3);
  EXPECT_EQ(set.report.files, 1);
  EXPECT_EQ(set.report.lines, 42);
  EXPECT_EQ(set.report.samples, 40);
  EXPECT_EQ(set.report.too_long, 1);
  EXPECT_EQ(set.report.untrained, 1);
  EXPECT_GT(set.report.longest, 100);
  EXPECT_EQ(set.train.size(), 36);
  EXPECT_EQ(set.validation.size(), 4);
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(model.trained(first[1]), "#answer 1<|im_end|>");
  EXPECT_EQ(model.trained(set.train.read(0)), "#answer 0<|im_end|>");
  EXPECT_EQ(model.trained(set.validation.read(0)), "#answer 9<|im_end|>");
  EXPECT_EQ(set.train.tokens(), [&] {
    int64_t n = 0;
    for (int64_t i = 0; i < set.train.size(); ++i) n += set.train.length(i);
    return n;
  }());
  for (const std::string& name : io::list_dir(root_))
    EXPECT_EQ(name, "a.jsonl.zst") << "nothing is left behind";

  options.max_length = 5;
  const std::string none = error_of([&] { read_samples(options, model.encoder()); });
  EXPECT_TRUE(none.starts_with("data.paths: found no sample to train on in '")) << none;
  EXPECT_NE(none.find("42 were longer than 5 tokens"), std::string::npos) << none;
  const std::string path = write("bad.jsonl", "{\"text\":\"a\"}\n{\"text\":\n");
  options.paths = {path};
  EXPECT_TRUE(error_of([&] { read_samples(options, model.encoder()); }).starts_with(path + ":2"));
}

TEST_F(SampleSets, StoresGiveBackWhatTheyWereGiven) {
  std::mt19937 random(5);
  SampleStore a(root_), b(root_), c(root_);
  std::vector<TokenSample> want;
  for (int i = 0; i < 500; ++i) {
    TokenSample s;
    for (int k = 0, n = static_cast<int>(random() % 2000); k < n; ++k) {
      s.ids.push_back(static_cast<int32_t>(random() & 0x7fffffff));
      s.trained.push_back(random() & 1);
    }
    want.push_back(s);
    a.add(s);
    b.add(s);
    if (i) c.add(s);
  }
  for (SampleStore* s : {&a, &b, &c}) s->finish();
  EXPECT_EQ(a.hash(), b.hash());
  EXPECT_NE(a.hash(), c.hash());
  for (int i = 499; i >= 0; --i) {
    const TokenSample got = a.read(i);
    EXPECT_EQ(got.ids, want[static_cast<size_t>(i)].ids);
    EXPECT_EQ(got.trained, want[static_cast<size_t>(i)].trained);
  }
}

}  // namespace
}  // namespace hoist::data
