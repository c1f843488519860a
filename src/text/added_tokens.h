// Added tokens: literal strings that stand for one id wherever they occur, found before BPE sees the text.
//
// Matches are leftmost, then longest, and do not overlap. An Aho-Corasick automaton over the reversed tokens,
// run backwards over the text, gives the longest token at every position in one pass, so time is linear
// whatever the tokens are. Immutable after build(); thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/flat_map.h"

namespace hoist::text {

struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = true;    // looked for in normalised text, in its own normalised form
  bool special = false;      // left out of decoded text on request
};

// A stretch of text: one added token, or (token < 0) text between them.
struct Segment {
  size_t begin, end;
  int32_t token;  // index given to add()
};

class AddedTokenMatcher {
 public:
  // `text` is what to look for and not empty. False when the same text was added before.
  bool add(std::string_view text, const AddedToken& token, int32_t index);
  void build();

  bool empty() const { return patterns_.empty(); }

  // Appends the segments of `text`; empty ones are left out.
  void split(std::string_view text, std::vector<Segment>& out) const;

 private:
  struct Pattern {
    uint32_t length;
    int32_t index;
    bool single_word, lstrip, rstrip;
  };
  struct Node {
    uint32_t fail = 0;
    int32_t longest = -1;  // longest pattern that ends (begins, in the text) here
    int32_t own = -1;
    uint32_t parent = 0;
    unsigned char byte = 0;
  };
  uint32_t child(uint32_t node, unsigned char byte) const {
    const uint64_t* found = children_.find(static_cast<uint64_t>(node) << 8 | byte);
    return found == nullptr ? 0 : static_cast<uint32_t>(*found);
  }

  std::vector<Pattern> patterns_;
  std::vector<Node> nodes_ = std::vector<Node>(1);
  FlatMap children_;
  bool starts_[256] = {};  // bytes with a child of the root
};

}  // namespace hoist::text
