// Schedules as text, and the table of those that were chosen.
#include "kernels/cpu/gemm/schedule.h"

#include <algorithm>
#include <atomic>
#include <tuple>

#include <unistd.h>

#include "kernels/cpu/gemm/gemm.h"

namespace hoist::kernels::cpu {
namespace {

constexpr std::string_view kLoops[] = {"panels", "slivers"};
constexpr std::string_view kSplits[] = {"auto", "columns", "rows", "grid"};
constexpr std::string_view kSides[] = {"auto", "straight", "swapped"};
constexpr std::string_view kLayouts[] = {"nn", "nt", "tn", "tt", "panels"};

template <class E, size_t N>
bool find_name(const std::string_view (&names)[N], std::string_view name, E* value) {
  const auto* at = std::find(std::begin(names), std::end(names), name);
  if (at == std::end(names)) return false;
  *value = static_cast<E>(at - std::begin(names));
  return true;
}

std::atomic<const GemmTable*> current{nullptr};

}  // namespace

std::string_view loop_name(GemmSchedule::Loop x) { return kLoops[static_cast<size_t>(x)]; }
std::string_view split_name(GemmSchedule::Split x) { return kSplits[static_cast<size_t>(x)]; }
std::string_view side_name(GemmSchedule::Side x) { return kSides[static_cast<size_t>(x)]; }
std::string_view layout_name(GemmLayout x) { return kLayouts[static_cast<size_t>(x)]; }
bool find_loop(std::string_view name, GemmSchedule::Loop* x) { return find_name(kLoops, name, x); }
bool find_split(std::string_view name, GemmSchedule::Split* x) { return find_name(kSplits, name, x); }
bool find_side(std::string_view name, GemmSchedule::Side* x) { return find_name(kSides, name, x); }
bool find_layout(std::string_view name, GemmLayout* x) { return find_name(kLayouts, name, x); }

int64_t second_level_cache() {
  static const int64_t bytes = [] {
    const long found = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return std::clamp<int64_t>(found > 0 ? found : 1 << 20, 1 << 18, 1 << 22);
  }();
  return bytes;
}

int default_columns() {
  const int64_t quarter = second_level_cache() / 4 / (kKBlock * 4);
  return static_cast<int>(
      std::clamp<int64_t>((quarter + 24) / kLeastColumns * kLeastColumns, kLeastColumns, kMostColumns));
}

bool GemmSchedule::legal() const {
  const bool sized = columns % kLeastColumns == 0 && columns <= kMostColumns && rows % 48 == 0 &&
                     rows <= kMostRows && few_rows <= 4;
  return sized && loop <= Loop::kSliversInside && split <= Split::kGrid && side <= Side::kSwapped;
}

std::string GemmSchedule::text() const {
  std::string out = "columns=" + std::to_string(columns ? columns : default_columns());
  out += " rows=" + (rows ? std::to_string(rows) : "all") + " few=" + std::to_string(few_rows);
  out += " loop=" + std::string(loop_name(loop)) + " split=" + std::string(split_name(split));
  out += " side=" + std::string(side_name(side)) + " prefetch=" + (prefetch ? "on" : "off");
  return out;
}

const GemmSchedule* TunedProduct::find(int64_t m, int threads) const {
  const TunedRows* below = nullptr;
  for (const TunedRows& r : rows) {
    if (r.threads != threads) continue;
    if (r.rows >= m) {
      if (r.rows < 2 * m) return &r.schedule;
      break;
    }
    below = &r;
  }
  return below && m < 2 * below->rows ? &below->schedule : nullptr;
}

void GemmTable::set(const GemmKey& key, const TunedRows& entry) {
  TunedProduct* product = nullptr;
  for (const auto& p : products_)
    if (p->key == key) product = p.get();
  if (!product) {
    products_.push_back(std::make_unique<TunedProduct>());
    product = products_.back().get();
    product->key = key;
  }
  auto order = [](const TunedRows& r) { return std::tuple(r.threads, r.rows); };
  auto at = std::lower_bound(product->rows.begin(), product->rows.end(), entry,
                             [&](const TunedRows& x, const TunedRows& y) { return order(x) < order(y); });
  if (at != product->rows.end() && order(*at) == order(entry))
    *at = entry;
  else
    product->rows.insert(at, entry);
}

const TunedProduct* GemmTable::find(const GemmKey& key) const {
  for (const auto& p : products_)
    if (p->key == key) return p.get();
  return nullptr;
}

void use_gemm_table(const GemmTable* table) { current.store(table, std::memory_order_release); }
const GemmTable* gemm_table() { return current.load(std::memory_order_acquire); }

}  // namespace hoist::kernels::cpu
