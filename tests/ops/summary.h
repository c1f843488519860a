// What the property tests found, printed as a table when the binary ends: ops x properties, and every
// exclusion with its written reason. docs/results.md quotes it.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>

namespace hoist::testing {

class Summary {
 public:
  static Summary& get();
  // Counts one check of `property` that passed for `op`.
  void count(std::string_view op, std::string_view property, int n = 1);
  // Counts one result put together from pieces as `kind` says.
  void count_kind(const std::string& kind) { ++kinds_[kind]; }
  // Something that was not checked, and why.
  void exclude(std::string_view property, std::string_view op, const std::string& reason);
  void print() const;

 private:
  std::map<std::string, std::map<std::string, int>> counts_;
  std::map<std::string, int> kinds_;
  std::map<std::string, std::set<std::string>> excluded_;
};

}  // namespace hoist::testing
