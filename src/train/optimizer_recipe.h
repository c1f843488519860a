// From a recipe to what the optimizer does: its spec, and per parameter decay, learning rate and shape.
#pragma once

#include "models/lm.h"
#include "passes/add_optimizer.h"
#include "train/recipe.h"

namespace hoist::train {

// Weight decay applies to matrices and embeddings (what has two axes or more in a checkpoint); norms and
// biases are never decayed. Throws Error for settings that do not go together.
passes::OptimizerSpec optimizer_spec(const Recipe& recipe);
// One group per parameter. With train.layer_decay = d, a parameter `n` layers below the head learns at d^n
// times the rate: the final norm and the head at 1, the last block at d, ..., embeddings at d^(layers + 1).
std::vector<passes::OptimizerSpec::Group> parameter_groups(const Recipe& recipe,
                                                           const std::vector<models::Parameter>& parameters);
// The block a parameter belongs to, by the first number among the parts of its name; -1: none.
int64_t layer_of(std::string_view name);

}  // namespace hoist::train
