// Trace: what ran when, as Chrome trace JSON (opens in Perfetto and chrome://tracing), one row per
// instruction.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::runtime {

// Used by one thread; keeps at most kMaxEvents and counts what it drops.
class Trace {
 public:
  static constexpr size_t kMaxEvents = 1 << 20;
  Trace();
  int64_t now() const;  // nanoseconds since the trace was made
  // `start` is what now() said before; the event ends now.
  void add(std::string_view op, std::string_view variant, std::string_view scope, int iteration,
           int64_t start);
  // Writes {"traceEvents": [...]}. Throws Error(kIo).
  void write(const std::string& path, int rank = 0) const;
  size_t size() const { return events_.size(); }

 private:
  struct Event {
    std::string_view op, variant, scope;  // names of ops, kernels and interned scopes: they outlive the trace
    int iteration;
    int64_t start, duration;
  };
  int64_t origin_;
  std::vector<Event> events_;
  int64_t dropped_ = 0;
};

}  // namespace hoist::runtime
