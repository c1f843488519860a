// Constraints: grammars compiled for one model's vocabulary, kept for the requests that ask for them again.
//
// Any number of threads may call get(); two that ask for the same new grammar at once both compile it.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "http/completion_engine.h"
#include "text/grammar/constraint.h"
#include "text/tokenizer.h"

namespace hoist::serve {

struct ConstraintsOptions {
  size_t max_entries = 64;
  size_t max_bytes = size_t{256} << 20;  // of kept masks, in all entries together
};

class Constraints {
 public:
  using Options = ConstraintsOptions;
  // `tokenizer` outlives this. The vocabulary is read when the first grammar comes.
  Constraints(const text::Tokenizer& tokenizer, std::vector<int32_t> end_tokens, const Options& options = {});

  // The least recently used ones go when there are too many. `format` is not kFree. Throws FieldError.
  std::shared_ptr<const text::Constraint> get(const http::AnswerFormat& format);
  // The same for calls of tools; errors blame `field`.
  std::shared_ptr<const text::Constraint> get(const text::TaggedValues& values, const std::string& field);

  size_t size() const;
  int64_t compiled() const;  // how often a grammar was compiled

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const text::Constraint> constraint;
  };
  template <class Compile>
  std::shared_ptr<const text::Constraint> find(std::string key, const std::string& field, Compile compile);
  std::shared_ptr<const text::TokenTable> table();

  const text::Tokenizer& tokenizer_;
  const std::vector<int32_t> end_tokens_;
  const Options options_;
  std::once_flag table_made_;
  std::shared_ptr<const text::TokenTable> table_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  int64_t compiled_ = 0;
};

}  // namespace hoist::serve
