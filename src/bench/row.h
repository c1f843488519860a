// Rows and cases: what a bench measures, and what it says of it.
//
// A Case is one thing to time, with the work it does, from which the ceiling that binds follows. run_cases
// (harness.h) times it in turns with its ceilings and its peers and makes a Row. Every folder of cases is one
// function `void add_..._cases(const CaseOptions&, std::vector<Case>&)` declared in kernel_cases.h.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/threads.h"
#include "kernels/kernel.h"

namespace hoist::bench {

// One run of what is measured, on operands that it owns. Empty: cannot run here.
using Run = std::function<void()>;

// Which multiply-add the operations of a case are counted against.
enum class Arithmetic { kF32, kBf16, kI8 };

// What one run does at the very least. Bytes count only where no cache holds them.
struct Work {
  double ops = 0;  // 2 per multiply-add
  Arithmetic arithmetic = Arithmetic::kF32;
  double read = 0, written = 0;  // bytes
};

class Peers;  // peers.h: the libraries given with --peer

// Where cases run.
struct Setting {
  kernels::Isa isa;
  int threads;
  ThreadPool& pool;
  Peers& peers;
};

struct PeerRun {
  std::string name;  // "openblas"
  Run run;
};

struct Case {
  std::string name;   // "gemm.f32"
  std::string shape;  // "1024x1024x1024"
  std::string dtype;  // "f32"
  std::string unit;   // of `amount` per second: "GFLOP/s", "GB/s"
  double amount = 0;  // of one run, in 1e9 operations or bytes
  Work work;
  // Both are called when the case is reached and destroyed after it; they may allocate. `peers` may be empty.
  std::function<Run(const Setting&)> ours;
  std::function<std::vector<PeerRun>(const Setting&)> peers;
};

struct PeerValue {
  std::string name;
  double value = 0;
};

struct Row {
  std::string name, shape, dtype, unit;
  int threads = 1;
  double value = 0;    // median; higher is better, except where the unit is a time
  double ceiling = 0;  // in `unit`; 0: none is known
  std::vector<PeerValue> peers;
  std::string note;  // of the human table: the kernel's variant, or why there is no value

  double share() const { return ceiling > 0 ? value / ceiling : 0; }
  // `value` over the ceiling, and over a peer's value, as medians over rounds of what was measured side by
  // side; ceiling and peer's value follow from them. `value` comes first.
  void set_share(double share) { ceiling = share > 0 ? value / share : 0; }
  void add_peer(const std::string& peer, double ratio) {
    peers.push_back({peer, ratio > 0 ? value / ratio : 0});
  }
  // The fastest peer; nullptr when there is none.
  const PeerValue* best_peer() const;
};

// [{"name", "shape", "dtype", "threads", "value", "unit", "ceiling", "share"}, ...], with "peer" and "ratio"
// (ours over the fastest peer's) where one was paired in, and "peers" with all of them; "ceiling" and "share"
// are null where no ceiling is known.
std::string to_json(const std::vector<Row>& rows);
// One line for people, without the line break.
std::string to_line(const Row& row);
// What the columns of to_line are.
std::string header_line();

}  // namespace hoist::bench
