// The cost model: what a schedule should take, from the tiles it computes and the bytes it moves.
//
// Each task (a block of columns by a piece of rows) costs its tiles' multiply-adds, edges and start-up
// included, against the bytes that they read from wherever these fit; the longer of the two counts in full
// and a part of the shorter, since overlap is never whole. Packing is added, tasks are dealt out to threads
// in order, and each fork and join has its price. It is meant to rank, not to be exact.
#include <algorithm>
#include <cmath>

#include "autotune/problem.h"
#include "kernels/cpu/gemm/sizes.h"

namespace hoist::autotune {
namespace {

namespace cpu = kernels::cpu;

constexpr double kExposed = 0.25;      // of the shorter of computing and reading
constexpr double kTileStart = 36;      // multiply-adds' time to begin and end a tile
constexpr double kLatency = 4;         // multiply-adds in flight before a chain's next
constexpr double kUneven = 0.12;       // of a task: threads are never equally fast, and wait for the last one
constexpr double kPackTransposed = 3;  // vector operations to pack a vector
constexpr double kScatter = 10;        // to write one element of a row that lies as a column
constexpr double kPackStraight = 1.5;

double d(int64_t x) { return static_cast<double>(x); }
double overlapped(double a, double b) { return std::max(a, b) + kExposed * std::min(a, b); }

class Model {
 public:
  Model(const Problem& p, const GemmSchedule& s, const Machine& machine)
      : p_(p), s_(s), at_(machine), tile_(tile_of(p.isa)), route_(route_of(p, s)) {
    steps_ = (p.key.k + k_step(p) - 1) / k_step(p);
    block_steps_ = std::min<int64_t>(steps_, cpu::kKBlock);
    k_blocks_ = (steps_ + cpu::kKBlock - 1) / cpu::kKBlock;
    step_ = machine.step(p);
  }

  double seconds() const {
    if (route_.few) return few_rows();
    const int64_t m = route_.m;
    const cpu::GemmCut cut = cpu::cut_product(m, route_.n, p_.key.k, p_.threads, tile_.columns,
                                              p_.key.layout == GemmLayout::kPanels, s_);
    double total = 0;
    for (int64_t m0 = 0; m0 < m; m0 += cut.rows) {
      const int64_t rows = std::min(cut.rows, m - m0);
      total += pack_rows(rows) + tasks(cut, rows);
      if (m0 > 0 && rows == cut.rows && m0 + 2 * cut.rows <= m) {  // all whole blocks alike
        const int64_t more = (m - m0) / cut.rows - 1;
        total += d(more) * (pack_rows(rows) + tasks(cut, rows));
        m0 += more * cut.rows;
      }
    }
    return total;
  }

 private:
  // Bytes per second of one core where `bytes` of a working set lie, `busy` cores reading.
  double speed(double bytes, int64_t busy) const {
    if (bytes <= 0.75 * at_.l2_bytes) return at_.l2;
    if (bytes <= 0.75 * at_.l3_bytes) return at_.l3;
    return at_.memory / d(std::max<int64_t>(busy, 1));
  }
  // w comes from beyond the caches: in a model, everything else was read since it was read last.
  double weight_speed(int64_t busy) const { return at_.memory / d(std::max<int64_t>(busy, 1)); }
  double panel_speed(int64_t busy) const {
    return route_.swapped ? speed(d(p_.m * p_.key.k * dtype_size(p_.key.x)), busy) : weight_speed(busy);
  }

  double few_rows() const {
    const double bytes = d(p_.weight_bytes());
    const double vectors = d(route_.n * steps_) / d(tile_.lanes);
    const double compute = vectors * (d(route_.m) + 1.5) * step_ / d(p_.threads);
    return overlapped(compute, bytes / at_.memory) + at_.fork_join;
  }

  double pack_rows(int64_t rows) const {
    const int64_t size = dtype_size(route_.swapped ? p_.key.w : p_.key.x);
    const double bytes = d(rows * p_.key.k * size);
    const double from = route_.swapped ? weight_speed(p_.threads) : speed(bytes, p_.threads);
    const bool straight = route_.swapped
                              ? p_.key.layout == GemmLayout::kNn || p_.key.layout == GemmLayout::kTn
                              : p_.key.layout == GemmLayout::kTn || p_.key.layout == GemmLayout::kTt;
    const double work =
        d(rows * steps_) / d(tile_.lanes) * (straight ? kPackStraight : kPackTransposed) * step_;
    return (work + bytes / from) / d(p_.threads) + at_.fork_join;
  }

  // Rows by columns of one task, all of k.
  double task(int64_t rows, int64_t columns, double first_touch) const {
    const int64_t across = tile_.columns / tile_.lanes;
    const int64_t slivers = (rows + tile_.rows - 1) / tile_.rows;
    const int64_t tiles = (columns + tile_.columns - 1) / tile_.columns;
    const int64_t edge_rows = rows - (slivers - 1) * tile_.rows;
    const int64_t edge_across =
        (columns - (tiles - 1) * tile_.columns + cpu::kPanel - 1) / cpu::kPanel * (cpu::kPanel / tile_.lanes);
    auto one = [&](int64_t r, int64_t v) {
      const double per_step = std::max({d(r * v), 0.5 * d(r + v), kLatency});
      return (per_step * d(steps_) + kTileStart * d(k_blocks_)) * step_;
    };
    const double compute =
        d(slivers - 1) * (d(tiles - 1) * one(tile_.rows, across) + one(tile_.rows, edge_across)) +
        d(tiles - 1) * one(edge_rows, across) + one(edge_rows, edge_across);
    // What one k block touches.
    const double b_tile = d(block_steps_ * tile_.columns * 4), b_block = d(block_steps_ * columns * 4);
    const double sliver = d(block_steps_ * tile_.rows * 4), a_block = sliver * d(slivers);
    const double b_all = d(steps_ * columns * 4), a_all = d(steps_ * rows * 4);
    const double a_waits = s_.prefetch ? 0.5 : 1.0;
    double reads = 0;
    if (s_.loop == GemmSchedule::Loop::kPanelsInside) {
      const bool stays = tiles == 1 && b_tile <= 0.6 * at_.l1_bytes;
      reads += (stays ? b_all : b_all * d(slivers)) / speed(b_block, 1);
      reads += a_waits * a_all / speed(a_block + b_block, 1);
    } else {
      const bool stays = b_tile <= 0.6 * at_.l1_bytes;
      reads += (stays ? b_all : b_all * d(slivers)) / speed(b_tile, 1);
      reads += a_waits * a_all * d(tiles) / speed(a_block + b_tile, 1);
    }
    const double c_bytes = d(rows * columns * 4);
    reads += d(k_blocks_ - 1) * 2 * c_bytes / speed(c_bytes + b_block, 1);
    double seconds = overlapped(compute, reads);
    // b is packed first, or its panels are met for the first time.
    const int64_t size = dtype_size(route_.swapped ? p_.key.x : p_.key.w);
    if (p_.key.layout == GemmLayout::kPanels) {
      seconds += std::max(0.0, b_all / first_touch - (s_.prefetch ? 0.9 : 0.8) * compute) +
                 0.1 * b_all / first_touch;
    } else {
      const bool straight = route_.swapped
                                ? p_.key.layout == GemmLayout::kTn || p_.key.layout == GemmLayout::kTt
                                : p_.key.layout == GemmLayout::kNn || p_.key.layout == GemmLayout::kTn;
      seconds += d(columns * steps_) / d(tile_.lanes) * (straight ? kPackStraight : kPackTransposed) * step_ +
                 d(columns * p_.key.k * size) / first_touch;
    }
    // Results; element by element where operands are changed over.
    seconds += c_bytes / speed(d(p_.m * p_.key.n * 4), p_.threads);
    if (route_.swapped && p_.m > 1) seconds += kScatter * d(rows * columns) * step_;
    return seconds;
  }

  double tasks(const cpu::GemmCut& cut, int64_t rows) const {
    const int64_t pieces = std::min(cut.pieces, (rows + tile_.rows - 1) / tile_.rows);
    const int64_t m_step = ((rows + pieces - 1) / pieces + tile_.rows - 1) / tile_.rows * tile_.rows;
    const int64_t count = (rows + m_step - 1) / m_step, all = count * cut.blocks;
    const double touch = panel_speed(std::min<int64_t>(all, p_.threads));
    const int64_t last_rows = rows - (count - 1) * m_step,
                  last = std::max<int64_t>(1, route_.n - (cut.blocks - 1) * cut.n_step);
    const double whole = task(std::min(m_step, rows), std::min(cut.n_step, route_.n), touch);
    const double narrow = task(std::min(m_step, rows), last, touch);
    const double low = task(last_rows, std::min(cut.n_step, route_.n), touch);
    const double corner = task(last_rows, last, touch);
    std::vector<double> busy(static_cast<size_t>(p_.threads), 0.0);
    for (int64_t t = 0; t < all; ++t) {
      const bool bottom = t / cut.blocks == count - 1, right = t % cut.blocks == cut.blocks - 1;
      *std::min_element(busy.begin(), busy.end()) += bottom ? (right ? corner : low) : right ? narrow : whole;
    }
    const double tail = p_.threads > 1 ? kUneven * whole : 0;
    return *std::max_element(busy.begin(), busy.end()) + tail + at_.fork_join;
  }

  const Problem& p_;
  const GemmSchedule& s_;
  const Machine& at_;
  Tile tile_;
  Route route_;
  int64_t steps_, block_steps_, k_blocks_;
  double step_;
};

}  // namespace

double predict(const Problem& p, const GemmSchedule& s, const Machine& machine) {
  return Model(p, s, machine).seconds();
}

}  // namespace hoist::autotune
