#include "serve/constraints.h"

#include <algorithm>

namespace hoist::serve {
namespace {

using Kind = http::AnswerFormat::Kind;

// A literal text as a regular expression.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

text::Grammar compile(const http::AnswerFormat& format) {
  switch (format.kind) {
    case Kind::kJsonSchema: return text::Grammar::from_json_schema(format.text);
    case Kind::kRegex: return text::Grammar::from_regex(format.text);
    case Kind::kGrammar: return text::Grammar::from_ebnf(format.text);
    case Kind::kChoice: {
      std::string any;
      for (const std::string& choice : format.choices) any += (any.empty() ? "" : "|") + escaped(choice);
      return text::Grammar::from_regex(any);
    }
    default: return text::Grammar::json_object();
  }
}

// Parts with their lengths: no two lists give the same text.
void add(std::string& key, std::string_view part) {
  key += std::to_string(part.size());
  key += ':';
  key += part;
}

}  // namespace

Constraints::Constraints(const text::Tokenizer& tokenizer, std::vector<int32_t> end_tokens,
                         const Options& options)
    : tokenizer_(tokenizer), end_tokens_(std::move(end_tokens)), options_(options) {}

std::shared_ptr<const text::TokenTable> Constraints::table() {
  std::call_once(table_made_, [&] {
    const int32_t size = tokenizer_.vocab_size();
    std::vector<std::string> bytes(static_cast<size_t>(size));
    for (int32_t id = 0; id < size; ++id) bytes[static_cast<size_t>(id)] = tokenizer_.bytes_of(id);
    std::vector<int32_t> ends;
    for (const int32_t id : end_tokens_)
      if (id >= 0 && id < size) ends.push_back(id);
    table_ = std::make_shared<const text::TokenTable>(std::move(bytes), std::move(ends));
  });
  return table_;
}

template <class Compile>
std::shared_ptr<const text::Constraint> Constraints::find(std::string key, const std::string& field,
                                                          Compile compile) {
  {
    std::lock_guard lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it)
      if (it->key == key) {
        entries_.splice(entries_.begin(), entries_, it);
        return entries_.front().constraint;
      }
  }
  std::shared_ptr<const text::Constraint> made;
  try {
    text::ConstraintOptions options;
    options.cache_bytes = options_.max_bytes / 8;
    made = std::make_shared<const text::Constraint>(compile(), table(), options);
  } catch (const Error& e) {
    throw http::FieldError(e.code() == ErrorCode::kResourceExhausted ? ErrorCode::kInvalidArgument : e.code(),
                           field, e.what());
  }
  std::lock_guard lock(mutex_);
  ++compiled_;
  entries_.push_front({std::move(key), made});
  size_t bytes = 0, count = 0;
  auto it = entries_.begin();
  for (; it != entries_.end(); ++it) {
    bytes += it->constraint->cached_bytes();
    if (++count > options_.max_entries || (count > 1 && bytes > options_.max_bytes)) break;
  }
  entries_.erase(it, entries_.end());
  return made;
}

std::shared_ptr<const text::Constraint> Constraints::get(const http::AnswerFormat& format) {
  std::string key = std::to_string(static_cast<int>(format.kind));
  add(key, format.text);
  for (const std::string& choice : format.choices) add(key, choice);
  return find(std::move(key), format.field, [&] { return compile(format); });
}

std::shared_ptr<const text::Constraint> Constraints::get(const text::TaggedValues& values,
                                                         const std::string& field) {
  std::string key = values.several ? "calls" : "call";
  for (const std::string* part : {&values.begin, &values.end, &values.separator, &values.stop})
    add(key, *part);
  for (const auto& c : values.choices) {
    for (const std::string* part : {&c.before, &c.schema, &c.after}) add(key, *part);
    key += "fields " + std::to_string(c.fields.size()) + ':';
    for (const auto& f : c.fields) {
      for (const std::string* part : {&f.before, &f.schema, &f.after}) add(key, *part);
      key += f.required ? 'r' : 'o';
      key += f.text ? 't' : 'j';
    }
  }
  return find(std::move(key), field, [&] { return text::Grammar::from_tagged_values(values); });
}

size_t Constraints::size() const {
  std::lock_guard lock(mutex_);
  return entries_.size();
}

int64_t Constraints::compiled() const {
  std::lock_guard lock(mutex_);
  return compiled_;
}

}  // namespace hoist::serve
