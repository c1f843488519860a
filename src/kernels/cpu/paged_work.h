// How one call of paged_attention is cut into pieces of work: made on the host, once per call.
//
// A tile is a run of tokens of one sequence at consecutive positions; an item is a tile, some of its KV
// heads, and either all of its keys or one part of kSplit keys. Parts of a tile lie in the workspace until
// the last of them is done, and are merged in order of keys. Nothing here changes a bit of the result: it
// only shares the work out evenly.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/attention_sizes.h"

namespace hoist::kernels::cpu {

struct PagedTile {
  int32_t begin, end;      // tokens
  int64_t first, last;     // keys that any of them sees
  int32_t heads_per_item;  // KV heads that one item takes
  int32_t splits;          // parts of kSplit keys: 1 when an item does all keys
  int64_t parts;           // its first float in the buffer of parts
  int32_t counters;        // its first counter: one per group of heads
};

struct PagedItem {
  int32_t tile, head, split;
};

struct PagedSizes {
  int64_t heads, group, dv;
  int rows_per_panel;  // rows of a head are padded to these
  int threads;
  int64_t part_floats, tile_limit, item_limit;  // how much there is room for
  // Floats of one row's part: its values, maximum and sum.
  int64_t row_floats() const { return wide_columns(dv) + 2; }
};

// Tokens of one tile at most.
inline int64_t tile_tokens(int64_t group) {
  return std::max<int64_t>(1, kTileRows / std::max<int64_t>(1, group));
}

// Fills `tiles` (first and last are set) with the rest and `items`; returns the number of items.
inline int64_t share_out(const PagedSizes& z, PagedTile* tiles, int64_t count, PagedItem* items) {
  auto keys = [](const PagedTile& t) { return std::max<int64_t>(t.last - t.first, 0); };
  auto rows = [&](const PagedTile& t) { return (t.end - t.begin) * z.group; };
  // A key costs about as much as it is read, and a little for every row.
  auto work = [&](const PagedTile& t, int64_t heads) { return keys(t) * heads * (16 + rows(t)); };
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) total += work(tiles[i], z.heads);
  const int64_t target = std::max<int64_t>(total / (z.threads * 8), 1);
  int64_t used = 0, items_count = 0;
  int32_t counters = 0;
  for (int64_t i = 0; i < count; ++i) {
    PagedTile& t = tiles[i];
    const int64_t padded = (rows(t) + z.rows_per_panel - 1) / z.rows_per_panel * z.rows_per_panel;
    int64_t heads = std::clamp<int64_t>(kTileRows / std::max<int64_t>(padded, 1), 1, z.heads);
    const int64_t from = t.first / kSplit, to = (t.last + kSplit - 1) / kSplit;
    const int64_t splits = std::max<int64_t>(to - from, 1),
                  floats = splits * z.heads * rows(t) * z.row_floats();
    t.splits = 1;
    t.parts = used;
    t.counters = counters;
    if (z.threads > 1 && splits > 1 && work(t, heads) > target && used + floats <= z.part_floats &&
        items_count + splits * z.heads + (count - i) * z.heads <= z.item_limit) {
      t.splits = static_cast<int32_t>(splits);
      used += floats;
    }
    while (z.threads > 1 && heads > 1 && work(t, heads) / t.splits > target) heads = (heads + 1) / 2;
    t.heads_per_item = static_cast<int32_t>(heads);
    for (int64_t head = 0; head < z.heads; head += heads, ++counters)
      for (int32_t s = 0; s < t.splits; ++s)
        items[items_count++] = {static_cast<int32_t>(i), static_cast<int32_t>(head), s};
  }
  return items_count;
}

}  // namespace hoist::kernels::cpu
