// Kernels that move memory: norms, softmax, rope, losses, activations, the optimizer, embeddings. Each reads
// its operands once and writes its results once; the share is of the time that takes at the read and write
// bandwidths.
#include <string>

#include "bench/kernel_cases.h"
#include "bench/op_run.h"
#include "ops/activation.h"
#include "ops/adamw.h"
#include "ops/cross_entropy.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/layer_norm.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/softmax.h"
#include "ops/swiglu.h"

namespace hoist::bench {

namespace {

using ir::Attrs;
using ir::Type;

class Builder {
 public:
  Builder(std::vector<Case>& cases, DType dtype) : cases_(cases), dtype_(dtype) {}

  // The case's traffic is its operands and its results.
  Case& add(const std::string& name, const std::string& shape, const ir::OpDef& op, const Attrs& attrs,
            const std::vector<Operand>& operands) {
    std::vector<Type> types;
    double read = 0, written = 0;
    for (const Operand& o : operands) {
      types.push_back(o.type);
      read += bytes_of(o.type);
    }
    for (const Type& t : ir::infer_types(op, attrs, types)) written += bytes_of(t);
    Case c;
    c.name = name;
    c.shape = shape;
    c.dtype = std::string(dtype_name(dtype_));
    c.unit = "GB/s";
    c.ours = [&op, attrs, operands](const Setting& s) { return op_run(s, op, attrs, operands); };
    cases_.push_back(std::move(c));
    return traffic(read, written);
  }
  // Corrects the traffic of the last case.
  Case& traffic(double read, double written) {
    Case& c = cases_.back();
    c.work.read = read;
    c.work.written = written;
    c.amount = (read + written) * 1e-9;
    return c;
  }

 private:
  std::vector<Case>& cases_;
  DType dtype_;
};

std::string size_text(int64_t a, int64_t b) { return std::to_string(a) + "x" + std::to_string(b); }

void add_for(DType d, bool small, std::vector<Case>& cases) {
  Builder b(cases, d);
  const int64_t rows = small ? 7 : 32768, width = small ? 64 : 2048;
  const int64_t loss_rows = small ? 5 : 2048, vocab = small ? 67 : 50257;
  const int64_t ids_count = small ? 9 : 65536, narrow = small ? 32 : 768;
  const int64_t parameters = small ? 1000 : int64_t{32} << 20;
  const Type x(d, {{"rows", rows}, {"n", width}}), gamma(d, {{"n", width}}),
      stat(DType::f32, {{"rows", rows}});
  const Attrs none = Attrs::of(ir::NoAttrs{});
  const std::string size = size_text(rows, width);

  b.add("rms_norm", size, ops::kRmsNorm, Attrs::of(ops::RmsNormAttrs{"n"}), {{x}, {gamma}});
  b.add("rms_norm_grad", size, ops::kRmsNormGrad, Attrs::of(ops::RmsNormGradAttrs{"n"}),
        {{x}, {gamma}, {stat}, {x}});
  b.add("layer_norm", size, ops::kLayerNorm, Attrs::of(ops::LayerNormAttrs{"n"}), {{x}, {gamma}, {gamma}});
  b.add("layer_norm_grad", size, ops::kLayerNormGrad, Attrs::of(ops::LayerNormGradAttrs{"n"}),
        {{x}, {gamma}, {stat}, {stat}, {x}});
  b.add("softmax", size, ops::kSoftmax, Attrs::of(ops::SoftmaxAttrs{"n"}), {{x}});
  b.add("softmax_grad", size, ops::kSoftmaxGrad, Attrs::of(ops::SoftmaxAttrs{"n"}), {{x}, {x}});
  b.add("gelu_tanh", size, ops::kGeluTanh, none, {{x}});
  b.add("gelu_tanh_grad", size, ops::kGeluTanhGrad, none, {{x}, {x}});
  b.add("swiglu", size, ops::kSwiglu, none, {{x}, {x}});
  b.add("swiglu_grad", size, ops::kSwigluGrad, none, {{x}, {x}, {x}});
  b.add("gelu_erf", size, ops::kGeluErf, none, {{x}});
  b.add("gelu_erf_grad", size, ops::kGeluErfGrad, none, {{x}, {x}});
  b.add("add", size, ops::kAdd, none, {{x}, {x}});
  b.add("cast", size, ops::kCast, Attrs::of(ops::CastAttrs{d == DType::f32 ? DType::bf16 : DType::f32}),
        {{x}});

  const int64_t heads = width / 64, channels = small ? 8 : 64;
  const Type turned(d, {{"rows", rows}, {"heads", std::max<int64_t>(1, heads)}, {"channel", channels}});
  for (bool inverse : {false, true})  // the gradient turns back
    b.add(inverse ? "rope_grad" : "rope",
          size_text(rows, turned.size_of("heads")) + "x" + std::to_string(channels), ops::kRope,
          Attrs::of(ops::RopeAttrs{"channel", 1, false, inverse}),
          {{turned},
           {Type(DType::i32, {{"rows", rows}}), 0, 2048},
           {Type(DType::f32, {{"rope_half", channels / 2}})}});

  const Type logits(d, {{"rows", loss_rows}, {"vocab", vocab}}), targets(DType::i32, {{"rows", loss_rows}}),
      loss(DType::f32, {{"rows", loss_rows}});
  const Attrs ce = Attrs::of(ops::CrossEntropyAttrs{"vocab", 0});
  b.add("cross_entropy", size_text(loss_rows, vocab), ops::kCrossEntropy, ce,
        {{logits}, {targets, 0, vocab}});
  b.add("cross_entropy_grad", size_text(loss_rows, vocab), ops::kCrossEntropyGrad, ce,
        {{logits}, {targets, 0, vocab}, {loss}, {loss}, {loss}});

  const Type table(d, {{"vocab", vocab}, {"model", narrow}}), ids(DType::i32, {{"ids", ids_count}}),
      picked(d, {{"ids", ids_count}, {"model", narrow}});
  b.add("embedding", size_text(ids_count, narrow), ops::kEmbedding, Attrs::of(ops::EmbeddingAttrs{"vocab"}),
        {{table}, {ids, 0, vocab}});
  b.traffic(bytes_of(picked) + bytes_of(ids), bytes_of(picked));
  b.add("embedding_grad", size_text(ids_count, narrow), ops::kEmbeddingGrad,
        Attrs::of(ops::EmbeddingGradAttrs{"vocab", vocab, 0, DType::f32}), {{picked}, {ids, 0, vocab}});

  // Training in bf16 keeps f32 masters and gradients.
  const Type p(d, {{"n", parameters}}), full(DType::f32, {{"n", parameters}}), one(DType::f32, {});
  ops::AdamwAttrs adamw;
  adamw.has_master = d != DType::f32;
  std::vector<Operand> operands = {{p}, {full}, {full}, {full}, {one}, {one}, {one}, {one}};
  if (adamw.has_master) operands.push_back({full});
  const double n = static_cast<double>(parameters), narrow_bytes = static_cast<double>(dtype_size(d));
  b.add("adamw", std::to_string(parameters), ops::kAdamw, Attrs::of(adamw), operands);
  // With a master the narrow weights are written and never read.
  b.traffic(n * (12 + 4), n * (8 + (adamw.has_master ? 4 + narrow_bytes : 4)));
  b.add("sum_squares", std::to_string(parameters), ops::kSumSquares, none, {{p}});
}

}  // namespace

void add_memory_cases(const CaseOptions& options, std::vector<Case>& cases) {
  for (DType d : {DType::f32, DType::bf16}) add_for(d, options.small, cases);
}

}  // namespace hoist::bench
