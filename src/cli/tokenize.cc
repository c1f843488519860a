// hoist tokenize: text on standard input to ids on standard output, or back.
#include <cstdio>
#include <iostream>
#include <memory>
#include <sstream>

#include "base/error.h"
#include "cli/options.h"
#include "decode/gguf_tokenizer.h"
#include "io/files.h"
#include "io/json.h"
#include "io/json_value.h"
#include "text/tokenizer.h"

namespace hoist::cli {

namespace {

struct TokenizeOptions {
  std::string model;
  bool decode = false, json = false, lines_json = false, no_special = false;
};

std::string read_all() {
  std::string text;
  char buffer[1 << 16];
  while (size_t n = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, n);
    if (text.size() > (size_t{1} << 30))
      throw_invalid("standard input: found more than 1 GiB, expected less");
  }
  return text;
}

std::vector<int32_t> parse_ids(const std::string& text) {
  std::istringstream in(text);
  std::vector<int32_t> ids;
  std::string word;
  while (in >> word) {
    char* end = nullptr;
    long v = std::strtol(word.c_str(), &end, 10);
    if (*end || v < 0 || v > INT32_MAX)
      throw_invalid("standard input: found '" + word.substr(0, 40) + "', expected a token id");
    ids.push_back(static_cast<int32_t>(v));
  }
  return ids;
}

void run(const TokenizeOptions& o) {
  auto tokenizer = o.model.ends_with(".gguf")
                       ? text::tokenizer_from_gguf(
                             decode::read_gguf_vocab(io::GgufSet::open(o.model)->metadata()), o.model)
                       : text::Tokenizer::load(o.model);
  if (o.lines_json) {
    // One JSON string a line in, one array of ids a line out.
    std::string line;
    while (std::getline(std::cin, line)) {
      io::JsonOptions limits;
      limits.max_bytes = size_t{256} << 20;
      io::JsonDocument doc = io::JsonDocument::parse(line, "standard input", limits);
      std::string out = "[";
      for (int32_t id : tokenizer->encode(doc.root().as_string(), !o.no_special))
        out += (out.size() > 1 ? "," : "") + std::to_string(id);
      out += "]\n";
      std::fwrite(out.data(), 1, out.size(), stdout);
    }
    return;
  }
  std::string input = read_all();
  if (o.decode) {
    std::string text = tokenizer->decode(parse_ids(input), false);
    if (o.json) text = io::JsonValue{{"text", text}}.dump() + "\n";
    std::fwrite(text.data(), 1, text.size(), stdout);
    return;
  }
  std::vector<int32_t> ids = tokenizer->encode(input, !o.no_special);
  if (o.json) {
    io::JsonValue out;
    out["ids"] = ids;
    io::JsonValue tokens = io::JsonValue::array();
    for (int32_t id : ids) tokens.push_back(std::string(tokenizer->id_to_token(id).value_or("")));
    out["tokens"] = tokens;
    std::printf("%s\n", out.dump().c_str());
    return;
  }
  std::string out;
  for (size_t i = 0; i < ids.size(); ++i) out += (i ? " " : "") + std::to_string(ids[i]);
  std::printf("%s\n", out.c_str());
}

}  // namespace

void add_tokenize(Command root) {
  auto o = std::make_shared<TokenizeOptions>();
  Command app = root.command("tokenize", "Text on standard input to token ids, or back");
  app.add_option("model", o->model, "Model folder, .gguf file, or a tokenizer.json")
      .required()
      .envname("HOIST_MODEL");
  app.flag("--decode", o->decode, "Read ids, print text");
  app.flag("--json", o->json, "Print one JSON object: ids and tokens, or text");
  app.flag("--lines-json", o->lines_json, "One JSON string per line in, one array of ids per line out");
  app.flag("--no-special", o->no_special, "Do not add special tokens such as <s>");
  app.footer(
      "Example:\n  echo -n \"Hello world\" | hoist tokenize path/to/model\n  echo 403 407 261 | hoist "
      "tokenize path/to/model --decode");
  app.callback([o] { run(*o); });
}

}  // namespace hoist::cli
