#include "load/answer.h"

#include <algorithm>

#include "base/error.h"
#include "io/json.h"

namespace hoist::load {

namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 40;

std::optional<io::Json> member(const io::Json& object, std::string_view key) {
  if (!object.is_object()) return std::nullopt;
  return object.find(key);
}

bool has_text(const std::optional<io::Json>& value) {
  return value && value->is_string() && !value->as_string().empty();
}

// Text of one choice, whichever API it is of. What a model thinks aloud are tokens too.
bool choice_has_text(const io::Json& choice) {
  if (has_text(member(choice, "text"))) return true;
  for (const char* part : {"delta", "message"})
    if (const auto inner = member(choice, part))
      for (const char* key : {"content", "reasoning_content", "reasoning"})
        if (has_text(member(*inner, key))) return true;
  return false;
}

void read_count(const io::Json& usage, std::string_view key, int64_t& out) {
  const auto n = member(usage, key);
  if (n && n->type() == io::JsonType::kInt) out = n->as_int(0, kMaxTokens);
}

std::string error_text(const io::Json& error) {
  const auto message = member(error, "message");
  if (message && message->is_string()) return std::string(message->as_string());
  return error.excerpt(200);
}

// The event that comes for every token but the last, told apart without parsing it, for at thousands a second
// parsing is most of what a generator does: text or content that is not empty, no end, no counts, no error.
// In JSON a quote within a string is escaped, so what is found here is a key, not part of a text. Whatever is
// spelt otherwise is parsed.
bool is_plain_piece(std::string_view data) {
  const auto has = [&](std::string_view part) { return data.find(part) != data.npos; };
  if (!data.starts_with('{') || !data.ends_with('}') || !has("\"finish_reason\":null") || has("\"error\"") ||
      has("\"usage\":{"))
    return false;
  for (const std::string_view key : {"\"text\":\"", "\"content\":\""}) {
    const size_t at = data.find(key);
    if (at != data.npos && data[std::min(at + key.size(), data.size() - 1)] != '"') return true;
  }
  return false;
}

}  // namespace

void AnswerReader::fail(std::string why) {
  if (answer_.error.empty()) answer_.error = std::move(why);
}

void AnswerReader::on_body(const ResponseHead& head, std::string_view bytes, double now) {
  answer_.status = head.status;
  if (head.content_type != "text/event-stream") {
    body_ += bytes.substr(0, kMaxBody - std::min(kMaxBody, body_.size()));
    return;
  }
  try {
    events_.feed(bytes, [&](std::string_view data) { on_event(data, now); });
  } catch (const Error& e) {
    fail(e.what());
  }
}

void AnswerReader::on_end(const ResponseHead& head, double now) {
  answer_.status = head.status;
  if (head.content_type != "text/event-stream") on_json(body_, now);
  if (head.status != 200) {
    fail("status " + std::to_string(head.status));
  } else if (!answer_.finished) {
    fail("the answer ended without a finish_reason");
  }
}

void AnswerReader::on_event(std::string_view data, double now) {
  if (data == "[DONE]") return;
  is_plain_piece(data) ? on_text(now) : on_json(data, now);
}

void AnswerReader::on_text(double now) {
  if (answer_.pieces++ == 0) answer_.first = now;
  answer_.last = now;
}

void AnswerReader::on_json(std::string_view text, double now) {
  try {
    const io::JsonDocument document = io::JsonDocument::parse(text, "answer");
    const io::Json root = document.root();
    if (!root.is_object()) return fail("answer: found " + root.excerpt(60) + ", expected an object");
    if (const auto error = root.find("error"); error && !error->is_null()) fail(error_text(*error));
    if (const auto usage = root.find("usage")) {
      read_count(*usage, "prompt_tokens", answer_.prompt_tokens);
      read_count(*usage, "completion_tokens", answer_.completion_tokens);
    }
    const auto choices = root.find("choices");
    if (!choices || !choices->is_array()) return;
    bool text_came = false;
    for (const io::Json choice : choices->elements()) {
      text_came = text_came || choice_has_text(choice);
      const auto reason = member(choice, "finish_reason");
      if (reason && !reason->is_null()) answer_.finished = true;
    }
    if (text_came) on_text(now);
  } catch (const Error& e) {
    fail(e.what());
  }
}

}  // namespace hoist::load
