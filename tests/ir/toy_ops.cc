#include "ir/toy_ops.h"

#include "base/error.h"

namespace hoist::testing {

using ir::NoAttrs;
using ir::OpDef;
using ir::OpView;
using ir::RuleBuilder;
using ir::Type;

namespace {
void map_all(const OpView& view, std::vector<ir::AxisRule>& out) { RuleBuilder{view, out}.map_rest(); }
void same_type(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  results.push_back(view.operands[0]);
}
}  // namespace

const OpDef kScale{"scale", ir::attrs_info<ScaleAttrs>(), same_type, map_all};
const OpDef kSplit{"split", ir::attrs_info<NoAttrs>(),
                   [](const OpView& view, std::vector<Type>& results) {
                     ir::expect_operands(view, 1);
                     results.assign(2, view.operands[0]);
                   },
                   map_all};
const OpDef kAccumulate = [] {
  OpDef op{"accumulate", ir::attrs_info<NoAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 2);
             ir::expect(view, view.operands[0].dims == view.operands[1].dims, "expected equal axes");
             results.push_back(view.operands[0]);
           },
           map_all};
  op.in_place = {0};
  return op;
}();
const OpDef kGather = [] {
  OpDef op{"gather", ir::attrs_info<NoAttrs>(), same_type, map_all};
  op.collective = true;
  return op;
}();

const OpDef* find_toy(std::string_view name) {
  for (const OpDef* op : {&kScale, &kSplit, &kAccumulate, &kGather})
    if (op->name == name) return op;
  return nullptr;
}

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace hoist::testing
