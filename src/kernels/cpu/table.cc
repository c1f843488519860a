// The CPU backend: instruction sets and their tables.
#include <cstdlib>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"
#if HOIST_X86
#include <cpuid.h>
#endif

namespace hoist::kernels {

namespace {

#define HOIST_ADD_PORTABLE(stem) cpu::portable::add_##stem(list);
#define HOIST_ADD_AVX2(stem) cpu::avx2::add_##stem(list);
#define HOIST_ADD_AVX512(stem) cpu::avx512::add_##stem(list);
#define HOIST_ADD_AVX512DOT(stem) cpu::avx512dot::add_##stem(list);
void add_all(Isa isa, cpu::KernelList& list) {
  switch (isa) {
#if HOIST_X86
    case Isa::kAvx512Dot: HOIST_CPU_DOT_STEMS(HOIST_ADD_AVX512DOT) break;
    case Isa::kAvx512: HOIST_CPU_STEMS(HOIST_ADD_AVX512) break;
    case Isa::kAvx2: HOIST_CPU_STEMS(HOIST_ADD_AVX2) break;
#endif
    default: HOIST_CPU_STEMS(HOIST_ADD_PORTABLE)
  }
}

// Widest first, then narrower ones for what it lacks, then the reference kernels.
KernelTable make_table(Isa isa) {
  KernelTable table;
  table.name = isa_name(isa);
  for (Isa i : {Isa::kAvx512Dot, Isa::kAvx512, Isa::kAvx2, Isa::kPortable})
    if (i <= isa) add_all(i, table.kernels);
  for (const Kernel* k : ref_table().kernels) table.kernels.push_back(k);
  return table;
}

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx512Dot: return "avx512dot";
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx2: return "avx2";
    case Isa::kPortable: break;
  }
  return "portable";
}

#if HOIST_X86
namespace {
// clang 14's __builtin_cpu_supports does not know these features.
bool has_dot_products() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool vnni = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_AVX512VNNI);
  return vnni && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bit_AVX512BF16);
}
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
}  // namespace
#endif

bool isa_available(Isa isa) {
#if HOIST_X86
  if (isa == Isa::kAvx512Dot) return has_dot_products() && isa_available(Isa::kAvx512);
  if (isa == Isa::kAvx512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           isa_available(Isa::kAvx2);
  if (isa == Isa::kAvx2)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2") && has_f16c();
#endif
  return isa == Isa::kPortable;
}

Isa best_isa() {
  Isa best = Isa::kPortable;
  for (Isa i : {Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Dot})
    if (isa_available(i)) best = i;
  if (const char* asked = std::getenv("HOIST_ISA"))
    for (Isa i : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Dot})
      if (isa_name(i) == asked && i < best) best = i;
  return best;
}

const KernelTable& cpu_table(Isa isa) {
  static const KernelTable tables[] = {make_table(Isa::kPortable), make_table(Isa::kAvx2),
                                       make_table(Isa::kAvx512), make_table(Isa::kAvx512Dot)};
  return tables[static_cast<int>(isa)];
}

}  // namespace hoist::kernels
