// XmlCall: reads a tool call as Qwen3-Coder writes it,
//   <function=name> <parameter=key> value </parameter> ... </function>
// and writes its arguments as JSON.
//
// A value is text as it stands, less one line end on either side. Those that the tool's schema has as strings
// become JSON strings while they arrive; others come whole, as the JSON that they are or else as strings. A
// key given twice counts the first time.
#pragma once

#include <map>
#include <memory>
#include <set>

#include "serve/call_reader.h"

namespace hoist::serve {

// By the names of tools: their parameters that are strings.
using TextParameters = std::map<std::string, std::set<std::string, std::less<>>, std::less<>>;

class XmlCall final : public CallReader {
 public:
  // `texts` may be null: then all values are read as JSON where they are any.
  explicit XmlCall(std::shared_ptr<const TextParameters> texts = nullptr) : texts_(std::move(texts)) {}

 private:
  enum class At : uint8_t { kBegin, kName, kBody, kKey, kValue };
  void take(char c) override;
  void take_tag(char c);
  void take_value(char c);
  void begin_value();
  void add(char c);
  void end_value();

  std::shared_ptr<const TextParameters> texts_;
  At at_ = At::kBegin;
  std::string held_;  // a tag, a name or a key so far; in a value what may be its end
  std::string value_;
  std::set<std::string> keys_;
  bool text_ = false, skipped_ = false, at_front_ = false, opened_ = false;
};

}  // namespace hoist::serve
