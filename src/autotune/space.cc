// The schedules of a problem: all combinations, less those that come to the same.
#include <algorithm>
#include <array>
#include <set>

#include "autotune/problem.h"
#include "kernels/cpu/gemm/sizes.h"

namespace hoist::autotune {

namespace cpu = kernels::cpu;

std::string Problem::text() const {
  std::string out = std::to_string(m) + "x" + std::to_string(key.n) + "x" + std::to_string(key.k) + " ";
  out += dtype_name(key.w);
  return out + " " + std::string(cpu::layout_name(key.layout));
}

Tile tile_of(kernels::Isa isa) {
  switch (isa) {
    case kernels::Isa::kPortable: return {3, 16, 4};
    case kernels::Isa::kAvx2: return {6, 16, 8};
    default: return {8, 48, 16};
  }
}

int64_t k_step(const Problem& p) {
  return p.isa == kernels::Isa::kAvx512Dot && p.key.w == DType::bf16 &&
                 (p.key.x == DType::bf16 || p.key.layout == GemmLayout::kPanels)
             ? 2
             : 1;
}

Route route_of(const Problem& p, const GemmSchedule& s) {
  Route r{false, false, p.m, p.key.n};
  if (p.key.layout == GemmLayout::kPanels) return r;
  r.swapped = s.side == GemmSchedule::Side::kAuto
                  ? cpu::cost(p.key.n, p.m, p.key.k, p.m == 1) < cpu::cost(p.m, p.key.n, p.key.k, true)
                  : s.side == GemmSchedule::Side::kSwapped;
  if (r.swapped) std::swap(r.m, r.n);
  r.few = cpu::reads_as_it_lies(r.swapped ? p.key.x : p.key.w) &&
          r.m <= std::min<int64_t>(cpu::kFewRows, s.few_rows);
  return r;
}

namespace {

// What distinguishes two schedules when they run.
std::array<int64_t, 9> signature(const Problem& p, const GemmSchedule& s) {
  const Route r = route_of(p, s);
  if (r.few) return {1, r.swapped};
  const Tile tile = tile_of(p.isa);
  const cpu::GemmCut cut =
      cpu::cut_product(r.m, r.n, p.key.k, p.threads, tile.columns, p.key.layout == GemmLayout::kPanels, s);
  const bool one_tile = cut.n_step <= tile.columns, one_sliver = std::min(cut.rows, r.m) <= tile.rows;
  const bool order = s.loop == GemmSchedule::Loop::kSliversInside && !one_tile && !one_sliver;
  // One thread may pack a small operand by itself, and then cuts columns as they come.
  const int64_t columns = p.threads == 1 ? cpu::worker_space(r.m, r.n, p.key.k, s).columns : 0;
  return {0,       r.swapped,  std::min(cut.rows, r.m),  cut.n_step, std::min(cut.pieces, r.m), order,
          columns, cut.blocks, s.prefetch && !one_sliver};
}

}  // namespace

std::vector<GemmSchedule> schedule_space(const Problem& p) {
  std::vector<GemmSchedule> all{GemmSchedule{}};
  std::set<std::array<int64_t, 9>> seen{signature(p, all[0])};
  std::vector<uint16_t> rows{0};
  for (int r : {1536, 1008, 768, 528, 384, 288, 192, 96, 48}) rows.push_back(static_cast<uint16_t>(r));
  const bool free_side = p.key.layout != GemmLayout::kPanels;
  for (GemmSchedule::Side side :
       {GemmSchedule::Side::kAuto, GemmSchedule::Side::kStraight, GemmSchedule::Side::kSwapped}) {
    if (!free_side && side != GemmSchedule::Side::kAuto) break;
    for (int few : {4, 0})
      for (int columns = cpu::kLeastColumns; columns <= cpu::kMostColumns; columns += cpu::kLeastColumns)
        for (uint16_t r : rows)
          for (GemmSchedule::Loop loop :
               {GemmSchedule::Loop::kPanelsInside, GemmSchedule::Loop::kSliversInside})
            for (GemmSchedule::Split split :
                 {GemmSchedule::Split::kColumns, GemmSchedule::Split::kRows, GemmSchedule::Split::kGrid})
              for (bool prefetch : {true, false}) {
                GemmSchedule s;
                s.columns = static_cast<uint16_t>(columns);
                s.rows = r;
                s.few_rows = static_cast<uint8_t>(few);
                s.loop = loop;
                s.split = split;
                s.side = side;
                s.prefetch = prefetch;
                if (seen.insert(signature(p, s)).second) all.push_back(s);
              }
  }
  return all;
}

}  // namespace hoist::autotune
