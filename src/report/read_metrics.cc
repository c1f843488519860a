// read_metrics: the lines of metrics.jsonl as points and evaluations (see training_report.h).
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "io/files.h"
#include "io/json.h"
#include "report/training_report.h"

namespace hoist::report {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 31;
constexpr size_t kMaxLineBytes = size_t{1} << 16;
constexpr int64_t kMaxCount = int64_t{1} << 53;  // what a double, and so the page's script, counts exactly

// A number that is absent or null is unknown: JSON has no other way to write one that is not finite.
double number(const io::Json& line, std::string_view key) {
  constexpr double kMax = std::numeric_limits<double>::max();
  const auto value = line.find(key);
  return value && !value->is_null() ? value->as_double(-kMax, kMax) : kUnknown;
}

// A run that died after its last checkpoint takes some steps again: what it logged of them before goes.
void add_point(TrainingReport& report, const StepPoint& point) {
  while (!report.points.empty() && report.points.back().step >= point.step) report.points.pop_back();
  while (!report.evals.empty() && report.evals.back().step >= point.step) report.evals.pop_back();
  report.points.push_back(point);
}

void add_eval(TrainingReport& report, const EvalPoint& eval) {
  auto& evals = report.evals;
  while (!evals.empty() && (evals.back().step > eval.step ||
                            (evals.back().step == eval.step && evals.back().whole == eval.whole)))
    evals.pop_back();
  evals.push_back(eval);
}

void add_line(TrainingReport& report, const io::Json& line) {
  const std::string_view kind = line.get_string("kind");
  if (kind == "step") {
    StepPoint point;
    point.step = line.get_int("step", 0, kMaxCount);
    point.loss = number(line, "loss");
    point.lr = number(line, "lr");
    point.grad_norm = number(line, "grad_norm");
    point.tokens_per_second = number(line, "tokens_per_second");
    point.seconds = number(line, "seconds");
    point.tokens = line.get_int_or("tokens", 0, 0, kMaxCount);
    point.applied = line.get_bool_or("applied", true);
    add_point(report, point);
  } else if (kind == "eval") {
    add_eval(report,
             {line.get_int("step", 0, kMaxCount), number(line, "loss"), line.get_bool_or("whole", false)});
  }
}

}  // namespace

TrainingReport read_metrics(const std::string& path) {
  const std::string text = io::read_file(path, kMaxFileBytes);
  io::JsonOptions options;
  options.max_bytes = kMaxLineBytes;
  options.value_error = ErrorCode::kCorrupt;
  TrainingReport report;
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      add_line(report, io::JsonDocument::parse(line, fmt::format("{}:{}", path, number), options).root());
    } catch (const Error&) {
      if (at < text.size()) throw;
    }
  }
  return report;
}

}  // namespace hoist::report
