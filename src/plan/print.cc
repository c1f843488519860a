// The text form of a Plan - instructions, repeats, buffers - and the counts that head it.
#include "plan/plan.h"

namespace hoist::plan {

namespace {

std::string ref(const Plan& plan, const Ref& r) {
  std::string out;
  switch (r.space) {
    case Space::kArena: out = "arena+" + std::to_string(r.offset); break;
    case Space::kState: out = "state:" + plan.states[static_cast<size_t>(r.index)].name; break;
    case Space::kInput: out = "input:" + plan.inputs[static_cast<size_t>(r.index)].name; break;
  }
  if (r.step) out += (r.step > 0 ? "+" : "") + std::to_string(r.step) + "*i";
  if (r.index_step) out += "[" + std::to_string(r.index_step) + "*i]";
  return out;
}

}  // namespace

int64_t Plan::state_bytes() const {
  int64_t n = 0;
  for (const StateSlot& s : states) n += s.type.bytes();
  return n;
}

int64_t Plan::launches() const {
  int64_t n = static_cast<int64_t>(instructions.size());
  for (const Repeat& r : repeats) n += int64_t{r.length} * (r.count - 1);
  return n;
}

std::string print(const Plan& plan) {
  std::string out =
      "plan \"" + plan.name + "\" graph=" + plan.graph_hash + " arena=" + std::to_string(plan.arena_bytes) +
      " states=" + std::to_string(plan.state_bytes()) + " launches=" + std::to_string(plan.launches()) + "\n";
  size_t next = 0;
  int inside = 0;
  for (size_t i = 0; i < plan.instructions.size(); ++i) {
    if (next < plan.repeats.size() && plan.repeats[next].first == static_cast<int>(i)) {
      out += "repeat " + std::to_string(plan.repeats[next].count) + "\n";
      inside = plan.repeats[next++].length;
    }
    const Instruction& ins = plan.instructions[i];
    if (inside > 0) {
      out += "  ";
      --inside;
    }
    for (size_t r = 0; r < ins.results.size(); ++r) out += (r ? ", " : "") + ref(plan, ins.results[r].ref);
    out += " = " + std::string(ins.op ? ins.op->name : "copy");
    if (ins.kernel) out += "." + std::string(ins.kernel->variant);
    out += "(";
    for (size_t r = 0; r < ins.operands.size(); ++r) out += (r ? ", " : "") + ref(plan, ins.operands[r].ref);
    out += ")";
    std::string attrs = ins.op ? ins.op->attrs->print(ins.attrs) : "";
    if (!attrs.empty()) out += " {" + attrs + "}";
    if (ins.workspace_bytes)
      out += " workspace=" + ref(plan, ins.workspace) + ":" + std::to_string(ins.workspace_bytes);
    if (!ins.scope.empty()) out += " @" + ins.scope.str();
    out += " : ";
    for (size_t r = 0; r < ins.results.size(); ++r) out += (r ? ", " : "") + to_string(ins.results[r].type);
    out += "\n";
  }
  for (const OutputSlot& o : plan.outputs)
    out += "output \"" + o.name + "\" " + ref(plan, o.tensor.ref) + " : " + to_string(o.tensor.type) + "\n";
  return out;
}

}  // namespace hoist::plan
