#include "data/corpus.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "io/files.h"
#include "text/bpe_trainer.h"

namespace hoist::data {
namespace {

class Corpus : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/hoist-corpus-XXXXXX";
    root_ = mkdtemp(pattern.data());
  }
  void TearDown() override { io::remove_tree(root_); }
  void write(const std::string& name, const std::string& text) {
    size_t slash = name.rfind('/');
    if (slash != std::string::npos) io::make_dirs(root_ + "/" + name.substr(0, slash));
    std::ofstream(root_ + "/" + name) << text;
  }
  std::vector<std::string> glob(const std::string& pattern) {
    std::vector<std::string> out = expand_glob(root_ + "/" + pattern);
    for (std::string& p : out) p = p.substr(root_.size() + 1);
    return out;
  }
  Documents read(const std::vector<std::string>& names, double validation = 0) {
    CorpusOptions options;
    for (const std::string& n : names) options.paths.push_back(root_ + "/" + n);
    options.validation = validation;
    return read_documents(options);
  }
  std::string root_;
};

TEST_F(Corpus, GlobsMatchByComponent) {
  for (const char* name : {"a.cc", "a.h", "x/b.cc", "x/y/c.cc", "x/.hidden/d.cc", "x/y/z.txt"})
    write(name, "text");
  using List = std::vector<std::string>;
  EXPECT_EQ(glob("*.cc"), (List{"a.cc"}));
  EXPECT_EQ(glob("**/*.cc"), (List{"a.cc", "x/b.cc", "x/y/c.cc"}));
  EXPECT_EQ(glob("x/*/*.cc"), (List{"x/y/c.cc"}));
  EXPECT_EQ(glob("x"), (List{"x/b.cc", "x/y/c.cc", "x/y/z.txt"}));
  EXPECT_EQ(glob("**/[ab].*"), (List{"a.cc", "a.h", "x/b.cc"}));
  EXPECT_THROW(glob("nothing"), Error);
  EXPECT_THROW(glob("nothing/*.cc"), Error);
}

TEST_F(Corpus, HoldsOutTheLastShareAtACharactersEdge) {
  write("a.txt", "0123456789\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
  Documents d = read({"a.txt"}, 0.45);
  ASSERT_EQ(d.train.size(), 1u);
  ASSERT_EQ(d.validation.size(), 1u);
  EXPECT_EQ(d.train[0] + d.validation[0], "0123456789\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
  EXPECT_EQ(d.train[0], "0123456789");
}

TEST_F(Corpus, SkipsWhatIsNotTextAndSaysSo) {
  write("good.txt", "hello");
  write("empty.txt", "");
  write("latin1.txt", "caf\xe9");
  std::ofstream(root_ + "/binary.txt") << std::string("a\0b", 3);
  Documents d = read({"*.txt"});
  EXPECT_EQ(d.train, std::vector<std::string>{"hello"});
  EXPECT_EQ(d.report.skipped_files, 3);
  EXPECT_THROW(read({"latin1.txt"}), Error);
}

TEST_F(Corpus, ReadsJsonLines) {
  write("a.jsonl", "\xef\xbb\xbf{\"text\": \"one\"}\r\n\n{\"id\": 3, \"text\": \"two\"}");
  Documents d = read({"a.jsonl"});
  std::sort(d.train.begin(), d.train.end());
  EXPECT_EQ(d.train, (std::vector<std::string>{"one", "two"}));
  write("bad.jsonl", "{\"text\": \"one\"}\n{\"text\": ");
  try {
    read({"bad.jsonl"});
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("bad.jsonl:2"), std::string::npos) << e.what();
  }
  write("other.jsonl", "{\"body\": \"one\"}");
  EXPECT_THROW(read({"other.jsonl"}), Error);
}

TEST_F(Corpus, TokensEndEveryDocument) {
  auto tokenizer = text::Tokenizer::from_json(text::make_character_tokenizer("abc"));
  TokenArray tokens = tokenize({"ab", "c"}, *tokenizer, 10, 9, nullptr);
  std::vector<int32_t> got;
  for (int64_t i = 0; i < tokens.size(); ++i) got.push_back(tokens[i]);
  EXPECT_EQ(got, (std::vector<int32_t>{0, 1, 9, 2, 9}));
}

}  // namespace
}  // namespace hoist::data
