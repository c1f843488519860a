// Measures kernels: bench_kernels [--isa NAME] [--threads N] [filter]. Prints one line per case with the best
// time of several runs, and GFLOP/s and GB/s where they mean something. Peak lines first: FMA and read
// bandwidth.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "kernels/run_op.h"
#include "ops/contract.h"

namespace hoist::kernels {
namespace {

using ir::Attrs;
using ir::Type;

double seconds(const std::function<void()>& body) {
  body();
  double best = 1e9, spent = 0;
  for (int i = 0; i < 200 && spent < 0.6; ++i) {
    auto start = std::chrono::steady_clock::now();
    body();
    double t = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, t);
    spent += t;
  }
  return best;
}

struct Bench {
  Isa isa;
  int threads;
  std::string filter;

  void op(const std::string& name, const OpCall& call, double flops, double bytes) const {
    if (name.find(filter) == std::string::npos) return;
    OpRunner r(call, cpu_table(isa), threads);
    if (!r.found()) {
      std::printf("%-44s no kernel\n", name.c_str());
      return;
    }
    double t = seconds([&] { r.run(); });
    std::printf("%-44s %-8s %10.1f us %8.1f GFLOP/s %7.1f GB/s\n", name.c_str(),
                std::string(r.variant()).c_str(), t * 1e6, flops / t * 1e-9, bytes / t * 1e-9);
  }

  void contract(const std::string& name, const Type& x, const Type& y, const AxisList& out, DType to) const {
    OpCall c{
        &ops::kContract, Attrs::of(ops::ContractAttrs{out, to}), {random_tensor(x, 1), random_tensor(y, 2)}};
    std::vector<Type> types = {x, y};
    std::vector<Type> result = ir::infer_types(*c.op, c.attrs, types);
    ir::OpView view{c.op, &c.attrs, types, result};
    op("contract " + name, c, ir::count_flops(view),
       static_cast<double>(x.bytes() + y.bytes() + result[0].bytes()));
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

}  // namespace
}  // namespace hoist::kernels

int main(int argc, char** argv) {
  using namespace hoist;
  kernels::Bench b{kernels::best_isa(),
                   Topology::detect().cores.empty() ? 1 : static_cast<int>(Topology::detect().cores.size()),
                   ""};
  for (int i = 1; i < argc; ++i) {
    std::string a = argv[i];
    if (a == "--threads" && i + 1 < argc) {
      b.threads = std::atoi(argv[++i]);
    } else if (a == "--isa" && i + 1 < argc) {
      std::string name = argv[++i];
      for (kernels::Isa isa : {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512})
        if (kernels::isa_name(isa) == name && kernels::isa_available(isa)) b.isa = isa;
    } else {
      b.filter = a;
    }
  }
  std::printf("isa %s, %d threads\n", std::string(kernels::isa_name(b.isa)).c_str(), b.threads);
  kernels::contractions(b);
}
