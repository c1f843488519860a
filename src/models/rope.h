// Frequencies of rotary positions as a model's config asks for them.
//
// linear, dynamic: Hugging Face transformers' rope types. yarn: Peng et al., "YaRN", 2023. longrope: Ding et
// al., "LongRoPE", 2024. Dynamic and longrope depend on how long a text is; here that is decided once, by the
// longest context a graph is built for, never by the texts in a batch: what a token says may not depend on
// its neighbours, nor on what is generated later.
#pragma once

#include "io/model_config.h"
#include "ir/graph.h"

namespace hoist::models {

// f32 [rope_half = dim / 2] for contexts of up to `context` positions. The cosine and sine are to be
// multiplied by config.attention_factor.
ir::ValueId rope_table(ir::Builder& b, const io::RopeConfig& config, int64_t dim, int64_t max_position,
                       int64_t context);

}  // namespace hoist::models
