// Measures kernels: bench_kernels [--isa NAME] [--threads N] [--cpu] [filter]. Prints one line per case with
// the best time of several runs, and GFLOP/s and GB/s where they mean something. Peak lines first: FMA and
// read bandwidth.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cases.h"
#include "kernels/run_op.h"
#include "ops/activation.h"
#include "ops/adamw.h"
#include "ops/attention.h"
#include "ops/contract.h"
#include "ops/cross_entropy.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/layer_norm.h"
#include "ops/reduce.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"

namespace hoist::kernels {
namespace {

using ir::Attrs;
using ir::Type;

// Processor seconds per thread instead of wall time: steadier when the machine is shared.
bool use_cpu_time = false;
int cpu_threads = 1;

double now() {
  if (!use_cpu_time)
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9) / cpu_threads;
}

double seconds(const std::function<void()>& body) {
  body();
  double best = 1e9, spent = 0;
  for (int i = 0; i < 200 && spent < 0.6; ++i) {
    double start = now();
    body();
    double t = now() - start;
    best = std::min(best, t);
    spent += t;
  }
  return best;
}

struct Bench {
  Isa isa;
  int threads;
  std::string filter;

  // `make` is called only if the filter lets the case through.
  void op(const std::string& name, const std::function<OpCall()>& make, double flops, double bytes) const {
    if (name.find(filter) == std::string::npos) return;
    OpRunner r(make(), cpu_table(isa), threads);
    if (!r.found()) {
      std::printf("%-44s no kernel\n", name.c_str());
      return;
    }
    double t = seconds([&] { r.run(); });
    std::printf("%-44s %-8s %10.1f us %8.1f GFLOP/s %7.1f GB/s\n", name.c_str(),
                std::string(r.variant()).c_str(), t * 1e6, flops / t * 1e-9, bytes / t * 1e-9);
  }

  void contract(const std::string& name, const Type& x, const Type& y, const AxisList& out, DType to) const {
    const Attrs attrs = Attrs::of(ops::ContractAttrs{out, to});
    std::vector<Type> types = {x, y};
    std::vector<Type> result = ir::infer_types(ops::kContract, attrs, types);
    ir::OpView view{&ops::kContract, &attrs, types, result};
    op(
        "contract " + name,
        [&] {
          return OpCall{&ops::kContract, attrs, {random_tensor(x, 1), random_tensor(y, 2)}};
        },
        ir::count_flops(view), static_cast<double>(x.bytes() + y.bytes() + result[0].bytes()));
  }

  // Random operands of these types; integers below `limit`. GB/s counts the operands.
  void fused(const std::string& name, const ir::OpDef& def, Attrs a, const std::vector<Type>& types,
             int64_t limit = 1) const {
    double bytes = 0;
    for (const Type& t : types) bytes += static_cast<double>(t.bytes());
    op(
        name,
        [&] {
          OpCall c{&def, a, {}};
          for (const Type& t : types) c.operands.push_back(random_tensor(t, 1, limit));
          return c;
        },
        0, bytes);
  }
};

Type nt(DType d, const char* a, int64_t m, const char* b, int64_t n) { return Type(d, {{a, m}, {b, n}}); }

void contractions(const Bench& b) {
  for (DType d : {DType::f32, DType::bf16}) {
    std::string t(dtype_name(d));
    for (int64_t s : {256, 512, 1024, 2048})
      b.contract(t + " NT " + std::to_string(s), nt(d, "m", s, "k", s), nt(d, "n", s, "k", s), {"m", "n"}, d);
    b.contract(t + " NN 1024", nt(d, "m", 1024, "k", 1024), nt(d, "k", 1024, "n", 1024), {"m", "n"}, d);
    b.contract(t + " TN 1024", nt(d, "k", 1024, "m", 1024), nt(d, "k", 1024, "n", 1024), {"m", "n"}, d);
    for (int64_t m : {1, 2, 4, 5, 8, 16})
      b.contract(t + " decode m=" + std::to_string(m), nt(d, "m", m, "k", 4096), nt(d, "n", 4096, "k", 4096),
                 {"m", "n"}, d);
    b.contract(t + " decode NN m=1", nt(d, "m", 1, "k", 4096), nt(d, "k", 4096, "n", 4096), {"m", "n"}, d);
  }
  // The shapes of the character GPT.
  DType f = DType::f32;
  Type x(f, {{"batch", 12}, {"seq", 64}, {"model", 128}}), h(f, {{"batch", 12}, {"seq", 64}, {"ffn", 512}});
  b.contract("gpt up", x, nt(f, "ffn", 512, "model", 128), {"batch", "seq", "ffn"}, f);
  b.contract("gpt down", h, nt(f, "model", 128, "ffn", 512), {"batch", "seq", "model"}, f);
  b.contract("gpt d(up) / dx", h, nt(f, "ffn", 512, "model", 128), {"batch", "seq", "model"}, f);
  b.contract("gpt d(up) / dw", h, x, {"ffn", "model"}, f);
  b.contract("gpt logits", x, nt(f, "vocab", 65, "model", 128), {"batch", "seq", "vocab"}, f);
  Type wq(f, {{"kv_heads", 4}, {"group", 1}, {"head_dim", 32}, {"model", 128}});
  b.contract("gpt q", x, wq, {"batch", "seq", "kv_heads", "group", "head_dim"}, f);
}

// What one core can do: independent multiply-adds on f32 vectors, and summing an array far larger than the
// caches.
__attribute__((target("avx512f"), noinline)) void many_fmas(int n) {
  typedef float V __attribute__((vector_size(64)));
  V x = {}, y = {}, a = {}, b = {}, c = {}, d = {}, e = {}, f = {}, g = {}, h = {};
  for (int i = 0; i < n; ++i)
    asm volatile(
        "vfmadd231ps %8, %9, %0\n vfmadd231ps %8, %9, %1\n vfmadd231ps %8, %9, %2\n vfmadd231ps %8, %9, %3\n"
        "vfmadd231ps %8, %9, %4\n vfmadd231ps %8, %9, %5\n vfmadd231ps %8, %9, %6\n vfmadd231ps %8, %9, %7\n"
        : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h)
        : "v"(x), "v"(y));
}

double fma_peak() {
  const int n = 2000000;
  return 8.0 * 32 * n / seconds([&] { many_fmas(n); }) * 1e-9;
}

double read_bandwidth(int threads) {
  ThreadPoolOptions options;
  options.threads = threads;
  ThreadPool pool(options);
  std::vector<int64_t> data(64 << 20, 1);
  std::vector<int64_t> sums(64);
  double t = seconds([&] {
    pool.parallel_for(static_cast<int64_t>(data.size()), 4096, [&](int64_t begin, int64_t end, int worker) {
      int64_t a = 0, b = 0, c = 0, d = 0;
      for (int64_t i = begin; i + 4 <= end; i += 4)
        a += data[i], b += data[i + 1], c += data[i + 2], d += data[i + 3];
      sums[static_cast<size_t>(worker)] += a + b + c + d;
    });
  });
  return static_cast<double>(data.size()) * 8 / t * 1e-9;
}

// Attention, then the other kernels, at the sizes of a small training step and of a long one.
void attentions(const Bench& b) {
  const DType f = DType::f32;
  for (bool small : {true, false}) {
    const AttentionShape s =
        small ? AttentionShape{12, 64, 64, 4, 1, 32, 32} : AttentionShape{1, 1024, 1024, 8, 1, 64, 64};
    auto forward = [&] { return attention_call(f, s, true, 0, false, false); };
    // Causal: half of the pairs.
    const double flops = 2.0 * static_cast<double>(s.batch * s.heads * s.queries * s.keys * s.d);
    const std::string size = small ? " 12x64, 4 heads of 32" : " 1024, 8 heads of 64";
    b.op("attention" + size, forward, flops, 0);
    b.op(
        "attention_grad" + size, [&] { return attention_grad_call(forward(), false); }, 2.5 * flops, 0);
  }
  // One Llama of 1.1B: 32 heads over 4 KV heads of 64; prompts, one long stream, and batches.
  auto paged = [&](const std::string& name, DType pool, int streams, int from, int tokens) {
    std::vector<int> seq, pos;
    double pairs = 0;
    for (int s = 0; s < streams; ++s)
      for (int i = 0; i < tokens; ++i, pairs += from + i) seq.push_back(s), pos.push_back(from + i);
    b.op(
        "paged " + name + " " + std::string(dtype_name(pool)),
        [&] { return paged_call(f, pool, seq, pos, 4, 8, 64, 64, 16, 0, 0, false, 0); },
        4.0 * pairs * 32 * 64,
        2.0 * streams * (from + tokens) * 4 * 64 * static_cast<double>(dtype_size(pool)));
  };
  for (DType pool : {DType::f32, DType::bf16}) {
    paged("prompt 512", pool, 1, 0, 512);
    paged("prompt 256 at 4096", pool, 1, 4096, 256);
    paged("decode 1 x 16384", pool, 1, 16383, 1);
    paged("decode 1 x 1500", pool, 1, 1499, 1);
    paged("decode 8 x 4096", pool, 8, 4095, 1);
    paged("decode 16 x 512", pool, 16, 511, 1);
  }
}

void others(const Bench& b) {
  const DType f = DType::f32, i32 = DType::i32;
  const Type x(f, {{"tokens", 768}, {"n", 128}}), g(f, {{"n", 128}}), stat(f, {{"tokens", 768}}), one(f, {});
  const Type h(f, {{"tokens", 768}, {"ffn", 512}}), flat(f, {{"n", 1 << 20}}), ids(i32, {{"tokens", 768}});
  const Type logits(f, {{"tokens", 768}, {"vocab", 65}}), wide(f, {{"tokens", 768}, {"vocab", 8192}});
  const Attrs none = Attrs::of(ir::NoAttrs{}), loss = Attrs::of(ops::CrossEntropyAttrs{"vocab", 0});
  b.fused("rms_norm 768x128", ops::kRmsNorm, Attrs::of(ops::RmsNormAttrs{"n"}), {x, g});
  b.fused("rms_norm_grad 768x128", ops::kRmsNormGrad, Attrs::of(ops::RmsNormGradAttrs{"n"}), {x, g, stat, x});
  b.fused("layer_norm 768x128", ops::kLayerNorm, Attrs::of(ops::LayerNormAttrs{"n"}), {x, g, g});
  b.fused("layer_norm_grad 768x128", ops::kLayerNormGrad, Attrs::of(ops::LayerNormGradAttrs{"n"}),
          {x, g, stat, stat, x});
  b.fused("gelu_tanh 768x512", ops::kGeluTanh, none, {h});
  b.fused("gelu_tanh_grad 768x512", ops::kGeluTanhGrad, none, {h, h});
  b.fused("gelu_erf 768x512", ops::kGeluErf, none, {h});
  b.fused("gelu_erf_grad 768x512", ops::kGeluErfGrad, none, {h, h});
  b.fused("silu 768x512", ops::kSilu, none, {h});
  b.fused("add 768x128", ops::kAdd, none, {x, x});
  b.fused("reduce_sum 768x128 over tokens", ops::kReduceSum, Attrs::of(ops::ReduceAttrs{{"tokens"}}), {x});
  b.fused("cross_entropy 768x65", ops::kCrossEntropy, loss, {logits, ids}, 65);
  b.fused("cross_entropy_grad 768x65", ops::kCrossEntropyGrad, loss, {logits, ids, stat, stat, stat}, 65);
  b.fused("cross_entropy 768x8192", ops::kCrossEntropy, loss, {wide, ids}, 8192);
  b.fused("embedding_grad 768 -> 65x128", ops::kEmbeddingGrad,
          Attrs::of(ops::EmbeddingGradAttrs{"vocab", 65, 0, f}), {x, ids}, 65);
  b.fused("adamw 1M", ops::kAdamw, Attrs::of(ops::AdamwAttrs{}),
          {flat, flat, flat, flat, one, one, one, one});
  b.fused("sum_squares 1M", ops::kSumSquares, none, {flat});
  b.fused("rope 768x4x32", ops::kRope, Attrs::of(ops::RopeAttrs{"d"}),
          {Type(f, {{"tokens", 768}, {"heads", 4}, {"d", 32}}), ids, Type(f, {{"half", 16}})}, 900);
}

}  // namespace
}  // namespace hoist::kernels

int main(int argc, char** argv) {
  using namespace hoist;
  kernels::Bench b{kernels::best_isa(),
                   Topology::detect().cores.empty() ? 1 : static_cast<int>(Topology::detect().cores.size()),
                   ""};
  for (int i = 1; i < argc; ++i) {
    std::string a = argv[i];
    if (a == "--cpu") {
      kernels::use_cpu_time = true;
    } else if (a == "--threads" && i + 1 < argc) {
      b.threads = std::atoi(argv[++i]);
    } else if (a == "--isa" && i + 1 < argc) {
      std::string name = argv[++i];
      for (kernels::Isa isa :
           {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512, kernels::Isa::kAvx512Dot})
        if (kernels::isa_name(isa) == name && kernels::isa_available(isa)) b.isa = isa;
    } else {
      b.filter = a;
    }
  }
  kernels::cpu_threads = b.threads;
  std::printf("isa %s, %d threads\n", std::string(kernels::isa_name(b.isa)).c_str(), b.threads);
  if (b.filter.empty() || b.filter == "peak") {
    if (kernels::isa_available(kernels::Isa::kAvx512))
      std::printf("one core: %.1f GFLOP/s of f32 multiply-adds\n", kernels::fma_peak());
    std::printf("%d threads: %.1f GB/s read\n", b.threads, kernels::read_bandwidth(b.threads));
  }
  kernels::contractions(b);
  kernels::attentions(b);
  kernels::others(b);
}
