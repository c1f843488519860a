// The list of all ops. Adding an op: its two files and one line in table.cc.
#pragma once

#include <span>

#include "ir/op.h"

namespace hoist::ops {

std::span<const ir::OpDef* const> all_ops();
const ir::OpDef* find_op(std::string_view name);  // nullptr if unknown

}  // namespace hoist::ops
