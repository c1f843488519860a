#include "train/budget.h"

#include <malloc.h>
#include <unistd.h>

#include <cstdio>

#include "base/error.h"

namespace hoist::train {

int64_t held_bytes() {
  malloc_trim(0);
  long long pages = 0, shared = 0;
  if (std::FILE* f = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(f, "%*d %lld %lld", &pages, &shared) != 2) pages = shared = 0;
    std::fclose(f);
  }
  return (pages - shared) * sysconf(_SC_PAGESIZE);
}

int64_t budget_for_plans(int64_t budget, int64_t held) {
  if (budget <= held + kBesidePlans)
    throw Error(ErrorCode::kResourceExhausted, "memory.budget: found " + std::to_string(budget) +
                                                   " bytes, of which data and the program take " +
                                                   std::to_string(held + kBesidePlans));
  return budget - held - kBesidePlans;
}

}  // namespace hoist::train
