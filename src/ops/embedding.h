// Embedding: rows of a table picked by ids. Also picks rows of activations: table [tokens, model], ids
// [rows].
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct EmbeddingAttrs {
  Symbol axis;       // the table's outermost axis
  int64_t base = 0;  // the id of the table's first row
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("base", self.base);
  }
};
// table [axis, rest...], ids i32 [ids...] -> [ids..., rest...] in the table's dtype; the names of ids and
// rest are distinct. An id outside [base, base + size) gives zeros.
ir::ValueId embedding(ir::Builder& b, ir::ValueId table, ir::ValueId ids, Symbol axis);

struct EmbeddingGradAttrs {
  Symbol axis;
  int64_t size = 0, base = 0;
  DType to = DType::f32;
  bool live = false;  // the table's axis was
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("size", self.size);
    v("base", self.base);
    v("to", self.to);
    v("live", self.live);
  }
};
// dy [ids..., rest...], ids -> [axis=size, rest...] of dtype `to`: rows of dy summed by id, in the order of
// ids.
ir::ValueId embedding_grad(ir::Builder& b, ir::ValueId dy, ir::ValueId ids, Symbol axis, int64_t size,
                           int64_t base, DType to);

extern const ir::OpDef kEmbedding, kEmbeddingGrad;

}  // namespace hoist::ops
