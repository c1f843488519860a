// The cases of `hoist bench kernels`, by family.
#pragma once

#include <functional>

#include "bench/row.h"

namespace hoist::bench {

struct CaseOptions {
  bool small = false;  // tiny sizes: the tests' smoke run
};

void add_gemm_cases(const CaseOptions& options, std::vector<Case>& cases);
void add_gemv_cases(const CaseOptions& options, std::vector<Case>& cases);
void add_attention_cases(const CaseOptions& options, std::vector<Case>& cases);
void add_conv_cases(const CaseOptions& options, std::vector<Case>& cases);
void add_moe_cases(const CaseOptions& options, std::vector<Case>& cases);
void add_memory_cases(const CaseOptions& options, std::vector<Case>& cases);
void add_codec_cases(const CaseOptions& options, std::vector<Case>& cases);

}  // namespace hoist::bench
