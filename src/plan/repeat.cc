// Rolls equal runs of instructions into repeat blocks, and unrolls them.
#include <cstring>

#include "base/check.h"
#include "plan/compile.h"

namespace hoist::plan {

namespace {

constexpr int kMaxBody = 512;  // longest layer looked for, in instructions

// Equal but for where their tensors live.
bool same_shape(const Instruction& a, const Instruction& b) {
  if (a.op != b.op || a.kernel != b.kernel || a.workspace_bytes != b.workspace_bytes) return false;
  if (a.operands.size() != b.operands.size() || a.results.size() != b.results.size()) return false;
  // Padding bytes may differ; the printed form does not.
  if (a.op && std::memcmp(a.attrs.bytes, b.attrs.bytes, sizeof a.attrs.bytes) != 0 &&
      a.op->attrs->print(a.attrs) != b.op->attrs->print(b.attrs))
    return false;
  for (size_t i = 0; i < a.operands.size(); ++i)
    if (!(a.operands[i].type == b.operands[i].type) || a.operands[i].ref.space != b.operands[i].ref.space)
      return false;
  for (size_t i = 0; i < a.results.size(); ++i)
    if (!(a.results[i].type == b.results[i].type) || a.results[i].ref.space != b.results[i].ref.space)
      return false;
  return true;
}

template <class F>
bool all_refs(Instruction& a, const Instruction& b, F f) {
  for (size_t i = 0; i < a.operands.size(); ++i)
    if (!f(a.operands[i].ref, b.operands[i].ref)) return false;
  for (size_t i = 0; i < a.results.size(); ++i)
    if (!f(a.results[i].ref, b.results[i].ref)) return false;
  return a.workspace_bytes == 0 || f(a.workspace, b.workspace);
}

// Does `b` equal iteration `i` of `first`, whose steps are already set?
bool fits(Instruction& first, const Instruction& b, int i) {
  return same_shape(first, b) && all_refs(first, b, [&](Ref& f, const Ref& r) {
           return r.index == f.index + i * f.index_step && r.offset == f.offset + i * f.step;
         });
}

// Sets the steps of `first` from the second iteration.
bool set_steps(Instruction& first, const Instruction& second) {
  return same_shape(first, second) && all_refs(first, second, [&](Ref& f, const Ref& r) {
           f.step = r.offset - f.offset;
           f.index_step = r.index - f.index;
           return true;
         });
}

}  // namespace

void roll_repeats(Plan& plan) {
  std::vector<Instruction>& in = plan.instructions;
  const int n = static_cast<int>(in.size());
  std::vector<Instruction> out;
  std::vector<Repeat> repeats;
  int at = 0;
  while (at < n) {
    int best_length = 0, best_count = 1;
    std::vector<Instruction> best;
    for (int length = 2; length <= kMaxBody && at + 2 * length <= n; ++length) {
      if (!same_shape(in[static_cast<size_t>(at)], in[static_cast<size_t>(at + length)])) continue;
      std::vector<Instruction> body(in.begin() + at, in.begin() + at + length);
      bool ok = true;
      for (int k = 0; k < length && ok; ++k)
        ok = set_steps(body[static_cast<size_t>(k)], in[static_cast<size_t>(at + length + k)]);
      if (!ok) continue;
      int count = 2;
      while (at + (count + 1) * length <= n) {
        for (int k = 0; k < length && ok; ++k)
          ok = fits(body[static_cast<size_t>(k)], in[static_cast<size_t>(at + count * length + k)], count);
        if (!ok) break;
        ++count;
      }
      // Two iterations step by constants trivially; that is worth a block only when there are more.
      if (count >= 3 && length * (count - 1) > best_length * (best_count - 1)) {
        best_length = length;
        best_count = count;
        best = std::move(body);
      }
    }
    if (best_length == 0) {
      out.push_back(std::move(in[static_cast<size_t>(at)]));
      ++at;
      continue;
    }
    repeats.push_back({static_cast<int>(out.size()), best_length, best_count});
    for (Instruction& ins : best) out.push_back(std::move(ins));
    at += best_length * best_count;
  }
  plan.instructions = std::move(out);
  plan.repeats = std::move(repeats);
}

Plan unroll(const Plan& plan) {
  Plan flat = plan;
  flat.instructions.clear();
  flat.repeats.clear();
  size_t next = 0;
  for (int at = 0; at < static_cast<int>(plan.instructions.size());) {
    if (next == plan.repeats.size() || plan.repeats[next].first != at) {
      flat.instructions.push_back(plan.instructions[static_cast<size_t>(at++)]);
      continue;
    }
    const Repeat& r = plan.repeats[next++];
    for (int i = 0; i < r.count; ++i)
      for (int k = 0; k < r.length; ++k) {
        Instruction ins = plan.instructions[static_cast<size_t>(at + k)];
        auto move = [&](Ref& ref) {
          ref.offset += i * ref.step;
          ref.index += i * ref.index_step;
          ref.step = 0;
          ref.index_step = 0;
        };
        for (Tensor& t : ins.operands) move(t.ref);
        for (Tensor& t : ins.results) move(t.ref);
        move(ins.workspace);
        flat.instructions.push_back(std::move(ins));
      }
    at += r.length;
  }
  return flat;
}

}  // namespace hoist::plan
