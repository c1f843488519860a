#include "text/decoder.h"

#include <fmt/format.h>

#include "base/error.h"
#include "text/byte_alphabet.h"
#include "text/normalizer.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace hoist::text {

// A stage receives tokens in chunks of whole characters, each token closed by end_token(), and passes its own
// tokens on.
class DecoderChain::Stage {
 public:
  virtual ~Stage() = default;
  virtual void text(std::string_view chunk) = 0;
  virtual void end_token() = 0;
  virtual void finish() {}  // no more tokens; passes on what it held back

  Stage* next = nullptr;
  uint64_t* budget = nullptr;   // bytes that may still be passed on
  StepBudget* steps = nullptr;  // for regular expressions

 protected:
  // Passes text on, against a budget that grows with the tokens fed: a chain of Replaces must not explode.
  void pass(std::string_view chunk) {
    if (chunk.empty()) return;
    if (chunk.size() > *budget) {
      throw Error(ErrorCode::kResourceExhausted,
                  "tokenizer: the decoders make too much text of these tokens");
    }
    *budget -= chunk.size();
    next->text(chunk);
  }
  void pass_token(std::string_view token) {
    pass(token);
    next->end_token();
  }
};

struct DecoderChain::Sink : DecoderChain::Stage {
  std::string pending;
  bool spaces = false;
  bool first = true;
  void text(std::string_view chunk) override { pending += chunk; }
  void end_token() override {}
};

namespace {

using Stage = DecoderChain::Stage;

// All tokens become one; text passes through at once.
struct FuseStage : Stage {
  void text(std::string_view chunk) override { pass(chunk); }
  void end_token() override {}
  void finish() override { next->end_token(); }
};

// Tokens over the byte alphabet become bytes, anything else stays; all is one token, decoded once, lossily.
struct ByteLevelStage : Stage {
  std::string token, bytes;

  void text(std::string_view chunk) override { token += chunk; }
  void end_token() override {
    const size_t before = bytes.size();
    for (size_t at = 0; at < token.size(); at += char_length(static_cast<unsigned char>(token[at]))) {
      const int byte = byte_of_char(decode_char(token, at));
      if (byte < 0) {
        bytes.resize(before);
        bytes += token;
        break;
      }
      bytes += static_cast<char>(byte);
    }
    token.clear();
    drain(false);
  }
  void finish() override {
    drain(true);
    next->end_token();
  }
  void drain(bool last) {
    std::string ready;
    size_t at = 0;
    while (at < bytes.size()) {
      const Utf8Step step = inspect_utf8(bytes, at);
      if (step.kind == Utf8Kind::kIncomplete && !last) break;
      if (step.kind == Utf8Kind::kValid) {
        ready.append(bytes, at, step.length);
      } else {
        append_char(ready, 0xFFFD);
      }
      at += step.length;
    }
    bytes.erase(0, at);
    pass(ready);
  }
};

// The replacement character becomes a space, or nothing in the first token.
struct MetaspaceStage : Stage {
  const DecoderStep& step;
  bool first;
  MetaspaceStage(const DecoderStep& s, bool at_start) : step(s), first(at_start) {}
  void text(std::string_view chunk) override {
    std::string out;
    for (size_t at = 0; at < chunk.size();) {
      const size_t found = std::min(chunk.find(step.replacement, at), chunk.size());
      out.append(chunk.substr(at, found - at));
      if (found == chunk.size()) break;
      if (!first || !step.drop_first) out += ' ';
      at = found + step.replacement.size();
    }
    pass(out);
  }
  void end_token() override {
    first = false;
    next->end_token();
  }
};

// The suffix becomes a space, or nothing in the last token, so one token always waits.
struct BpeStage : Stage {
  const DecoderStep& step;
  const Pattern pattern;
  std::string token;
  bool waiting = false;
  explicit BpeStage(const DecoderStep& s) : step(s), pattern(Pattern::literal(s.suffix)) {}
  void text(std::string_view chunk) override {
    release();
    token += chunk;
  }
  void end_token() override {
    release();
    waiting = true;
  }
  void release() {
    if (waiting) emit(" ");
  }
  void emit(std::string_view content) {
    bool ignored = false;
    waiting = false;
    std::string replaced = replace_all(pattern, content, token, *steps, SIZE_MAX, ignored);
    token.clear();
    pass_token(replaced);
  }
  void finish() override {
    if (waiting) emit("");
  }
};

// Runs of "<0xNN>" tokens become the text of those bytes, or one U+FFFD per byte if they are not UTF-8 as a
// whole.
struct ByteFallbackStage : Stage {
  std::string token, bytes;
  void text(std::string_view chunk) override { token += chunk; }
  static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  }
  void end_token() override {
    if (token.size() == 6 && token.starts_with("<0x") && token[5] == '>') {
      const int high = hex(token[3]), low = hex(token[4]);
      // The reference's number parser also takes a plus sign: <0x+F>.
      const int value = token[3] == '+' ? low : high < 0 || low < 0 ? -1 : high * 16 + low;
      if (value >= 0) {
        bytes += static_cast<char>(value);
        token.clear();
        return;
      }
    }
    flush();
    pass_token(token);
    token.clear();
  }
  void flush() {
    if (bytes.empty()) return;
    if (is_utf8(bytes)) {
      pass_token(bytes);
    } else {
      for (size_t i = 0; i < bytes.size(); ++i) pass_token("\uFFFD");
    }
    bytes.clear();
  }
  void finish() override { flush(); }
};

// Up to `start` leading and `stop` trailing copies of one character go.
struct StripStage : Stage {
  const DecoderStep& step;
  uint64_t to_cut;
  uint64_t held = 0;  // trailing copies that may still have to go, at most `stop`
  StripStage(const DecoderStep& s, bool at_start) : step(s), to_cut(at_start ? s.start : 0) {}
  void text(std::string_view chunk) override {
    std::string out;
    for (size_t at = 0; at < chunk.size();) {
      const size_t length = char_length(static_cast<unsigned char>(chunk[at]));
      const std::string_view character = chunk.substr(at, length);
      at += length;
      if (character == step.strip) {
        if (to_cut > 0) {
          --to_cut;
        } else if (held < step.stop) {
          ++held;
        } else {
          out += character;  // stands for the oldest copy held back
        }
        continue;
      }
      to_cut = 0;
      release(out);
      out += character;
    }
    pass(out);
  }
  void release(std::string& out) {
    for (; held > 0; --held) out += step.strip;
  }
  void end_token() override {
    held = 0;
    to_cut = step.start;
    next->end_token();
  }
};

struct ReplaceStage : Stage {
  const DecoderStep& step;
  const bool by_token;  // tokens come whole and end soon: nothing to gain from passing on parts
  std::string token;
  ReplaceStage(const DecoderStep& s, bool whole)
      : step(s), by_token(whole || s.pattern->literal_text().empty()) {}
  void text(std::string_view chunk) override {
    token += chunk;
    if (by_token) return;
    // A match may begin in the last bytes; all before them is settled.
    const std::string& literal = step.pattern->literal_text();
    std::string out;
    size_t at = 0;
    for (size_t found; (found = token.find(literal, at)) != std::string::npos; at = found + literal.size()) {
      out.append(token, at, found - at);
      out += step.content;
      if (out.size() > *budget) break;  // pass() refuses it
    }
    size_t keep = std::max(at, token.size() - std::min(token.size(), literal.size() - 1));
    while (keep > at && keep < token.size() && is_continuation(token[keep])) --keep;
    out.append(token, at, keep - at);
    token.erase(0, keep);
    pass(out);
  }
  void end_token() override {
    bool ignored = false;
    const std::string out = replace_all(*step.pattern, step.content, token, *steps, *budget, ignored);
    token.clear();
    pass_token(out);
  }
};

// A token that continues a word loses its prefix, any other but the first gains a space. Cleanup looks at one
// token at a time, as the reference does.
struct WordPieceStage : Stage {
  const DecoderStep& step;
  bool first = true;
  std::string token;
  explicit WordPieceStage(const DecoderStep& s) : step(s) {}
  void text(std::string_view chunk) override { token += chunk; }
  void end_token() override {
    if (!first) {
      if (token.starts_with(step.prefix)) {
        token.erase(0, step.prefix.size());
      } else {
        token.insert(0, " ");
      }
    }
    first = false;
    if (step.cleanup) clean(token);
    pass_token(token);
    token.clear();
  }
  static void clean(std::string& text) {
    static constexpr std::string_view kFixes[][2] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& fix : kFixes) {
      size_t at = text.find(fix[0]);
      if (at == std::string::npos) continue;
      std::string out;
      size_t done = 0;
      for (; at != std::string::npos; at = text.find(fix[0], done)) {
        out.append(text, done, at - done);
        out += fix[1];
        done = at + fix[0].size();
      }
      text = out.append(text, done);
    }
  }
};

// Without a decoder tokens are joined by spaces.
struct JoinStage : Stage {
  bool first, open = false;
  explicit JoinStage(bool at_start) : first(at_start) {}
  void text(std::string_view chunk) override {
    begin();
    pass(chunk);
  }
  void begin() {
    if (!open && !first) pass(" ");
    open = true;
    first = false;
  }
  void end_token() override {
    begin();
    open = false;
  }
};

}  // namespace

DecoderChain::DecoderChain(const std::vector<DecoderStep>& steps, bool has_decoder, bool at_start)
    : sink_(std::make_unique<Sink>()),
      budget_(std::make_unique<uint64_t>(expansion_limit(0))),
      steps_(std::make_unique<StepBudget>(StepBudget::for_text(0))) {
  bool fused = false;  // tokens may be long from here on
  for (const DecoderStep& step : steps) {
    switch (step.kind) {
      case DecoderStep::Kind::kByteLevel:
        stages_.push_back(std::make_unique<ByteLevelStage>());
        fused = true;
        break;
      case DecoderStep::Kind::kMetaspace:
        stages_.push_back(std::make_unique<MetaspaceStage>(step, at_start));
        break;
      case DecoderStep::Kind::kBpe: stages_.push_back(std::make_unique<BpeStage>(step)); break;
      case DecoderStep::Kind::kByteFallback: stages_.push_back(std::make_unique<ByteFallbackStage>()); break;
      case DecoderStep::Kind::kFuse:
        stages_.push_back(std::make_unique<FuseStage>());
        fused = true;
        break;
      case DecoderStep::Kind::kStrip:
        stages_.push_back(std::make_unique<StripStage>(step, at_start || !fused));
        break;
      case DecoderStep::Kind::kReplace:
        stages_.push_back(std::make_unique<ReplaceStage>(step, !fused));
        break;
      case DecoderStep::Kind::kWordPiece: stages_.push_back(std::make_unique<WordPieceStage>(step)); break;
    }
  }
  if (!has_decoder) stages_.push_back(std::make_unique<JoinStage>(at_start));
  for (size_t i = 0; i < stages_.size(); ++i) {
    stages_[i]->next = i + 1 < stages_.size() ? stages_[i + 1].get() : sink_.get();
    stages_[i]->budget = budget_.get();
    stages_[i]->steps = steps_.get();
  }
}

DecoderChain::~DecoderChain() = default;

void DecoderChain::feed(std::string_view token, std::string& out) {
  *budget_ += expansion_limit(token.size()) - expansion_limit(0);
  steps_->left += StepBudget::kPerByte * token.size();
  Stage& first = stages_.empty() ? *sink_ : *stages_.front();
  first.text(token);
  first.end_token();
  out += sink_->pending;
  sink_->pending.clear();
}

void DecoderChain::finish(std::string& out) {
  for (const auto& stage : stages_) stage->finish();
  out += sink_->pending;
  sink_->pending.clear();
}

}  // namespace hoist::text
