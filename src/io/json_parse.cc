// JsonDocument::parse: simdjson walks the text, we build the flat tree and add the refusals it does not make.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "io/json_tree.h"

namespace hoist::io {
namespace {

namespace od = simdjson::ondemand;

class Builder {
 public:
  Builder(JsonTree& tree, std::string_view text) : tree_(tree), text_(text) {}

  void run() {
    const JsonOptions& options = tree_.options;
    HOIST_CHECK(options.max_bytes < size_t{1} << 29 && options.max_depth <= 1024, "JsonOptions out of range");
    if (text_.size() > options.max_bytes)
      fail(fmt::format("{} bytes of JSON, at most {} are read", text_.size(), options.max_bytes));
    if (!simdjson::validate_utf8(text_.data(), text_.size())) fail("not valid UTF-8");
    const simdjson::padded_string padded(text_);
    base_ = padded.data();
    od::parser parser;
    od::document doc;
    check(parser.iterate(padded).get(doc), nullptr);
    // Every value but the first stands behind one of these, so this many nodes suffice.
    size_t bound = 1;
    for (char c : text_) bound += c == ',' || c == ':' || c == '[' || c == '{';
    tree_.nodes.reserve(bound);
    tree_.strings.reserve(text_.size());  // no escape is shorter than what it stands for
    doc_ = &doc;
    value(doc, 0);
    if (const char* rest = location()) fail("not valid JSON: something follows the value" + where(rest));
    // simdjson lets a lone low surrogate through as three bytes that are no character.
    if (!simdjson::validate_utf8(tree_.strings.data(), tree_.strings.size()))
      fail("not valid JSON: a \\u escape is half of a surrogate pair");
  }

 private:
  // V is od::document for the root, else od::value.
  template <class V>
  void value(V& v, int depth) {
    od::json_type type = od::json_type::null;
    check(v.type().get(type), location());
    switch (type) {
      case od::json_type::object: {
        enter(depth);
        const size_t self = open(NodeTag::kObject);
        od::object object;
        check(v.get_object().get(object), location());
        uint32_t count = 0;
        for (auto item : object) {
          od::field field;
          check(std::move(item).get(field), location());
          std::string_view key;
          check(field.unescaped_key().get(key), location());
          string(key);
          value(field.value(), depth + 1);
          ++count;
        }
        close(self, NodeTag::kObject, count);
        refuse_duplicates(static_cast<uint32_t>(self), count);
        return;
      }
      case od::json_type::array: {
        enter(depth);
        const size_t self = open(NodeTag::kArray);
        od::array array;
        check(v.get_array().get(array), location());
        uint32_t count = 0;
        for (auto item : array) {
          od::value element;
          check(std::move(item).get(element), location());
          value(element, depth + 1);
          ++count;
        }
        close(self, NodeTag::kArray, count);
        return;
      }
      case od::json_type::string: {
        std::string_view s;
        check(v.get_string().get(s), location());
        string(s);
        return;
      }
      case od::json_type::number: return number(v);
      case od::json_type::boolean: {
        bool b = false;
        check(v.get_bool().get(b), location());
        tree_.nodes.push_back(JsonNode::pair(NodeTag::kBool, b, 0));
        return;
      }
      case od::json_type::null: {
        bool null = false;
        check(is_null(v, null), location());
        if (!null) fail("not valid JSON: expected null" + where(location()));
        tree_.nodes.push_back(JsonNode::pair(NodeTag::kNull, 0, 0));
        return;
      }
    }
    fail("not valid JSON" + where(location()));
  }

  static simdjson::error_code is_null(od::value& v, bool& null) { return v.is_null().get(null); }
  // simdjson looks one byte too far behind a null that is the whole text.
  simdjson::error_code is_null(od::document& doc, bool& null) {
    const size_t first = text_.find_first_not_of(" \t\r\n"), last = text_.find_last_not_of(" \t\r\n");
    null = text_.substr(first, last - first + 1) == "null";
    bool seen = false;  // consumes it
    return simdjson::simdjson_result<bool>(doc.is_null()).get(seen);
  }

  template <class V>
  void number(V& v) {
    od::number n;
    check(v.get_number().get(n), location());
    if (n.is_double()) {
      wide(NodeTag::kDouble, std::bit_cast<uint64_t>(n.get_double()));
    } else if (n.is_uint64()) {
      wide(NodeTag::kWideUnsigned, n.get_uint64());  // simdjson uses this only above INT64_MAX
    } else {
      const int64_t x = n.get_int64();
      if (x >= -(int64_t{1} << 59) && x < int64_t{1} << 59)
        tree_.nodes.push_back(JsonNode::integer(x));
      else
        wide(NodeTag::kWideInt, static_cast<uint64_t>(x));
    }
  }

  void wide(NodeTag tag, uint64_t bits) {
    tree_.nodes.push_back(JsonNode::pair(tag, tree_.wide.size(), 0));
    tree_.wide.push_back(bits);
  }
  void string(std::string_view s) {
    tree_.nodes.push_back(JsonNode::pair(NodeTag::kString, tree_.strings.size(), s.size()));
    tree_.strings += s;
  }
  size_t open(NodeTag tag) {
    tree_.nodes.push_back(JsonNode::pair(tag, 0, 0));
    return tree_.nodes.size() - 1;
  }
  void close(size_t self, NodeTag tag, uint32_t count) {
    tree_.nodes[self] = JsonNode::pair(tag, tree_.nodes.size(), count);
  }
  void enter(int depth) {
    if (depth >= tree_.options.max_depth)
      fail(fmt::format("nested deeper than {} levels", tree_.options.max_depth) + where(location()));
  }

  void refuse_duplicates(uint32_t self, uint32_t count) {
    if (count < 2) return;
    keys_.clear();
    uint32_t key = self + 1;
    for (uint32_t i = 0; i < count; ++i) {
      keys_.push_back(tree_.text(key));
      key = tree_.next(key + 1);
    }
    std::sort(keys_.begin(), keys_.end());
    const auto twice = std::adjacent_find(keys_.begin(), keys_.end());
    if (twice != keys_.end()) {
      const std::string name(twice->substr(0, 200));
      fail("key " + json_quote(name) + " is given twice in one object");
    }
  }

  const char* location() {
    const char* at = nullptr;
    if (doc_ && doc_->current_location().get(at)) at = nullptr;
    return at;
  }
  std::string where(const char* at) const {
    if (!at || at < base_ || at > base_ + text_.size()) return "";
    const auto offset = static_cast<size_t>(at - base_);
    const auto line =
        std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(offset), '\n') + 1;
    return fmt::format(" (line {}, byte {})", line, offset);
  }
  void check(simdjson::error_code error, const char* at) {
    if (error == simdjson::SUCCESS) [[likely]]
      return;
    if (error == simdjson::MEMALLOC)
      throw Error(ErrorCode::kResourceExhausted, tree_.source + ": no memory to read the JSON");
    std::string what = "not valid JSON: ";
    switch (error) {
      case simdjson::EMPTY: what += "the text is empty"; break;
      case simdjson::UNCLOSED_STRING: what += "a string is not closed"; break;
      case simdjson::STRING_ERROR: what += "a string has a bad escape"; break;
      case simdjson::UNESCAPED_CHARS: what += "a string holds a raw control character"; break;
      case simdjson::NUMBER_ERROR: what += "a number is malformed or out of range"; break;
      case simdjson::INCOMPLETE_ARRAY_OR_OBJECT: what += "an array or object is not closed"; break;
      case simdjson::UTF8_ERROR: what += "not valid UTF-8"; break;
      default: what += "broken syntax"; break;
    }
    fail(what + where(at));
  }
  [[noreturn]] void fail(const std::string& message) {
    throw Error(tree_.options.syntax_error, tree_.source + ": " + message);
  }

  JsonTree& tree_;
  std::string_view text_;
  const char* base_ = nullptr;
  od::document* doc_ = nullptr;
  std::vector<std::string_view> keys_;
};

}  // namespace

JsonDocument JsonDocument::parse(std::string_view text, std::string source, const JsonOptions& options) {
  auto tree = std::make_unique<JsonTree>();
  tree->source = std::move(source);
  tree->options = options;
  Builder(*tree, text).run();
  return JsonDocument(std::move(tree));
}

}  // namespace hoist::io
