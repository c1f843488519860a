#include "ir/op.h"

#include "base/error.h"

namespace hoist::ir {

std::vector<Type> infer_types(const OpDef& op, const Attrs& attrs, std::span<const Type> operands) {
  OpView view{&op, &attrs, operands, {}};
  if (operands.size() > static_cast<size_t>(AxisRule::kMaxOperands)) op_error(view, "too many operands");
  std::vector<Type> results;
  op.infer(view, results);
  HOIST_CHECK(!results.empty() && results.size() <= static_cast<size_t>(AxisRule::kMaxResults),
              std::string(op.name) + ": bad number of results");
  for (const Type& t : results)
    if (!within_limits(t)) op_error(view, "a result has more than 2^59 elements: " + to_string(t));
  return results;
}

std::vector<AxisRule> axis_rules(const OpView& view) {
  std::vector<AxisRule> rules;
  view.op->rules(view, rules);
  for (const AxisRule& r : rules) {
    const std::string where = std::string(view.op->name) + ": axis " + r.axis.str();
    HOIST_CHECK(r.operand_dim.size() == static_cast<int>(view.operands.size()), where + ": operand count");
    HOIST_CHECK(r.result_dim.size() == static_cast<int>(view.results.size()), where + ": result count");
    HOIST_CHECK(r.result.size() == r.result_dim.size(), where + ": result rules");
    HOIST_CHECK(r.splittable() || r.why_whole, where + ": no reason given for an axis that may not be split");
    for (const ResultRule& rr : r.result)
      HOIST_CHECK(rr.kind != AxisKind::kMerge || rr.monoid || r.phased, where + ": merge without monoid");
  }
  return rules;
}

double count_flops(const OpView& view) {
  if (view.op->flops) return view.op->flops(view);
  double n = 1;
  bool merges = false;
  for (const AxisRule& r : axis_rules(view)) {
    n *= static_cast<double>(r.extent);
    for (const ResultRule& rr : r.result) merges |= rr.kind == AxisKind::kMerge;
  }
  return merges ? 2 * n : n;
}

void op_error(const OpView& view, const std::string& message) {
  std::string text = std::string(view.op->name) + ": " + message + " (operands";
  for (const Type& t : view.operands) text += " " + to_string(t);
  throw_invalid(text + ")");
}

void expect_operands(const OpView& view, int count) {
  if (static_cast<int>(view.operands.size()) != count)
    op_error(view, "expected " + std::to_string(count) + " operands, found " +
                       std::to_string(view.operands.size()));
}

void expect(const OpView& view, bool condition, const char* message) {
  if (!condition) op_error(view, message);
}

}  // namespace hoist::ir
