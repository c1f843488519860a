#include "plan/staging.h"

#include <algorithm>

#include "base/error.h"
#include "plan/split_rows.h"
#include "plan/stays.h"

namespace hoist::plan {

namespace {

constexpr int64_t kPage = 4096;  // of direct disk access: homes, places and lengths are multiples
constexpr int64_t kLine = 64;
// An instruction that touches more than this part of the budget is cut where it can be: its operands, and
// those of the next on their way in, are in memory together.
constexpr int64_t kPieceShare = 16;
int64_t align_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// One stay of a piece (or the whole life of storage that never moves): memory from `begin` to `end`,
// instructions inclusive. A stay that is carried into the next run wraps: it holds [begin, n) and [0, end].
struct Stay {
  int piece = -1;    // -1: never moves
  int storage = -1;  // then this one
  int first = 0;     // its first use
  int begin = 0, end = 0;
  bool wraps = false, forever = false, load = false, store = false, dirty = false;
  int64_t bytes = 0, offset = -1;
};

bool overlap(const Stay& a, const Stay& b) {
  if (a.wraps && b.wraps) return true;
  if (a.wraps) return b.end >= a.begin || b.begin <= a.end;
  if (b.wraps) return overlap(b, a);
  return a.begin <= b.end && b.begin <= a.end;
}

class Stager {
 public:
  Stager(Plan& plan, const std::vector<Storage>& storages, const StagingOptions& options)
      : plan_(plan), storages_(storages), options_(options), n_(static_cast<int>(plan.instructions.size())) {
    find_pieces();
  }

  void run() {
    int64_t fixed = 0;
    for (size_t s = 0; s < plan_.states.size(); ++s)
      if (!moves(s)) fixed += align_up(plan_.states[s].type.bytes(), kLine);
    const int64_t arena = (options_.memory - fixed) / kPage * kPage;
    problem_.capacity.assign(static_cast<size_t>(n_), arena);
    for (const Stay& s : fixed_stays_)
      for (int t = s.begin; t <= s.end; ++t) problem_.capacity[static_cast<size_t>(t)] -= s.bytes;
    const Shortfall missing = find_shortfall(problem_);
    if (missing.moment >= 0 || arena <= 0) refuse(missing, fixed);
    // Places are found for what was chosen; where holes between them cost too much, less is chosen. What a
    // share leaves is for holes and for what is on its way in: at most `window` of the arena.
    const std::vector<int64_t> all = problem_.capacity;
    for (const double share :
         {0.95, 0.92, 0.89, 0.86, 0.83, 0.80, 0.76, 0.72, 0.66, 0.58, 0.50, 0.40, 0.30, 0.15}) {
      choose(all, arena, share);
      for (const double part : {0.6, 0.3}) {
        build_stays();
        issue_early(all, static_cast<int64_t>(part * (1 - share) * static_cast<double>(arena)));
        if (place() <= arena) return write(arena);
      }
    }
    choose(all, arena, 0);
    build_stays();  // nothing early and nothing kept: the least there is
    if (place() <= arena) return write(arena);
    throw Error(ErrorCode::kResourceExhausted,
                "plan '" + plan_.name + "': its tensors cannot be laid out in " +
                    std::to_string(options_.memory) + " bytes; give it more memory");
  }

 private:
  // A state that only pieces of instructions touch, always the same ranges of it, moves range by range.
  struct Range {
    int64_t begin = 0, bytes = 0;
    int piece = -1;
  };
  std::vector<std::vector<Range>> find_ranges() const {
    std::vector<std::vector<Range>> ranges(plan_.states.size());
    for (const Instruction& ins : plan_.instructions)
      for (const auto* list : {&ins.operands, &ins.results})
        for (const Tensor& t : *list) {
          if (t.ref.space != Space::kState) continue;
          std::vector<Range>& known = ranges[static_cast<size_t>(t.ref.index)];
          const Range r{t.ref.offset, t.type.bytes(), -1};
          if (std::none_of(known.begin(), known.end(),
                           [&](const Range& k) { return k.begin == r.begin && k.bytes == r.bytes; }))
            known.push_back(r);
        }
    for (size_t s = 0; s < ranges.size(); ++s) {
      std::vector<Range>& known = ranges[s];
      const int64_t bytes = plan_.states[s].type.bytes();
      std::sort(known.begin(), known.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
      int64_t at = 0;
      bool apart = true;
      for (const Range& r : known) {
        apart &= r.begin == at && r.begin % kPage == 0;
        at = r.begin + r.bytes;
      }
      if (!apart || at != bytes) known.assign(1, {0, bytes, -1});
    }
    return ranges;
  }

  void find_pieces() {
    ranges_ = find_ranges();
    piece_of_storage_.assign(storages_.size(), -1);
    std::vector<uint8_t> pinned(storages_.size(), 0);
    for (const OutputSlot& o : plan_.outputs)
      if (o.tensor.ref.space == Space::kArena) pinned[static_cast<size_t>(o.tensor.ref.index)] = 1;
    auto staging = std::make_shared<Staging>();
    for (size_t s = 0; s < plan_.states.size(); ++s) {
      const int64_t bytes = plan_.states[s].type.bytes();
      if (bytes < options_.least) continue;
      for (Range& r : ranges_[s]) {
        r.piece = static_cast<int>(staging->pieces.size());
        staging->pieces.push_back({static_cast<int>(s), r.bytes, r.begin});
        problem_.pieces.push_back({align_up(r.bytes, kPage), true, {}});
      }
    }
    struct Life {
      int first = -1, last = -1;
    };
    std::vector<Life> lives(storages_.size());
    const auto each_ref = [&](const Instruction& ins, auto f) {
      for (const Tensor& t : ins.operands) f(t.ref, true, false);
      for (const Tensor& t : ins.results) f(t.ref, false, true);
      if (ins.workspace_bytes > 0) f(ins.workspace, false, false);
    };
    for (int i = 0; i < n_; ++i)
      each_ref(plan_.instructions[static_cast<size_t>(i)], [&](const Ref& r, bool, bool writes) {
        if (r.space != Space::kArena) return;
        Life& life = lives[static_cast<size_t>(r.index)];
        if (life.first < 0) {
          life.first = i;
          // Read before it is written, or a workspace: not for us to move.
          if (!writes) pinned[static_cast<size_t>(r.index)] = 1;
        }
        life.last = i;
      });
    for (const OutputSlot& o : plan_.outputs)
      if (o.tensor.ref.space == Space::kArena) lives[static_cast<size_t>(o.tensor.ref.index)].last = n_ - 1;
    for (size_t s = 0; s < storages_.size(); ++s) {
      if (lives[s].first < 0) continue;
      const int64_t bytes = storages_[s].bytes;
      if (bytes < options_.least || pinned[s]) {
        Stay stay;
        stay.storage = static_cast<int>(s);
        stay.first = stay.begin = lives[s].first;
        stay.end = lives[s].last;
        stay.bytes = align_up(std::max<int64_t>(bytes, 1), kLine);
        fixed_stays_.push_back(stay);
        continue;
      }
      piece_of_storage_[s] = static_cast<int>(staging->pieces.size());
      staging->pieces.push_back({-1, bytes, staging->scratch_bytes});
      staging->scratch_bytes += align_up(bytes, kPage);
      problem_.pieces.push_back({align_up(bytes, kPage), false, {}});
    }
    // Pieces of one instruction follow one another, and what follows without a gap always stays: storage that
    // they write part by part does not leave between them.
    for (int i = 0; i < n_; ++i)
      each_ref(plan_.instructions[static_cast<size_t>(i)], [&](const Ref& r, bool reads, bool writes) {
        const int p = piece_of(r);
        if (p < 0) return;
        std::vector<PieceUse>& uses = problem_.pieces[static_cast<size_t>(p)].uses;
        if (uses.empty() || uses.back().at != i) uses.push_back({i, false, false});
        uses.back().reads |= reads;
        uses.back().writes |= writes;
      });
    // A state that this plan never touches does not move.
    std::vector<Piece> used;
    std::vector<Staging::Piece> kept;
    std::vector<int> renumbered(problem_.pieces.size(), -1);
    for (size_t p = 0; p < problem_.pieces.size(); ++p) {
      if (problem_.pieces[p].uses.empty()) continue;
      renumbered[p] = static_cast<int>(used.size());
      used.push_back(std::move(problem_.pieces[p]));
      kept.push_back(staging->pieces[p]);
    }
    problem_.pieces = std::move(used);
    staging->pieces = std::move(kept);
    for (int& p : piece_of_storage_)
      if (p >= 0) p = renumbered[static_cast<size_t>(p)];
    for (std::vector<Range>& list : ranges_)
      for (Range& r : list)
        if (r.piece >= 0) r.piece = renumbered[static_cast<size_t>(r.piece)];
    problem_.moments = n_;
    staging_ = std::move(staging);
  }

  // The piece that a ref lies in, and where in the piece; -1 if it does not move.
  struct Within {
    int piece = -1;
    int64_t offset = 0;
  };
  Within within(const Ref& r) const {
    if (r.space == Space::kArena) return {piece_of_storage_[static_cast<size_t>(r.index)], r.offset};
    if (r.space != Space::kState) return {};
    const std::vector<Range>& list = ranges_[static_cast<size_t>(r.index)];
    auto above = std::upper_bound(list.begin(), list.end(), r.offset,
                                  [](int64_t at, const Range& range) { return at < range.begin; });
    const Range& range = *std::prev(above);
    return {range.piece, r.offset - range.begin};
  }
  int piece_of(const Ref& r) const { return within(r).piece; }
  bool moves(size_t state) const {
    return !ranges_[state].empty() && plan_.states[state].type.bytes() >= options_.least;
  }

  [[noreturn]] void refuse(const Shortfall& missing, int64_t fixed) const {
    std::string what =
        "plan '" + plan_.name + "': " + std::to_string(options_.memory) + " bytes are too few: ";
    if (missing.moment < 0) {
      what += "what never moves takes " + std::to_string(fixed) + " bytes";
    } else {
      const Instruction& ins = plan_.instructions[static_cast<size_t>(missing.moment)];
      what += std::string(ins.op ? ins.op->name : "copy") + " in " + std::string(ins.scope.name()) +
              " needs " + std::to_string(missing.bytes) + " more for its operands and results";
    }
    throw Error(ErrorCode::kResourceExhausted, what);
  }

  // Stays for `share` of the room that the pieces in use leave at each moment.
  void choose(const std::vector<int64_t>& all, int64_t arena, double share) {
    std::vector<int64_t> in_use(static_cast<size_t>(n_), 0);
    for (const Piece& p : problem_.pieces)
      for (const PieceUse& u : p.uses) in_use[static_cast<size_t>(u.at)] += p.bytes;
    for (size_t t = 0; t < all.size(); ++t)
      problem_.capacity[t] =
          std::max(in_use[t], all[t] - static_cast<int64_t>((1 - share) * static_cast<double>(arena)));
    if (share == 0) problem_.capacity = in_use;
    chosen_ = choose_stays(problem_);
  }

  void build_stays() {
    stays_ = fixed_stays_;
    for (size_t p = 0; p < problem_.pieces.size(); ++p) {
      const Piece& piece = problem_.pieces[p];
      const std::vector<uint8_t>& kept = chosen_.kept[p];
      const size_t n = piece.uses.size();
      // From a use that nothing is bridged to, round to it again; if all gaps are bridged, from the first.
      size_t start = 0;
      while (start < n && kept[(start + n - 1) % n]) ++start;
      const bool forever = start == n;
      if (forever) start = 0;
      bool dirty = false;
      if (forever)
        for (const PieceUse& u : piece.uses) dirty |= u.writes;
      Stay stay;
      for (size_t i = 0; i < n; ++i) {
        const size_t k = (start + i) % n;
        const PieceUse& use = piece.uses[k];
        if (i == 0 || !kept[(k + n - 1) % n]) {
          stay = {};
          stay.piece = static_cast<int>(p);
          stay.bytes = piece.bytes;
          stay.first = stay.begin = use.at;
          stay.load = !forever && use.reads && (piece.persistent || k > 0);
          if (!forever) dirty = false;
        }
        dirty |= use.writes;
        const bool wraps_here = piece.persistent && k + 1 == n && kept[k];
        if (wraps_here) {
          stay.wraps = true;
          stay.dirty = dirty;
        }
        stay.end = use.at;
        if (kept[k] && i + 1 < n) continue;
        if (forever) {
          stay.wraps = stay.forever = true;
          stay.begin = 0;
          stay.end = n_ - 1;
          stay.dirty = dirty;
        } else if (dirty) {
          const bool last = k + 1 == n;
          // A value that is overwritten next, or that nobody reads again, needs no home.
          stay.store = last ? piece.persistent : piece.uses[k + 1].reads;
        }
        stays_.push_back(stay);
      }
    }
  }

  // Starts every load as early as memory allows, in the order of their uses, with at most `window` bytes
  // waiting to be used at any moment.
  void issue_early(const std::vector<int64_t>& all, int64_t window) {
    std::vector<int64_t> room(all), waiting(all.size(), window);
    for (const Stay& s : stays_) {
      if (s.piece < 0) continue;
      for (int t = s.begin; t != -1; t = next_moment(s, t)) room[static_cast<size_t>(t)] -= s.bytes;
    }
    std::vector<size_t> loads;
    for (size_t i = 0; i < stays_.size(); ++i)
      if (stays_[i].load) loads.push_back(i);
    std::stable_sort(loads.begin(), loads.end(),
                     [&](size_t a, size_t b) { return stays_[a].first < stays_[b].first; });
    int before = 0;
    for (const size_t i : loads) {
      Stay& s = stays_[i];
      // Not before the piece's own stay before this one has ended.
      int least = before;
      for (const PieceUse& u : problem_.pieces[static_cast<size_t>(s.piece)].uses)
        if (u.at < s.first) least = std::max(least, u.at + 1);
      while (s.begin > least) {
        const auto t = static_cast<size_t>(s.begin - 1);
        // One load may always be on its way, however large.
        if (room[t] < s.bytes || (waiting[t] < s.bytes && waiting[t] < window)) break;
        room[t] -= s.bytes;
        waiting[t] -= s.bytes;
        --s.begin;
      }
      before = s.begin;
    }
  }
  // Moments of a stay in order; -1 after the last.
  int next_moment(const Stay& s, int t) const {
    if (t == s.end && !(s.wraps && t >= s.begin && s.begin > s.end)) return -1;
    if (++t < n_) return t;
    return s.wraps ? 0 : -1;
  }

  // First fit in several orders; keeps the places of the best. Returns the arena's size.
  int64_t place() {
    const auto lasts = [&](const Stay& s) {
      return s.wraps ? n_ - s.begin + s.end + 1 : s.end - s.begin + 1;
    };
    const auto by_begin = [&](const Stay& x, const Stay& y) {
      if (x.wraps != y.wraps) return x.wraps;
      if (x.begin != y.begin) return x.begin < y.begin;
      return x.bytes > y.bytes;
    };
    const auto by_area = [&](const Stay& x, const Stay& y) {
      const double a = static_cast<double>(x.bytes) * lasts(x), b = static_cast<double>(y.bytes) * lasts(y);
      return a != b ? a > b : x.begin < y.begin;
    };
    const auto by_bytes = [&](const Stay& x, const Stay& y) {
      if (x.bytes != y.bytes) return x.bytes > y.bytes;
      return lasts(x) != lasts(y) ? lasts(x) > lasts(y) : x.begin < y.begin;
    };
    std::vector<int64_t> best;
    int64_t least = INT64_MAX;
    const auto attempt = [&](auto before) {
      const int64_t top = first_fit(before);
      if (top >= least) return;
      least = top;
      best.clear();
      for (const Stay& s : stays_) best.push_back(s.offset);
    };
    attempt(by_begin);
    attempt(by_area);
    attempt(by_bytes);
    for (size_t i = 0; i < stays_.size(); ++i) stays_[i].offset = best[i];
    return least;
  }

  template <class Before>
  int64_t first_fit(Before before) {
    std::vector<size_t> order(stays_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return before(stays_[a], stays_[b]); });
    std::vector<size_t> placed;  // by offset
    int64_t top = 0;
    for (const size_t i : order) {
      Stay& s = stays_[i];
      const int64_t grain = s.piece < 0 ? kLine : kPage;
      int64_t at = 0;
      for (const size_t j : placed) {
        const Stay& other = stays_[j];
        if (!overlap(s, other)) continue;
        if (at + s.bytes <= other.offset) break;
        at = std::max(at, align_up(other.offset + other.bytes, grain));
      }
      s.offset = at;
      top = std::max(top, at + s.bytes);
      placed.insert(std::upper_bound(placed.begin(), placed.end(), i,
                                     [&](size_t a, size_t b) { return stays_[a].offset < stays_[b].offset; }),
                    i);
    }
    return top;
  }

  void write(int64_t arena);

  Plan& plan_;
  const std::vector<Storage>& storages_;
  StagingOptions options_;
  int n_;
  StayProblem problem_;
  Stays chosen_;
  std::vector<std::vector<Range>> ranges_;  // by state
  std::vector<int> piece_of_storage_;
  std::vector<Stay> fixed_stays_, stays_;
  std::shared_ptr<Staging> staging_;
};

// Refs, transfers and what must wait for what.
void Stager::write(int64_t arena) {
  Staging& out = *staging_;
  out.bytes_read = chosen_.bytes_read;
  out.bytes_written = chosen_.bytes_written;
  out.bound = chosen_.bound;
  out.waits.resize(static_cast<size_t>(n_));

  // Where a piece or storage lies at an instruction.
  std::vector<std::vector<size_t>> of_piece(out.pieces.size());
  std::vector<int64_t> of_storage(storages_.size(), -1);
  for (size_t i = 0; i < stays_.size(); ++i) {
    if (stays_[i].piece >= 0)
      of_piece[static_cast<size_t>(stays_[i].piece)].push_back(i);
    else
      of_storage[static_cast<size_t>(stays_[i].storage)] = stays_[i].offset;
  }
  const auto settle = [&](Ref& ref, int at) {
    const auto [p, offset] = within(ref);
    if (p < 0) {
      if (ref.space == Space::kArena)
        ref = {Space::kArena, 0, of_storage[static_cast<size_t>(ref.index)] + ref.offset};
      return;
    }
    for (const size_t i : of_piece[static_cast<size_t>(p)]) {
      const Stay& s = stays_[i];
      const bool here = s.wraps ? at >= s.begin || at <= s.end : at >= s.begin && at <= s.end;
      if (!here) continue;
      ref = {Space::kArena, 0, s.offset + offset};
      return;
    }
    HOIST_CHECK(false, "a piece is used while it is not in memory");
  };
  for (int i = 0; i < n_; ++i) {
    Instruction& ins = plan_.instructions[static_cast<size_t>(i)];
    for (Tensor& t : ins.operands) settle(t.ref, i);
    for (Tensor& t : ins.results) settle(t.ref, i);
    if (ins.workspace_bytes > 0) settle(ins.workspace, i);
  }
  for (OutputSlot& o : plan_.outputs) settle(o.tensor.ref, n_ - 1);

  // Transfers in the order of their issue, stores first: they make room.
  struct Event {
    int issue;
    bool store;
    int order;  // loads by their use
    size_t stay;
  };
  std::vector<Event> events;
  for (size_t i = 0; i < stays_.size(); ++i) {
    if (stays_[i].load) events.push_back({stays_[i].begin, false, stays_[i].first, i});
    if (stays_[i].store) events.push_back({stays_[i].end + 1, true, 0, i});
    if (stays_[i].wraps && stays_[i].piece >= 0)
      out.carried.push_back({stays_[i].piece, stays_[i].offset, stays_[i].dirty});
  }
  std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    if (a.issue != b.issue) return a.issue < b.issue;
    if (a.store != b.store) return a.store;
    return a.order < b.order;
  });
  std::vector<int> store_of(stays_.size(), -1), last_store(out.pieces.size(), -1);
  std::vector<size_t> stored;  // stays with a store so far
  for (const Event& e : events) {
    const Stay& s = stays_[e.stay];
    Staging::Transfer t;
    t.store = e.store;
    t.piece = s.piece;
    t.offset = s.offset;
    t.issue = e.issue;
    const int id = static_cast<int>(out.transfers.size());
    int& own = last_store[static_cast<size_t>(s.piece)];
    if (own >= 0) t.after.push_back(own);
    if (e.store) {
      store_of[e.stay] = id;
      own = id;
      stored.push_back(e.stay);
    } else {
      // Memory that a store still reads.
      for (const size_t j : stored) {
        const Stay& other = stays_[j];
        if (other.end < s.begin && other.offset < s.offset + s.bytes &&
            s.offset < other.offset + other.bytes && store_of[j] != own)
          t.after.push_back(store_of[j]);
      }
      out.waits[static_cast<size_t>(s.first)].push_back(id);
    }
    out.transfers.push_back(std::move(t));
  }
  // An instruction that writes fresh memory waits for stores that still read it.
  for (const Stay& s : stays_) {
    if (s.load || s.forever) continue;
    for (const size_t j : stored) {
      const Stay& other = stays_[j];
      if (other.end < s.begin && other.offset < s.offset + s.bytes && s.offset < other.offset + other.bytes)
        out.waits[static_cast<size_t>(s.first)].push_back(store_of[j]);
    }
  }
  for (std::vector<int>& list : out.waits) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }
  for (size_t s = 0; s < plan_.states.size(); ++s)
    if (moves(s)) plan_.states[s].tier = ir::Tier::kDisk;
  plan_.arena_bytes = arena;
  plan_.staging = staging_;
}

}  // namespace

void stage(Plan& plan, const std::vector<Storage>& storages, const StagingOptions& options) {
  HOIST_CHECK(plan.repeats.empty(), "stage expects a plan that is not rolled");
  split_rows(plan, std::max(options.memory / kPieceShare, 4 * options.least), plan.threads);
  Stager(plan, storages, options).run();
}

}  // namespace hoist::plan
