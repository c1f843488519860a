#include "text/normalizer.h"

#include <fmt/format.h>

#include <cstring>

#include "base/error.h"
#include "text/bert_text.h"
#include "text/byte_alphabet.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

bool is_space_at(std::string_view text, size_t at) { return class_of(decode_char(text, at)) & kSpace; }

std::string_view strip(std::string_view text, const NormalizerStep& step, bool& at_origin) {
  size_t begin = 0, end = text.size();
  if (step.strip_left) {
    while (begin < end && is_space_at(text, begin))
      begin += char_length(static_cast<unsigned char>(text[begin]));
  }
  if (step.strip_right) {
    while (end > begin) {
      const size_t previous = previous_char(text, end);
      if (!is_space_at(text, previous)) break;
      end = previous;
    }
  }
  if (begin > 0) at_origin = false;
  return text.substr(begin, end - begin);
}

std::string strip_accents(std::string_view text, bool& at_origin) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = char_length(static_cast<unsigned char>(text[at]));
    if (is_accent(decode_char(text, at))) {
      if (out.empty()) at_origin = false;
    } else {
      out.append(text.substr(at, length));
    }
    at += length;
  }
  return out;
}

}  // namespace

std::string replace_all(const Pattern& pattern, std::string_view content, std::string_view text,
                        StepBudget& budget, size_t limit, bool& at_origin) {
  std::string out;
  out.reserve(std::min(limit, text.size()));
  const auto append = [&](std::string_view piece) {
    if (piece.size() > limit - out.size()) {
      throw Error(ErrorCode::kResourceExhausted,
                  fmt::format("tokenizer: Replace makes more than {} bytes of one text", limit));
    }
    out.append(piece);
  };
  // The reference aligns new text with the last character it replaces.
  const auto check_origin = [&](size_t end) {
    const bool one_character = end > 0 && char_length(static_cast<unsigned char>(text[0])) == end;
    if (end > 0 && (!one_character || content.empty())) at_origin = false;
  };
  if (const std::string& literal = pattern.literal_text(); !literal.empty()) {
    size_t done = 0;
    while (const void* found =
               memmem(text.data() + done, text.size() - done, literal.data(), literal.size())) {
      const auto at = static_cast<size_t>(static_cast<const char*>(found) - text.data());
      append(text.substr(done, at - done));
      append(content);
      done = at + literal.size();
      if (at == 0) check_origin(done);
    }
    append(text.substr(done));
    return out;
  }
  std::vector<Span> spans;
  pattern.find(text, budget, spans);
  for (const Span& span : spans) {
    append(span.is_match ? content : text.substr(span.begin, span.end - span.begin));
  }
  if (!spans.empty() && spans[0].is_match) check_origin(spans[0].end);
  return out;
}

std::string Normalizer::run(std::string_view text, StepBudget& budget, bool& at_origin) const {
  const size_t limit = expansion_limit(text.size());
  std::string current(text);
  for (const NormalizerStep& step : steps) {
    switch (step.kind) {
      case NormalizerStep::Kind::kForm: current = normalize(current, step.form); break;
      case NormalizerStep::Kind::kLowercase: current = lowercase(current); break;
      case NormalizerStep::Kind::kStrip: current = std::string(strip(current, step, at_origin)); break;
      case NormalizerStep::Kind::kStripAccents: current = strip_accents(current, at_origin); break;
      case NormalizerStep::Kind::kReplace:
        current = replace_all(*step.pattern, step.content, current, budget, limit, at_origin);
        break;
      case NormalizerStep::Kind::kPrepend:
        if (!current.empty()) current.insert(0, step.content);
        break;
      case NormalizerStep::Kind::kByteLevel: {
        std::string mapped;
        append_byte_alphabet(mapped, current);
        current = std::move(mapped);
        break;
      }
      case NormalizerStep::Kind::kBertClean: current = bert_clean(current, at_origin); break;
      case NormalizerStep::Kind::kBertChinese: current = bert_space_chinese(current); break;
      case NormalizerStep::Kind::kBertAccents: current = bert_strip_accents(current, at_origin); break;
      case NormalizerStep::Kind::kCharsmap: current = step.charsmap.apply(current, limit); break;
    }
    if (current.size() > limit) {
      throw Error(ErrorCode::kResourceExhausted,
                  fmt::format("tokenizer: the normalizers make {} bytes of a text of {}", current.size(),
                              text.size()));
    }
  }
  return current;
}

}  // namespace hoist::text
