// The report of a training run: one HTML file that needs no network, opens anywhere and prints well.
//
// Entry points: read_metrics turns the lines a run logged into a TrainingReport; the caller adds title, facts
// and recipe; render writes the page. The page shows the losses, learning rate, gradient norm and speed as
// charts drawn here (SVG; a script adds values under the pointer and logarithmic axes), then evaluations,
// facts and recipe.
//
// Promises: every string is escaped; a curve has at most kMaxPoints points whatever the run's length, its
// extremes among them; the same report gives the same bytes. Pure functions; read_metrics reads its one file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace hoist::report {

inline constexpr size_t kMaxPoints = 2000;
inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// One logged optimizer step. What was not logged, or was not finite, is NaN.
struct StepPoint {
  int64_t step = 0;  // from 1
  double loss = kUnknown, lr = kUnknown, grad_norm = kUnknown, tokens_per_second = kUnknown;
  double seconds = kUnknown;  // of training since the run began
  int64_t tokens = 0;         // since the run began; 0 if not logged
  bool applied = true;        // false: the gradient was not finite and the step changed nothing
};

struct EvalPoint {
  int64_t step = 0;
  double loss = kUnknown;
  bool whole = false;  // over all held-out text, not a sample of it
};

struct TrainingReport {
  std::string title = "Training report";
  std::vector<std::pair<std::string, std::string>> facts;  // name and value, shown in this order
  std::vector<StepPoint> points;                           // by step
  std::vector<EvalPoint> evals;                            // by step
  std::string recipe;                                      // shown as it stands; may be empty
};

// Reads metrics.jsonl: one object per line, {"kind":"step","step":1,"loss":..,"lr":..,"grad_norm":..,
// "tokens":..,"tokens_per_second":..,"seconds":..} or {"kind":"eval","step":..,"loss":..,"whole":..}; other
// kinds and keys are passed over. A broken last line, left by a kill, is ignored. Where a resumed run logged
// steps again, the later lines count. Throws Error: kNotFound or kIo for the file, kCorrupt naming file and
// line.
TrainingReport read_metrics(const std::string& path);

std::string render(const TrainingReport& report);

}  // namespace hoist::report
