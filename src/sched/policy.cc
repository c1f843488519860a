#include "sched/policy.h"

#include <cmath>

#include "base/error.h"
#include "base/fields.h"
#include "sched/mlfq.h"

namespace hoist::sched {

namespace {

KvMode kv_mode(const PolicySpec& spec, bool queues) {
  const std::string_view kv = spec.options.kv.name();
  if (kv.empty()) return queues ? KvMode::kProactive : KvMode::kRecompute;
  if (kv == "recompute") return KvMode::kRecompute;
  if (kv == "reactive") return KvMode::kReactive;
  if (kv == "proactive" && queues) return KvMode::kProactive;
  throw_invalid("policy " + spec.name + ": kv: found '" + std::string(kv) +
                (queues ? "', expected recompute, reactive or proactive"
                        : "', expected recompute or reactive (who runs next is not estimated)"));
}

void check(const PolicySpec& spec, bool good, const char* field, double found, const char* expected) {
  if (!good)
    throw_invalid("policy " + spec.name + ": " + field + ": found " + std::to_string(found) + ", expected " +
                  expected);
}

}  // namespace

const std::vector<PolicyName>& policy_names() {
  static const std::vector<PolicyName> names = {
      {"fcfs", "first come, first served: continuous batching, nobody overtakes"},
      {"srpt", "shortest remaining time, by known lengths: the oracle"},
      {"mlfq", "multi-level feedback queue, everybody joining the first queue"},
      {"sj-mlfq", "skip-join multi-level feedback queue (FastServe)"},
      {"priority", "by the priority that requests carry, the lower first; of equals the earlier"}};
  return names;
}

PolicySpec parse_policy(std::string_view text, const std::string& source) {
  const size_t colon = text.find(':');
  PolicySpec spec;
  spec.name = text.substr(0, colon);
  bool known = false;
  std::string list;
  for (const PolicyName& n : policy_names()) {
    known |= n.name == spec.name;
    list += (list.empty() ? "" : ", ") + std::string(n.name);
  }
  if (!known) throw_invalid(source + ": found '" + spec.name + "', expected one of " + list);
  if (colon == text.npos) return spec;
  try {
    spec.options = parse_fields<PolicyOptions>(text.substr(colon + 1));
  } catch (const Error& e) {
    throw_invalid(source + ": " + spec.name + ": " + e.what());
  }
  return spec;
}

std::unique_ptr<Policy> make_policy(const PolicySpec& spec, const StepCost& cost) {
  const PolicyOptions& o = spec.options;
  const bool queues = spec.name == "mlfq" || spec.name == "sj-mlfq";
  const KvMode kv = kv_mode(spec, queues);
  if (o.reserve && (spec.name != "fcfs" || kv != KvMode::kRecompute))
    throw_invalid("policy " + spec.name +
                  ": reserve: found true, expected it for fcfs with kv=recompute only");
  if (spec.name == "fcfs") return make_fcfs(kv, o.reserve, o.fair);
  if (spec.name == "srpt") return make_srpt(kv, o.fair);
  if (spec.name == "priority") return make_priority(kv, o.fair);
  if (!queues)
    throw_invalid("policy: found '" + spec.name + "', expected fcfs, srpt, mlfq, sj-mlfq or priority");
  MlfqOptions m;
  m.kv = kv;
  m.skip_join = spec.name == "sj-mlfq";
  m.quantum = o.quantum != 0 ? o.quantum : cost.row_seconds(1);
  m.ratio = o.ratio;
  m.levels = o.levels == 0 ? kMaxLevels : o.levels;
  m.promote = o.promote != 0 ? o.promote : 600 * m.quantum;
  m.strict = o.strict;
  m.burst = o.burst;
  m.fair = o.fair;
  check(spec, m.quantum > 0 && m.quantum <= 1e9, "quantum", m.quantum, "more than 0, at most 1e9 seconds");
  check(spec, o.ratio > 1 && o.ratio <= 1e6, "ratio", o.ratio, "more than 1, at most 1e6");
  check(spec, m.levels >= 1 && m.levels <= kMaxLevels, "levels", static_cast<double>(o.levels),
        "1..64, or 0");
  check(spec, std::isfinite(o.promote), "promote", o.promote, "seconds");
  check(spec, o.burst >= 0 && o.burst <= 1e6, "burst", o.burst, "0..1e6 seconds");
  return make_mlfq(m);
}

}  // namespace hoist::sched
