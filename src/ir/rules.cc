#include "ir/rules.h"

#include "ir/op.h"

namespace hoist::ir {

const char* axis_kind_name(AxisKind kind) {
  switch (kind) {
    case AxisKind::kWhole: return "whole";
    case AxisKind::kMap: return "map";
    case AxisKind::kMerge: return "merge";
    case AxisKind::kScan: return "scan";
    case AxisKind::kWindow: return "window";
    case AxisKind::kSegments: return "segments";
  }
  return "?";
}

bool AxisRule::splittable() const {
  for (const ResultRule& r : result)
    if (r.kind == AxisKind::kWhole || r.kind == AxisKind::kSegments) return false;
  return true;
}

AxisRule& RuleBuilder::map(Axis axis) {
  AxisRule rule;
  rule.axis = axis;
  auto locate = [&](const Type& type) -> int8_t {
    int i = type.find(axis);
    if (i >= 0) rule.extent = type.dims[i].size;
    return static_cast<int8_t>(i);
  };
  for (const Type& t : op.operands) rule.operand_dim.push_back(locate(t));
  for (const Type& t : op.results) {
    rule.result_dim.push_back(locate(t));
    rule.result.push_back({AxisKind::kMap});
  }
  out.push_back(rule);
  return out.back();
}

AxisRule& RuleBuilder::merge(Axis axis, const Monoid& monoid) {
  AxisRule& rule = map(axis);
  for (int i = 0; i < rule.result.size(); ++i)
    if (rule.result_dim[i] < 0) rule.result[i] = {AxisKind::kMerge, &monoid, static_cast<int8_t>(i)};
  return rule;
}

AxisRule& RuleBuilder::whole(Axis axis, const char* why) {
  AxisRule& rule = map(axis);
  rule.why_whole = why;
  for (ResultRule& r : rule.result) r.kind = AxisKind::kWhole;
  return rule;
}

void RuleBuilder::map_rest() {
  auto seen = [&](Axis axis) {
    for (const AxisRule& r : out)
      if (r.axis == axis) return true;
    return false;
  };
  for (auto types : {op.operands, op.results})
    for (const Type& t : types)
      for (const Dim& d : t.dims)
        if (!seen(d.axis)) map(d.axis);
}

}  // namespace hoist::ir
