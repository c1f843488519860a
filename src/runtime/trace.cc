#include "runtime/trace.h"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <map>

#include "base/error.h"

namespace hoist::runtime {

namespace {
int64_t clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}
}  // namespace

Trace::Trace() : origin_(clock_ns()) {}
int64_t Trace::now() const { return clock_ns() - origin_; }

void Trace::add(std::string_view op, std::string_view variant, std::string_view scope, int iteration,
                int64_t start) {
  if (events_.size() >= kMaxEvents) {
    ++dropped_;
    return;
  }
  events_.push_back({op, variant, scope, iteration, start, now() - start});
}

void Trace::write(const std::string& path, int rank) const {
  std::FILE* f = std::fopen(path.c_str(), "wb");
  if (!f) throw_io("cannot write trace " + path, errno);
  std::fprintf(f, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"dropped\":%lld},\"traceEvents\":[\n",
               static_cast<long long>(dropped_));
  // One row (thread id) per instruction: op and scope, in order of first appearance.
  std::map<std::pair<std::string_view, std::string_view>, int> rows;
  for (const Event& e : events_) {
    auto [it, fresh] = rows.emplace(std::pair(e.scope, e.op), static_cast<int>(rows.size()));
    if (fresh) {
      std::string label = std::string(e.op) + (e.scope.empty() ? "" : " @" + std::string(e.scope));
      std::fprintf(f,
                   "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":%s}},\n",
                   rank, it->second, quoted(label).c_str());
    }
    std::fprintf(f,
                 "{\"name\":%s,\"cat\":%s,\"ph\":\"X\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,"
                 "\"args\":{\"iteration\":%d}},\n",
                 quoted(e.op).c_str(), quoted(e.variant.empty() ? "runtime" : e.variant).c_str(), rank,
                 it->second, static_cast<double>(e.start) / 1e3, static_cast<double>(e.duration) / 1e3,
                 e.iteration);
  }
  std::fprintf(f, "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"args\":{\"name\":\"rank %d\"}}\n]}\n",
               rank, rank);
  if (std::fclose(f) != 0) throw_io("cannot write trace " + path, errno);
}

}  // namespace hoist::runtime
