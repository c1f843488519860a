// Reference harness: `tokenize_lines TOKENIZER.json [--special] [--decode]` reads one JSON string per line
// and prints the list of its ids per line; with --decode each line of output is {"ids": [...], "text":
// "..."}, where text is the ids decoded again, special tokens kept. scripts/make_tokenizer_fixtures.py drives
// it.
#include <cstdio>
#include <iostream>

#include "base/error.h"
#include "support/json.h"
#include "text/tokenizer.h"

using hoist::support::Json;

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: tokenize_lines TOKENIZER.json [--special] [--decode]\n");
    return 2;
  }
  bool special = false, decode = false;
  for (int i = 2; i < argc; ++i) {
    special |= std::string_view(argv[i]) == "--special";
    decode |= std::string_view(argv[i]) == "--decode";
  }
  try {
    const auto tokenizer = hoist::text::Tokenizer::load(argv[1]);
    std::ios::sync_with_stdio(false);
    for (std::string line; std::getline(std::cin, line);) {
      const auto ids = tokenizer->encode(Json::parse(line).get<std::string>(), special);
      Json out = ids;
      if (decode) out = {{"ids", ids}, {"text", tokenizer->decode(ids, false)}};
      std::cout << out.dump() << '\n';
    }
  } catch (const hoist::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
