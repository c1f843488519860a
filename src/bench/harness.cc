#include "bench/harness.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace hoist::bench {

namespace {

// Threads of a peer's pool spin for a while after their last run; ours must not pay for it.
constexpr std::chrono::milliseconds kSettle{40};

bool wanted(const Case& c, const std::string& filter) {
  return filter.empty() || c.name.find(filter) != std::string::npos ||
         c.shape.find(filter) != std::string::npos;
}

// One turn: one run to warm up, then the median of as many as fit.
double turn(const Run& run, double at_least) {
  run();
  return calmest([&] {
    std::vector<double> times;
    double spent = 0;
    do {
      const double start = now();
      run();
      times.push_back(now() - start);
      spent += times.back();
    } while (spent < at_least);
    return median(std::move(times));
  });
}

Row measure(const Case& c, const HarnessOptions& options, const Setting& setting, Ceilings& ceilings) {
  Row row{c.name, c.shape, c.dtype, c.unit, setting.threads};
  const Run ours = c.ours(setting);
  if (!ours) {
    row.note = "no kernel";
    return row;
  }
  std::vector<PeerRun> peers;
  if (c.peers) peers = c.peers(setting);
  std::vector<double> bound, mine;
  std::vector<std::vector<double>> theirs(peers.size());
  for (int round = 0; round < options.rounds; ++round) {
    bound.push_back(ceilings.seconds(c.work));
    mine.push_back(turn(ours, options.turn_seconds));
    for (size_t i = 0; i < peers.size(); ++i) {
      theirs[i].push_back(turn(peers[i].run, options.turn_seconds));
      if (setting.threads > 1) std::this_thread::sleep_for(kSettle);
    }
  }
  row.value = c.amount / median(mine);
  row.set_share(median_ratio(bound, mine));
  for (size_t i = 0; i < peers.size(); ++i) row.add_peer(peers[i].name, median_ratio(theirs[i], mine));
  return row;
}

}  // namespace

std::vector<Row> run_cases(const std::vector<Case>& cases, const HarnessOptions& options,
                           const Setting& setting, Ceilings& ceilings,
                           FunctionRef<void(const Row&, int64_t, int64_t)> done) {
  std::vector<const Case*> list;
  for (const Case& c : cases)
    if (wanted(c, options.filter)) list.push_back(&c);
  std::vector<Row> rows;
  for (const Case* c : list) {
    rows.push_back(measure(*c, options, setting, ceilings));
    done(rows.back(), static_cast<int64_t>(rows.size()), static_cast<int64_t>(list.size()));
  }
  return rows;
}

}  // namespace hoist::bench
