// Compiles the including source once per instruction set. A kernel source reads
//
//   #include ...                                     // every header, simd.h among them
//   #ifndef HOIST_ISA
//   ...                                              // what exists once: supports, prepare, workspace
//   #endif
//   #define HOIST_ISA_FILE "kernels/cpu/softmax.cc"  // itself
//   #include "kernels/cpu/for_each_isa.h"
//   namespace hoist::kernels::cpu::HOIST_ISA { ... } // the kernels
//
// and this header includes it again for avx512 and avx2 (and avx512dot, if HOIST_ISA_DOT is defined before
// it), under target pragmas; the source's own text is the portable pass. Headers stand before it, so that
// none of their functions is compiled for a wide target.
#ifndef HOIST_ISA  // not `#pragma once`: the passes include it again, and then it must be empty

#include "kernels/cpu/simd.h"

#if HOIST_X86
#define HOIST_ISA_LAST 0
#ifdef HOIST_ISA_DOT
#define HOIST_ISA avx512dot
#define HOIST_ISA_IS_AVX512 1
#define HOIST_ISA_IS_AVX512DOT 1
#define HOIST_ISA_IS_AVX2 0
HOIST_TARGET_PUSH_AVX512DOT
#include HOIST_ISA_FILE
HOIST_TARGET_POP
#undef HOIST_ISA
#undef HOIST_ISA_IS_AVX512
#undef HOIST_ISA_IS_AVX512DOT
#undef HOIST_ISA_IS_AVX2
#endif
#define HOIST_ISA_IS_AVX512DOT 0
#define HOIST_ISA avx512
#define HOIST_ISA_IS_AVX512 1
#define HOIST_ISA_IS_AVX2 0
HOIST_TARGET_PUSH_AVX512
#include HOIST_ISA_FILE
HOIST_TARGET_POP
#undef HOIST_ISA
#undef HOIST_ISA_IS_AVX512
#undef HOIST_ISA_IS_AVX2
#define HOIST_ISA avx2
#define HOIST_ISA_IS_AVX512 0
#define HOIST_ISA_IS_AVX2 1
HOIST_TARGET_PUSH_AVX2
#include HOIST_ISA_FILE
HOIST_TARGET_POP
#undef HOIST_ISA
#undef HOIST_ISA_LAST
#undef HOIST_ISA_IS_AVX512
#undef HOIST_ISA_IS_AVX2
#endif

#define HOIST_ISA_LAST 1
#define HOIST_ISA portable
#define HOIST_ISA_IS_AVX512 0
#define HOIST_ISA_IS_AVX2 0

#endif
