// The vocabulary: token strings and their ids, both ways.
//
// Ids may have holes, but no more than about three of four may be missing, so memory stays linear in the
// file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::text {

class Vocab {
 public:
  static constexpr int32_t kNone = -1;

  // Adds a token. False if the string is there already (with any id). `id` is checked by finish().
  bool add(std::string_view token, uint64_t id);

  // Builds the id -> token table. Returns an empty string, or what is wrong with the ids.
  std::string finish();

  int32_t find(std::string_view token) const;  // id or kNone
  bool has(int32_t id) const;
  std::string_view token(int32_t id) const;                               // has(id)
  size_t count() const { return entries_.size(); }                        // tokens, not counting holes
  int32_t id_end() const { return static_cast<int32_t>(by_id_.size()); }  // largest id + 1

 private:
  struct Entry {
    uint64_t begin;
    uint32_t length;
    uint64_t id;
  };
  std::string_view text(const Entry& entry) const { return {arena_.data() + entry.begin, entry.length}; }
  size_t find_slot(std::string_view token) const;

  std::string arena_;            // all token strings, end to end
  std::vector<Entry> entries_;   // in order of arrival
  std::vector<uint32_t> slots_;  // hash table of entry index + 1
  std::vector<uint32_t> by_id_;  // entry index + 1; 0 is a hole
};

}  // namespace hoist::text
