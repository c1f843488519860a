// InlineVec<T, N>: a vector of at most N trivially copyable elements, itself trivially copyable, so that
// shapes and attributes can be copied and hashed as bytes. Overflow is our bug and aborts.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

#include "base/check.h"

namespace hoist {

template <class T, int N>
struct InlineVec {
  static_assert(std::is_trivially_copyable_v<T>);
  T items[N] = {};
  int32_t count = 0;

  InlineVec() = default;
  InlineVec(std::initializer_list<T> list) {
    for (const T& x : list) push_back(x);
  }
  explicit InlineVec(std::span<const T> list) {
    for (const T& x : list) push_back(x);
  }

  static constexpr int capacity() { return N; }
  int size() const { return count; }
  bool empty() const { return count == 0; }
  T& operator[](int i) { return items[i]; }
  const T& operator[](int i) const { return items[i]; }
  T* begin() { return items; }
  T* end() { return items + count; }
  const T* begin() const { return items; }
  const T* end() const { return items + count; }
  T& back() { return items[count - 1]; }
  const T& back() const { return items[count - 1]; }
  void push_back(const T& x) {
    HOIST_CHECK(count < N, "InlineVec is full");
    items[count++] = x;
  }
  void pop_back() { items[--count] = T{}; }  // unused slots stay zero: equality and hashing see bytes
  void clear() {
    while (count) pop_back();
  }
  void erase(int index) {
    for (int i = index; i + 1 < count; ++i) items[i] = items[i + 1];
    pop_back();
  }
  void insert(int index, const T& x) {
    push_back(x);
    for (int i = count - 1; i > index; --i) items[i] = items[i - 1];
    items[index] = x;
  }
  bool contains(const T& x) const { return index_of(x) >= 0; }
  int index_of(const T& x) const {
    for (int i = 0; i < count; ++i)
      if (items[i] == x) return i;
    return -1;
  }
  operator std::span<const T>() const { return {items, static_cast<size_t>(count)}; }
  friend bool operator==(const InlineVec& a, const InlineVec& b) {
    if (a.count != b.count) return false;
    for (int i = 0; i < a.count; ++i)
      if (!(a.items[i] == b.items[i])) return false;
    return true;
  }
};

}  // namespace hoist
