// Which pieces of storage stay in memory between their uses, when not all of them fit.
//
// A plan is its own access trace, so nothing has to be guessed (PatrickStar learns the trace from a warm-up
// step; ours is known before the first). Between two uses of a piece there is a gap: either the piece stays
// and occupies its bytes, or it leaves - written to its home if it changed - and is read again before the
// next use. A piece whose content outlives the run (a weight, a moment) has one more gap, from the last use
// round to the first of the next run.
//
// Which gaps to bridge is a packing of intervals into memory with the traffic saved as their worth. It is
// solved by prices: every moment has a price per byte (Lagrange multipliers of the capacities, found by
// subgradient steps); at given prices each piece decides alone, exactly, by a small dynamic program over its
// uses that knows what is dirty. Repairing such a choice to one that fits gives a plan; the prices give a
// bound that no plan can beat, so the plan says how far from the optimum it may be. For pieces of one size
// and cost this is what Belady's rule finds (IBM Systems Journal 5(2), 1966); with write-back and sizes his
// rule is no longer optimal.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <vector>

namespace hoist::plan {

struct PieceUse {
  int at = 0;  // moment (instruction); rising within a piece
  bool reads = true, writes = false;
};

struct Piece {
  int64_t bytes = 0;
  bool persistent = false;  // its content outlives the run; else the first use writes and nobody reads later
  std::vector<PieceUse> uses;
};

struct StayProblem {
  int moments = 0;
  std::vector<Piece> pieces;
  std::vector<int64_t> capacity;         // bytes for pieces at each moment
  double read_cost = 1, write_cost = 1;  // of a byte
};

struct Stays {
  // kept[p][k]: piece p stays from use k to the next (from the last, for a persistent piece: to the first of
  // the next run; for others false).
  std::vector<std::vector<uint8_t>> kept;
  int64_t bytes_read = 0, bytes_written = 0;  // of a run in the steady state
  double cost = 0;                            // read_cost x bytes_read + write_cost x bytes_written
  double bound = 0;                           // no choice costs less
};

// The moment at which `pieces` in use together exceed the capacity most, and by how many bytes; moment -1 if
// they fit everywhere.
struct Shortfall {
  int moment = -1;
  int64_t bytes = 0;
};
Shortfall find_shortfall(const StayProblem& problem);

// CHECKs that find_shortfall finds none. Deterministic; `rounds` of price updates.
Stays choose_stays(const StayProblem& problem, int rounds = 400);

// Traffic of any choice, filled into it.
void price_stays(const StayProblem& problem, Stays& stays);

}  // namespace hoist::plan
