#include "text/pre_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/byte_alphabet.h"
#include "text/normalizer.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

using Kind = PreTokenizerStep::Kind;

// One span per character that `is_match`, one per stretch between them.
template <class Predicate>
void find_chars(std::string_view text, std::vector<Span>& out, Predicate is_match) {
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at + char_length(static_cast<unsigned char>(text[at]));
    if (is_match(decode_char(text, at))) {
      if (begin < at) out.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(at), false});
      out.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(end), true});
      begin = end;
    }
    at = end;
  }
  if (begin < text.size()) {
    out.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(text.size()), false});
  }
}

// \w+|[^\w\s]+ as words, white space between them as matches.
void find_words(std::string_view text, std::vector<Span>& out) {
  const auto kind = [&](size_t at) {
    const uint8_t bits = class_of(decode_char(text, at));
    return bits & kWord ? 1 : bits & kSpace ? 0 : 2;
  };
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const int first = kind(at);
    while (at < text.size() && kind(at) == first) at += char_length(static_cast<unsigned char>(text[at]));
    out.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(at), first == 0});
  }
}

// The spans of `text` that one step keeps.
void cut(const PreTokenizerStep& step, std::string_view text, StepBudget& budget, std::vector<Span>& spans) {
  switch (step.kind) {
    case Kind::kByteLevel: step.pattern->find(text, budget, spans); break;
    case Kind::kMetaspace:
      step.pattern->find(text, budget, spans);
      split_spans(spans, SplitBehavior::kMergedWithNext);
      break;
    case Kind::kWhitespace:
      find_words(text, spans);
      split_spans(spans, SplitBehavior::kRemoved);
      break;
    case Kind::kWhitespaceSplit:
      find_chars(text, spans, [](uint32_t c) { return (class_of(c) & kSpace) != 0; });
      split_spans(spans, SplitBehavior::kRemoved);
      break;
    case Kind::kDigits:
      find_chars(text, spans, is_numeric);
      split_spans(spans, step.individual_digits ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
      break;
    case Kind::kPunctuation:
      find_chars(text, spans, is_punctuation);
      split_spans(spans, step.behavior);
      break;
    case Kind::kSplit:
      step.pattern->find(text, budget, spans);
      if (step.invert) {
        for (Span& span : spans) span.is_match = !span.is_match;
      }
      split_spans(spans, step.behavior);
      break;
  }
}

// Rewrites every piece into a new text of at most `limit` bytes. `rewrite(piece, at_origin, out)` appends.
template <class Rewrite>
void rewrite_pieces(Pieces& work, size_t limit, Rewrite rewrite) {
  std::string out;
  out.reserve(work.text.size() + work.pieces.size());
  bool at_origin = work.at_origin;
  for (Pieces::Piece& piece : work.pieces) {
    const size_t begin = out.size();
    rewrite(work.text.substr(piece.begin, piece.end - piece.begin), at_origin, out);
    at_origin = false;
    if (out.size() > limit || out.size() > UINT32_MAX) {
      throw Error(ErrorCode::kResourceExhausted,
                  fmt::format("tokenizer: the pre-tokenizers make more than {} bytes of one text", limit));
    }
    piece.begin = static_cast<uint32_t>(begin);
    piece.end = static_cast<uint32_t>(out.size());
  }
  work.storage = std::move(out);
  work.text = work.storage;
}

void metaspace(const PreTokenizerStep& step, size_t limit, Pieces& work) {
  const std::string& replacement = step.pattern->literal_text();
  const bool always = step.prepend_scheme == PrependScheme::kAlways;
  const bool first = step.prepend_scheme == PrependScheme::kFirst;
  rewrite_pieces(work, limit, [&](std::string_view piece, bool at_origin, std::string& out) {
    if ((always || (first && at_origin)) && piece[0] != ' ' && !piece.starts_with(replacement))
      out += replacement;
    for (size_t at = 0; at < piece.size();) {
      const size_t space = std::min(piece.find(' ', at), piece.size());
      out.append(piece.substr(at, space - at));
      if (space < piece.size()) out += replacement;
      at = space + 1;
    }
  });
}

}  // namespace

void split_spans(std::vector<Span>& spans, SplitBehavior behavior) {
  size_t kept = 0;
  bool previous = false;
  switch (behavior) {
    case SplitBehavior::kIsolated: return;
    case SplitBehavior::kRemoved:
      std::erase_if(spans, [](const Span& span) { return span.is_match; });
      return;
    case SplitBehavior::kContiguous:
    case SplitBehavior::kMergedWithPrevious:
      for (const Span& span : spans) {
        const bool joins =
            behavior == SplitBehavior::kContiguous ? span.is_match == previous : span.is_match && !previous;
        previous = span.is_match;
        if (joins && kept > 0) {
          spans[kept - 1].end = span.end;
        } else {
          spans[kept++] = span;
        }
      }
      spans.resize(kept);
      return;
    case SplitBehavior::kMergedWithNext:
      std::reverse(spans.begin(), spans.end());
      for (const Span& span : spans) {
        const bool joins = span.is_match && !previous;
        previous = span.is_match;
        if (joins && kept > 0) {
          spans[kept - 1].begin = span.begin;
        } else {
          spans[kept++] = span;
        }
      }
      spans.resize(kept);
      std::reverse(spans.begin(), spans.end());
      return;
  }
}

void PreTokenizer::run(std::string_view text, bool at_origin, StepBudget& budget, Pieces& out) const {
  out.text = text;
  out.byte_level = false;
  out.pieces.clear();
  if (text.empty()) return;
  const size_t limit = expansion_limit(text.size());
  out.pieces.push_back({0, static_cast<uint32_t>(text.size())});
  out.at_origin = at_origin;
  std::vector<Span> spans;
  std::vector<Pieces::Piece> next;
  for (const PreTokenizerStep& step : steps) {
    if (out.byte_level) {  // a step after ByteLevel sees the mapped characters
      rewrite_pieces(out, limit,
                     [](std::string_view piece, bool, std::string& to) { append_byte_alphabet(to, piece); });
      out.byte_level = false;
    }
    if (step.kind == Kind::kMetaspace) metaspace(step, limit, out);
    if (step.kind == Kind::kByteLevel && step.add_prefix_space &&
        std::any_of(out.pieces.begin(), out.pieces.end(),
                    [&](const Pieces::Piece& piece) { return out.text[piece.begin] != ' '; })) {
      rewrite_pieces(out, limit, [](std::string_view piece, bool, std::string& to) {
        if (piece[0] != ' ') to += ' ';
        to += piece;
      });
    }
    const bool cuts = step.kind == Kind::kMetaspace   ? step.split
                      : step.kind == Kind::kByteLevel ? step.use_regex
                                                      : true;
    if (cuts) {
      next.clear();
      bool first = out.at_origin;
      out.at_origin = false;
      for (const Pieces::Piece& piece : out.pieces) {
        const std::string_view text_of_piece = out.text.substr(piece.begin, piece.end - piece.begin);
        const auto add = [&](size_t begin, size_t end) {
          if (begin == end) return;
          if (next.empty()) out.at_origin = first && begin == 0;
          next.push_back(
              {static_cast<uint32_t>(piece.begin + begin), static_cast<uint32_t>(piece.begin + end)});
        };
        const Scanner scanner = step.pattern && !step.invert && step.behavior == SplitBehavior::kIsolated
                                    ? step.pattern->scanner()
                                    : nullptr;
        if (scanner != nullptr) {  // every match is a piece: no need to list matches first
          for (size_t at = 0; at < text_of_piece.size();) {
            const size_t end = scanner(text_of_piece, at);
            add(at, end);
            at = end;
          }
        } else {
          spans.clear();
          cut(step, text_of_piece, budget, spans);
          for (const Span& span : spans) add(span.begin, span.end);
        }
        first = false;
      }
      out.pieces.swap(next);
    }
    if (step.kind == Kind::kByteLevel) out.byte_level = true;
  }
}

}  // namespace hoist::text
