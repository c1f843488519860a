#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

bool word_before(std::string_view text, size_t at) {
  return at > 0 && (class_of(decode_char(text, previous_char(text, at))) & kWord);
}
bool word_after(std::string_view text, size_t at) {
  return at < text.size() && (class_of(decode_char(text, at)) & kWord);
}

}  // namespace

bool AddedTokenMatcher::add(std::string_view text, const AddedToken& token, int32_t index) {
  uint32_t node = 0;
  for (size_t i = text.size(); i-- > 0;) {
    const auto byte = static_cast<unsigned char>(text[i]);
    uint32_t next = child(node, byte);
    if (next == 0) {
      next = static_cast<uint32_t>(nodes_.size());
      Node fresh;
      fresh.parent = node;
      fresh.byte = byte;
      nodes_.push_back(fresh);
      children_.insert(static_cast<uint64_t>(node) << 8 | byte, next);
      if (node == 0) starts_[byte] = true;
    }
    node = next;
  }
  if (nodes_[node].own >= 0) return false;
  nodes_[node].own = static_cast<int32_t>(patterns_.size());
  patterns_.push_back(
      {static_cast<uint32_t>(text.size()), index, token.single_word, token.lstrip, token.rstrip});
  return true;
}

void AddedTokenMatcher::build() {
  // Breadth first: a node's failure link needs those of all shallower nodes. A child always has a larger
  // number than its parent, so depths follow in one pass, and sorting by depth gives the order.
  std::vector<uint32_t> depth(nodes_.size(), 0), order(nodes_.size());
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    order[i] = i;
    if (i > 0) depth[i] = depth[nodes_[i].parent] + 1;
  }
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return depth[a] < depth[b]; });
  for (const uint32_t i : order) {
    if (i == 0) continue;
    Node& node = nodes_[i];
    if (node.parent != 0) {
      uint32_t fail = nodes_[node.parent].fail;
      uint32_t next = child(fail, node.byte);
      while (next == 0 && fail != 0) {
        fail = nodes_[fail].fail;
        next = child(fail, node.byte);
      }
      node.fail = next;
    }
    node.longest = node.own >= 0 ? node.own : nodes_[node.fail].longest;
  }
}

void AddedTokenMatcher::split(std::string_view text, std::vector<Segment>& out) const {
  struct Hit {
    size_t at;
    int32_t pattern;
  };
  std::vector<Hit> hits;  // longest token at each position that has one, last position first
  if (!patterns_.empty()) {
    uint32_t state = 0;
    for (size_t i = text.size(); i-- > 0;) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (state == 0 && !starts_[byte]) continue;
      uint32_t next = child(state, byte);
      while (next == 0 && state != 0) {
        state = nodes_[state].fail;
        next = child(state, byte);
      }
      state = next;
      if (nodes_[state].longest >= 0) hits.push_back({i, nodes_[state].longest});
    }
  }
  size_t done = 0;                    // text before this is in `out`
  size_t free_at = 0;                 // matches may begin here
  size_t run_begin = 0, run_end = 0;  // white space seen by the last rstrip, so that none is walked twice
  for (auto hit = hits.rbegin(); hit != hits.rend(); ++hit) {
    if (hit->at < free_at) continue;
    const Pattern& pattern = patterns_[static_cast<size_t>(hit->pattern)];
    size_t begin = hit->at, end = hit->at + pattern.length;
    free_at = end;
    if (pattern.single_word && (word_before(text, begin) || word_after(text, end))) continue;
    if (pattern.lstrip) {
      while (begin > done) {
        const size_t previous = previous_char(text, begin);
        if (previous < done || !(class_of(decode_char(text, previous)) & kSpace)) break;
        begin = previous;
      }
      begin = std::max(begin, done);
    }
    if (pattern.rstrip) {
      if (end < run_begin || end > run_end) {
        run_begin = run_end = end;
        while (run_end < text.size() && (class_of(decode_char(text, run_end)) & kSpace)) {
          run_end += char_length(static_cast<unsigned char>(text[run_end]));
        }
      }
      end = run_end;
    }
    if (done < begin) out.push_back({done, begin, -1});
    out.push_back({begin, end, pattern.index});
    done = end;
  }
  if (done < text.size()) out.push_back({done, text.size(), -1});
}

}  // namespace hoist::text
