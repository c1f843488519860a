// GemmSchedule: how a product is cut, in memory and among threads. Every schedule gives the same bits (the
// law of order in gemm.h), so one may be chosen by the clock; autotune/ does. And GemmTable: what was chosen,
// for the products to come.
//
// Threads: plain values; a table is filled first and then only read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"

namespace hoist::kernels::cpu {

constexpr int kLeastColumns = 48, kMostColumns = 768, kMostRows = 2016;  // and steps of 48

struct GemmSchedule {
  // The inner loop over a block: its slivers of rows each meet all panels of columns, or the other way round.
  enum class Loop : uint8_t { kPanelsInside, kSliversInside };
  // What threads share out: blocks of columns (and rows where those are too few), rows, or both; auto: rows
  // where there are many.
  enum class Split : uint8_t { kAuto, kColumns, kRows, kGrid };
  // The operand whose rows become slivers: the cheaper one by the result's layout, a, or b. Weights in panels
  // keep their side.
  enum class Side : uint8_t { kAuto, kStraight, kSwapped };

  uint16_t columns = 0;  // packed at once; a multiple of 48 in [48, 768]; 0: default_columns()
  uint16_t rows = 0;     // packed at once; a multiple of 48 in [48, 2016]; 0: as many as 16 MiB hold
  uint8_t few_rows = 4;  // products of up to so many rows read b as it lies (0 to 4)
  Loop loop = Loop::kPanelsInside;
  Split split = Split::kAuto;
  Side side = Side::kAuto;
  bool prefetch = true;  // the sliver that comes next, while this one is multiplied

  friend bool operator==(const GemmSchedule&, const GemmSchedule&) = default;
  bool legal() const;
  std::string text() const;  // "columns=288 rows=all few=4 loop=panels split=auto side=auto prefetch=on"
};

// Bytes of a core's second-level cache; 1 MiB where the system does not say.
int64_t second_level_cache();
// Columns whose block of k, packed, takes about a quarter of that cache.
int default_columns();

// Names as they stand in text and in files; find_... give false for a name that is none.
std::string_view loop_name(GemmSchedule::Loop loop);     // panels, slivers: what is inside
std::string_view split_name(GemmSchedule::Split split);  // auto, columns, rows, grid
std::string_view side_name(GemmSchedule::Side side);     // auto, straight, swapped
bool find_loop(std::string_view name, GemmSchedule::Loop* loop);
bool find_split(std::string_view name, GemmSchedule::Split* split);
bool find_side(std::string_view name, GemmSchedule::Side* side);

// How operands lie: x is [m, k] (n) or [k, m] (t), then w as [k, n] (n) or [n, k] (t); panels: x [m, k].
enum class GemmLayout : uint8_t { kNn, kNt, kTn, kTt, kPanels };
std::string_view layout_name(GemmLayout layout);  // nn, nt, tn, tt, panels
bool find_layout(std::string_view name, GemmLayout* layout);

// A product whose rows may vary from run to run.
struct GemmKey {
  DType x = DType::f32, w = DType::f32;
  GemmLayout layout = GemmLayout::kPanels;
  int64_t n = 0, k = 0;
  friend bool operator==(const GemmKey&, const GemmKey&) = default;
};

struct TunedRows {
  int64_t rows = 0;
  int threads = 1;
  GemmSchedule schedule;
};

// What is known of one key, sorted by threads and rows.
struct TunedProduct {
  GemmKey key;
  std::vector<TunedRows> rows;
  // The schedule for this many rows: of the fewest tuned rows at or above, else of the most below, within a
  // factor of two; null if there is none.
  const GemmSchedule* find(int64_t m, int threads) const;
};

class GemmTable {
 public:
  void set(const GemmKey& key, const TunedRows& entry);  // replaces one of the same rows and threads
  const TunedProduct* find(const GemmKey& key) const;
  const std::vector<std::unique_ptr<TunedProduct>>& products() const { return products_; }
  bool empty() const { return products_.empty(); }

 private:
  std::vector<std::unique_ptr<TunedProduct>> products_;
};

// The table that plans look their products up in; null: none, every product takes the default. Set it before
// the first plan is made; the table must outlive all of them, and change no more.
void use_gemm_table(const GemmTable* table);
const GemmTable* gemm_table();

}  // namespace hoist::kernels::cpu
