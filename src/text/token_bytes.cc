// Tokenizer::bytes_of: one token through the decoder's steps, without what depends on its neighbours.
#include "text/byte_alphabet.h"
#include "text/regex.h"
#include "text/tokenizer_impl.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  if (what.empty()) return std::string(text);
  std::string out;
  size_t at = 0;
  for (size_t found; (found = text.find(what, at)) != std::string_view::npos; at = found + what.size()) {
    out.append(text, at, found - at);
    out += by;
  }
  return out.append(text, at, std::string_view::npos);
}

std::string from_byte_alphabet(const std::string& token) {
  std::string bytes;
  for (size_t at = 0; at < token.size(); at += char_length(static_cast<unsigned char>(token[at]))) {
    const int byte = byte_of_char(decode_char(token, at));
    if (byte < 0) return token;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

std::string by_pattern(const DecoderStep& step, const std::string& token) {
  StepBudget budget = StepBudget::for_text(token.size());
  std::vector<Span> spans;
  step.pattern->find(token, budget, spans);
  std::string out;
  for (const Span& span : spans) {
    if (span.is_match)
      out += step.content;
    else
      out.append(token, span.begin, span.end - span.begin);
  }
  return out;
}

}  // namespace

std::string Tokenizer::bytes_of(int32_t id) const {
  const auto found = impl_->token_to_decode(id, true);
  if (!found) return "";
  std::string token(*found);
  if (!impl_->has_decoder) return " " + token;
  bool fused = false;
  for (const DecoderStep& step : impl_->decoder) {
    switch (step.kind) {
      case DecoderStep::Kind::kByteLevel:
        token = from_byte_alphabet(token);
        fused = true;
        break;
      case DecoderStep::Kind::kMetaspace: token = replaced(token, step.replacement, " "); break;
      case DecoderStep::Kind::kBpe: token = replaced(token, step.suffix, " "); break;
      case DecoderStep::Kind::kByteFallback:
        if (token.size() == 6 && token.starts_with("<0x") && token[5] == '>' && hex(token[3]) >= 0 &&
            hex(token[4]) >= 0)
          token = std::string(1, static_cast<char>(hex(token[3]) * 16 + hex(token[4])));
        break;
      case DecoderStep::Kind::kFuse: fused = true; break;
      case DecoderStep::Kind::kStrip:
        if (fused) break;  // cuts the text's ends, not the token's
        for (uint64_t i = 0; i < step.start && token.starts_with(step.strip); ++i)
          token.erase(0, step.strip.size());
        for (uint64_t i = 0; i < step.stop && token.ends_with(step.strip); ++i)
          token.resize(token.size() - step.strip.size());
        break;
      case DecoderStep::Kind::kReplace: token = by_pattern(step, token); break;
      case DecoderStep::Kind::kWordPiece:
        token = token.starts_with(step.prefix) ? token.substr(step.prefix.size()) : " " + token;
        break;
    }
  }
  return token;
}

}  // namespace hoist::text
