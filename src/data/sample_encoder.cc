#include "data/sample_encoder.h"

#include <algorithm>

#include "base/error.h"

namespace hoist::data {

using text::jinja::Value;

namespace {

size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

}  // namespace

bool TokenSample::any_trained() const {
  return std::find(trained.begin(), trained.end(), 1) != trained.end();
}

SampleEncoder::SampleEncoder(const text::Tokenizer& tokenizer, const text::ChatTemplate* chat, int32_t end,
                             std::string no_chat)
    : tokenizer_(tokenizer), chat_(chat), end_(end), no_chat_(std::move(no_chat)) {}

// Ids of a piece of text: the mark that some tokenizers put before any text belongs to its beginning alone.
std::vector<int32_t> SampleEncoder::tokens(std::string_view text, bool begins) const {
  std::vector<int32_t> ids = tokenizer_.encode(text, false);
  if (begins) return ids;
  const std::vector<int32_t> mark = tokenizer_.start_of_text();
  if (!mark.empty() && ids.size() >= mark.size() && std::equal(mark.begin(), mark.end(), ids.begin()))
    ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(mark.size()));
  return ids;
}

std::string SampleEncoder::render(const Sample& sample, size_t messages, bool prompt) const {
  text::ChatInput input;
  input.messages =
      Value::list({sample.messages.begin(), sample.messages.begin() + static_cast<std::ptrdiff_t>(messages)});
  input.tools = sample.tools;
  input.add_generation_prompt = prompt;
  return chat_->render(input).text;
}

// Spans are in order and do not overlap.
TokenSample SampleEncoder::cut(const std::string& text, const std::vector<Span>& trained) const {
  TokenSample out;
  size_t at = 0;
  auto append = [&](size_t end, bool loss) {
    if (end <= at) return;
    std::vector<int32_t> ids = tokens(std::string_view(text).substr(at, end - at), at == 0);
    size_t counted = loss ? ids.size() : 0;
    if (loss) {
      // The line break behind a turn's end is the template's, not the answer's.
      size_t last = ids.size();
      while (last > 0 && !tokenizer_.is_special(ids[last - 1])) --last;
      if (last > 0) counted = last;
    }
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
    out.trained.insert(out.trained.end(), counted, 1);
    out.trained.insert(out.trained.end(), ids.size() - counted, 0);
    at = end;
  };
  for (const Span& span : trained) {
    append(span.begin, false);
    append(span.end, true);
  }
  append(text.size(), false);
  return out;
}

std::vector<TokenSample> SampleEncoder::encode_chat(const Sample& sample, const std::string& source) const {
  const size_t count = sample.messages.size();
  std::vector<size_t> answers;
  for (size_t i = 0; i < count; ++i)
    if (sample.trained[i]) answers.push_back(i);
  if (answers.empty()) return {cut(render(sample, count, false), {})};

  text::ChatInput whole;
  whole.messages = Value::list(sample.messages);
  whole.tools = sample.tools;
  whole.add_generation_prompt = false;
  const text::jinja::RenderResult rendered = chat_->render(whole);
  const std::string& text = rendered.text;

  // The template's own marks, one for each of the assistant's messages.
  std::vector<size_t> assistant;
  for (size_t i = 0; i < count; ++i) {
    const Value* role = sample.messages[i].is_dict() ? sample.messages[i].find("role") : nullptr;
    if (role && role->is_string() && role->as_string() == "assistant") assistant.push_back(i);
  }
  if (!rendered.generated.empty() && rendered.generated.size() == assistant.size()) {
    std::vector<Span> spans;
    for (size_t i = 0; i < assistant.size(); ++i)
      if (sample.trained[assistant[i]])
        spans.push_back({rendered.generated[i].first, rendered.generated[i].second});
    return {cut(text, spans)};
  }

  std::vector<Span> spans;
  for (size_t i : answers) {
    const std::string before = render(sample, i, true), after = render(sample, i + 1, false);
    if (!text.starts_with(before) || !text.starts_with(after) || after.size() < before.size()) {
      spans.clear();
      break;
    }
    spans.push_back({before.size(), after.size()});
  }
  if (!spans.empty()) return {cut(text, spans)};

  // Each answer as the model meets it: at the end of a conversation.
  std::vector<TokenSample> out;
  for (size_t i : answers) {
    const std::string before = render(sample, i, true), bare = render(sample, i, false),
                      after = render(sample, i + 1, false);
    const size_t begin = common_prefix(before, after);
    if (!after.starts_with(bare) || begin < bare.size() || begin == after.size())
      throw_invalid(source + ": the chat template changes what stands before message " + std::to_string(i) +
                    ", so that the answer cannot be told from it");
    out.push_back(cut(after, {{begin, after.size()}}));
  }
  return out;
}

std::vector<TokenSample> SampleEncoder::encode(const Sample& sample, const std::string& source) const {
  if (sample.kind == Sample::Kind::kChat) {
    if (!chat_)
      throw_invalid(source + ": found a conversation, expected a model with a chat template for it" +
                    (no_chat_.empty() ? "" : " (" + no_chat_ + ")"));
    try {
      return encode_chat(sample, source);
    } catch (const Error& e) {  // a template knows no files
      const std::string what = e.what();
      throw Error(e.code(), what.starts_with(source) ? what : source + ": " + what);
    }
  }
  TokenSample out;
  if (sample.kind == Sample::Kind::kCompletion) {
    out.ids = tokenizer_.encode(sample.prompt, true);
    out.trained.assign(out.ids.size(), 0);
  }
  const std::vector<int32_t> text =
      out.ids.empty() ? tokenizer_.encode(sample.text, false) : tokens(sample.text, false);
  out.ids.insert(out.ids.end(), text.begin(), text.end());
  if (end_ >= 0) out.ids.push_back(end_);
  out.trained.resize(out.ids.size(), 1);
  return {out};
}

}  // namespace hoist::data
