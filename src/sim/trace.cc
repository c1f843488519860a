#include "sim/trace.h"

#include <algorithm>

#include "base/error.h"
#include "io/files.h"
#include "io/json.h"

namespace hoist::sim {

namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 30;
constexpr size_t kMaxLineBytes = 4096;
constexpr int64_t kMaxTokens = 1 << 24;
constexpr size_t kMaxSamples = 100000;

void refuse_unread(const io::Json& object) {
  for (const io::JsonMember& m : object.unread_members())
    object.fail(ErrorCode::kInvalidArgument, "unknown key \"" + std::string(m.key) + "\"");
}

sched::Request request_of(const io::Json& line) {
  sched::Request r;
  r.arrival = line.get_double("arrival", 0, 1e12);
  r.prompt_tokens = line.get_int("prompt_tokens", 1, kMaxTokens);
  r.output_tokens = line.get_int("output_tokens", 1, kMaxTokens);
  r.max_tokens = line.get_int_or("max_tokens", 0, r.output_tokens, kMaxTokens);
  r.tenant = static_cast<int32_t>(line.get_int_or("tenant", 0, 0, INT32_MAX));
  r.priority = static_cast<int32_t>(line.get_int_or("priority", 0, INT32_MIN, INT32_MAX));
  refuse_unread(line);
  return r;
}

sched::StepCost cost_of(const io::Json& object) {
  sched::StepCost cost;
  auto read = [&](std::string_view name, double& value) { value = object.get_double_or(name, 0, 0, 1e9); };
  sched::StepCost::fields(cost, read);
  refuse_unread(object);
  return cost;
}

sched::StepSample sample_of(const io::Json& object) {
  sched::StepSample s;
  s.load.prefill_tokens = object.get_int_or("prefill_tokens", 0, 0, kMaxTokens);
  s.load.prefill_pairs = object.get_double_or("prefill_pairs", 0, 0, 1e15);
  s.load.decode_rows = object.get_int_or("decode_rows", 0, 0, kMaxTokens);
  s.load.context = object.get_int_or("context", 0, 0, int64_t{1} << 40);
  s.seconds = object.get_double("seconds", 1e-9, 1e6);
  if (s.load.empty()) object.refuse("prefill_tokens or decode_rows above 0");
  refuse_unread(object);
  return s;
}

}  // namespace

std::vector<sched::Request> parse_trace(std::string_view text, const std::string& source) {
  std::vector<sched::Request> trace;
  size_t number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == line.npos) continue;
    const std::string at = source + ": line " + std::to_string(number);
    if (line.size() > kMaxLineBytes)
      throw_corrupt(at + ": found " + std::to_string(line.size()) + " bytes, expected at most " +
                    std::to_string(kMaxLineBytes));
    const io::JsonDocument document = io::JsonDocument::parse(line, at);
    if (!document.root().is_object()) document.root().refuse("an object");
    sched::Request r = request_of(document.root());
    r.id = trace.size();
    if (!trace.empty() && r.arrival < trace.back().arrival)
      document.root().at("arrival").refuse("no earlier arrival than that of the line before");
    trace.push_back(r);
  }
  if (trace.empty()) throw_corrupt(source + ": found no request, expected one JSON object per line");
  int64_t longest = 1;
  for (const sched::Request& r : trace) longest = std::max(longest, r.output_tokens);
  for (sched::Request& r : trace)
    if (r.max_tokens == 0) r.max_tokens = longest;
  return trace;
}

std::vector<sched::Request> load_trace(const std::string& path) {
  return parse_trace(io::read_file(path, kMaxFileBytes), path);
}

MeasuredCost parse_cost(std::string_view text, const std::string& source) {
  const io::JsonDocument document = io::JsonDocument::parse(text, source);
  const io::Json root = document.root();
  if (!root.is_object()) root.refuse("an object with \"step_cost\" or \"samples\"");
  MeasuredCost out;
  const auto given = root.find("step_cost"), samples = root.find("samples");
  if (given.has_value() == samples.has_value()) root.refuse("either \"step_cost\" or \"samples\"");
  refuse_unread(root);
  if (given) {
    if (!given->is_object()) given->refuse("an object of coefficients");
    out.cost = cost_of(*given);
  } else {
    std::vector<sched::StepSample> list;
    if (!samples->is_array() || samples->size() == 0 || samples->size() > kMaxSamples)
      samples->refuse("a list of 1 to " + std::to_string(kMaxSamples) + " measured steps");
    for (const io::Json s : samples->elements()) {
      if (!s.is_object()) s.refuse("an object");
      list.push_back(sample_of(s));
    }
    out.cost = sched::fit_step_cost(list);
    out.samples = list.size();
    out.error = sched::relative_error(out.cost, list);
  }
  if (!(out.cost.row_seconds(1) > 0)) root.refuse("a decoded row that takes time");
  return out;
}

MeasuredCost load_cost(const std::string& path) {
  return parse_cost(io::read_file(path, size_t{64} << 20), path);
}

}  // namespace hoist::sim
