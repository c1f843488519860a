// The optimizers: how one parameter moves. Private to passes/add_optimizer.cc.
#pragma once

#include "passes/add_optimizer.h"

namespace hoist::passes {

// What every parameter's step needs; scalars f32.
struct StepContext {
  ir::Builder& b;
  const OptimizerSpec& spec;
  ir::ValueId lr, step, scale, ok;
};

struct Target {
  int state;  // index into the graph's states
  ir::ValueId param;
  ir::ValueId grad;
};

// Adds the optimizer's states of one parameter, its step, and the updates.
void take_step(const StepContext& context, const Target& target, const OptimizerSpec::Group& group);

}  // namespace hoist::passes
