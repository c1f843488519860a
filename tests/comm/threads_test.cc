// Collectives among threads, against loops over what every rank sent.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <numeric>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/rng.h"
#include "comm/group.h"

namespace hoist::comm {
namespace {

void on_ranks(int n, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int r = 0; r < n; ++r) threads.emplace_back([&, r] { body(r); });
  for (std::thread& t : threads) t.join();
}

using Bytes = std::vector<std::byte>;

template <class T>
T* as(Bytes& b) {
  return reinterpret_cast<T*>(b.data());
}
template <class T>
const T* as(const Bytes& b) {
  return reinterpret_cast<const T*>(b.data());
}

constexpr DType kDtypes[] = {DType::f32, DType::f64, DType::i32, DType::i64, DType::bf16, DType::f16};

Bytes draw(DType dtype, int64_t count, uint64_t seed) {
  Bytes out(static_cast<size_t>(count * dtype_size(dtype)));
  const CounterRng rng(seed, 5);
  for (int64_t i = 0; i < count; ++i) {
    const double v = 4 * rng.normal(static_cast<uint64_t>(i));
    switch (dtype) {
      case DType::f32: as<float>(out)[i] = static_cast<float>(v); break;
      case DType::f64: as<double>(out)[i] = v; break;
      case DType::i32: as<int32_t>(out)[i] = static_cast<int32_t>(v * 1000); break;
      case DType::i64: as<int64_t>(out)[i] = static_cast<int64_t>(v * 1e12); break;
      case DType::bf16: as<bf16>(out)[i] = to_bf16(static_cast<float>(v)); break;
      default: as<f16>(out)[i] = to_f16(static_cast<float>(v)); break;
    }
  }
  return out;
}

template <class T, class Wide>
void fold(const std::vector<Bytes>& in, int64_t count, Reduction op, Bytes& out, Wide (*widen)(T),
          T (*narrow)(Wide)) {
  for (int64_t i = 0; i < count; ++i) {
    Wide acc = widen(as<T>(in[0])[i]);
    for (size_t r = 1; r < in.size(); ++r) {
      const Wide x = widen(as<T>(in[r])[i]);
      acc = op == Reduction::kSum ? acc + x : std::max(acc, x);
    }
    as<T>(out)[i] = narrow(acc);
  }
}
template <class T>
T same(T x) {
  return x;
}

// Partial values combine in rank order; 16-bit floats in f32, rounded once.
Bytes reduced(const std::vector<Bytes>& in, DType dtype, int64_t count, Reduction op) {
  Bytes out(in[0].size());
  switch (dtype) {
    case DType::f32: fold<float, float>(in, count, op, out, same, same); break;
    case DType::f64: fold<double, double>(in, count, op, out, same, same); break;
    case DType::i32: fold<int32_t, int32_t>(in, count, op, out, same, same); break;
    case DType::i64: fold<int64_t, int64_t>(in, count, op, out, same, same); break;
    case DType::bf16: fold<bf16, float>(in, count, op, out, to_float, to_bf16); break;
    default: fold<f16, float>(in, count, op, out, to_float, to_f16); break;
  }
  return out;
}

Bytes piece(const Bytes& whole, int64_t bytes, int index) {
  return Bytes(whole.begin() + index * bytes, whole.begin() + (index + 1) * bytes);
}

// One collective with drawn operands; the same for every rank that draws with the same seed.
struct Call {
  int kind;  // 0: all_reduce, 1: all_gather, 2: reduce_scatter, 3: all_to_all, 4: barrier
  DType dtype;
  Reduction op;
  int64_t count;  // elements of one piece
  uint64_t seed;

  Call(uint64_t index) : seed(1000 + index * 64) {
    const CounterRng rng(77, index);
    kind = static_cast<int>(rng.below(0, 5));
    dtype = kDtypes[rng.below(1, 6)];
    op = rng.below(2, 2) ? Reduction::kMax : Reduction::kSum;
    count = static_cast<int64_t>(rng.below(3, rng.below(4, 4) ? 40 : 1000));  // small, and now and then large
  }
  Bytes input(int rank, int size) const {
    const int64_t pieces = kind == 2 || kind == 3 ? size : 1;
    return draw(dtype, count * pieces, seed + static_cast<uint64_t>(rank));
  }
  Bytes run(Group& g) const {
    const int64_t bytes = count * dtype_size(dtype);
    const Bytes in = input(g.rank(), g.size());
    Bytes out(static_cast<size_t>(kind == 1 || kind == 3 ? bytes * g.size() : bytes));
    switch (kind) {
      case 0: g.all_reduce(in.data(), out.data(), count, dtype, op); break;
      case 1: g.all_gather(in.data(), out.data(), bytes); break;
      case 2: g.reduce_scatter(in.data(), out.data(), count, dtype, op); break;
      case 3: g.all_to_all(in.data(), out.data(), bytes); break;
      default: g.barrier(); out.clear();
    }
    return out;
  }
  Bytes expected(int rank, int size) const {
    if (kind == 4) return {};
    const int64_t bytes = count * dtype_size(dtype);
    std::vector<Bytes> in;
    for (int r = 0; r < size; ++r) in.push_back(input(r, size));
    if (kind == 0) return reduced(in, dtype, count, op);
    if (kind == 2) return piece(reduced(in, dtype, count * size, op), bytes, rank);
    Bytes out;
    for (const Bytes& b : in) {
      const Bytes part = kind == 1 ? b : piece(b, bytes, rank);
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }
};

TEST(ThreadGroup, ThousandMixedCollectivesEqualLoops) {
  for (int n : {1, 2, 3, 5}) {
    ThreadWorld world({n});
    std::atomic<int> wrong{0};
    on_ranks(n, [&](int r) {
      Group& g = world.group(r, 0);
      for (uint64_t i = 0; i < 1000; ++i) {
        const Call call(i);
        if (call.run(g) != call.expected(r, n) && wrong++ == 0)
          ADD_FAILURE() << "call " << i << ", kind " << call.kind << ", " << dtype_name(call.dtype) << " x "
                        << call.count << " on rank " << r << " of " << n;
      }
    });
    EXPECT_EQ(wrong, 0);
  }
}

TEST(ThreadWorld, GroupsOfAMesh) {
  ThreadWorld world({2, 3});
  ASSERT_EQ(world.size(), 6);
  std::vector<std::vector<int>> rows(6), columns(6);
  on_ranks(6, [&](int r) {
    for (int d = 0; d < 2; ++d) {
      Group& g = world.group(r, d);
      EXPECT_EQ(g.size(), d == 0 ? 2 : 3);
      EXPECT_EQ(g.rank(), d == 0 ? r / 3 : r % 3);
      std::vector<int> all(static_cast<size_t>(g.size()));
      g.all_gather(&r, all.data(), sizeof r);
      (d == 0 ? columns : rows)[static_cast<size_t>(r)] = all;
    }
  });
  for (int r = 0; r < 6; ++r) {
    EXPECT_EQ(columns[static_cast<size_t>(r)], (std::vector<int>{r % 3, r % 3 + 3}));
    EXPECT_EQ(rows[static_cast<size_t>(r)], (std::vector<int>{r / 3 * 3, r / 3 * 3 + 1, r / 3 * 3 + 2}));
  }
}

TEST(ThreadWorld, GroupsOfAMeshWorkSideBySide) {
  ThreadWorld world({2, 3});
  std::atomic<int> wrong{0};
  on_ranks(6, [&](int r) {
    for (uint64_t i = 0; i < 300; ++i) {
      const int d = static_cast<int>(CounterRng(5, 0).below(i, 2));
      Group& g = world.group(r, d);
      const Call call(i);
      wrong += call.run(g) != call.expected(g.rank(), g.size());
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadGroup, SumsHaveTheSameBitsOnEveryRankAndInEveryRun) {
  const int n = 4;
  Bytes first;
  for (int run = 0; run < 20; ++run) {
    ThreadWorld world({n});
    std::vector<Bytes> out(n);
    on_ranks(n, [&](int r) {
      const Bytes in = draw(DType::f32, 999, static_cast<uint64_t>(r));
      out[static_cast<size_t>(r)].resize(in.size());
      world.group(r, 0).all_reduce(in.data(), out[static_cast<size_t>(r)].data(), 999, DType::f32,
                                   Reduction::kSum);
    });
    if (first.empty()) first = out[0];
    for (const Bytes& b : out) EXPECT_TRUE(b == first);
  }
}

TEST(ThreadGroup, CountsWhatItReceives) {
  const int n = 4;
  ThreadWorld world({n});
  std::vector<int64_t> received(n);
  on_ranks(n, [&](int r) {
    Group& g = world.group(r, 0);
    std::vector<float> in(64, 1), out(64);
    g.all_gather(in.data(), out.data(), 16);                                  // 3 x 16
    g.all_to_all(in.data(), out.data(), 16);                                  // 3 x 16
    g.reduce_scatter(in.data(), out.data(), 8, DType::f32, Reduction::kSum);  // 3 x 32
    g.all_reduce(in.data(), out.data(), 64, DType::f32, Reduction::kSum);     // 2 x 3/4 x 256
    g.barrier();
    received[static_cast<size_t>(r)] = g.bytes_received();
  });
  EXPECT_EQ(received, std::vector<int64_t>(n, 48 + 48 + 96 + 384));
}

TEST(ThreadWorld, AFailedRankFreesThoseWhoWait) {
  for (int kind = 0; kind < 5; ++kind) {
    ThreadWorld world({2, 2});
    std::vector<std::string> messages(4);
    std::vector<ErrorCode> codes(4, ErrorCode::kIo);
    on_ranks(4, [&](int r) {
      if (r == 2) return world.abort(2, "disk full");
      std::vector<float> in(64, 1), out(64);
      try {
        // Ranks 0 and 3 wait for 2, and rank 1 for 0.
        for (int d : {0, 1}) {
          Group& g = world.group(r, d);
          if (kind == 0) g.all_reduce(in.data(), out.data(), 32, DType::f32, Reduction::kSum);
          if (kind == 1) g.all_gather(in.data(), out.data(), 64);
          if (kind == 2) g.reduce_scatter(in.data(), out.data(), 16, DType::f32, Reduction::kSum);
          if (kind == 3) g.all_to_all(in.data(), out.data(), 64);
          if (kind == 4) g.barrier();
        }
      } catch (const Error& e) {
        messages[static_cast<size_t>(r)] = e.what();
        codes[static_cast<size_t>(r)] = e.code();
      }
    });
    for (int r : {0, 1, 3}) {
      EXPECT_EQ(messages[static_cast<size_t>(r)], "rank 2 failed: disk full");
      EXPECT_EQ(codes[static_cast<size_t>(r)], ErrorCode::kUnavailable);
    }
    // Whoever calls later hears it at once.
    float x = 1, y = 0;
    EXPECT_THROW(world.group(0, 1).all_reduce(&x, &y, 1, DType::f32, Reduction::kSum), Error);
    world.abort(1, "a second failure does not hide the first");
    try {
      world.group(1, 0).barrier();
      ADD_FAILURE() << "expected an error";
    } catch (const Error& e) {
      EXPECT_STREQ(e.what(), "rank 2 failed: disk full");
    }
  }
}

// An abort at any moment: every rank either finishes a collective or hears of the failure, and nobody reads
// what another has freed (address and thread sanitizers watch this test).
TEST(ThreadWorld, AbortsWhileOthersCommunicate) {
  for (int trial = 0; trial < 50; ++trial) {
    const int n = 3;
    ThreadWorld world({n});
    std::atomic<int> freed{0}, wrong{0};
    on_ranks(n, [&](int r) {
      try {
        for (uint64_t i = 0; i < 2000; ++i) {
          if (r == 0 && i == static_cast<uint64_t>(trial * 7 % 40)) world.abort(0, "stop");
          const Call call(i);
          wrong += call.run(world.group(r, 0)) != call.expected(r, n);
        }
      } catch (const Error&) {
        ++freed;
      }
    });
    EXPECT_EQ(freed, n);
    EXPECT_EQ(wrong, 0);
  }
}

}  // namespace
}  // namespace hoist::comm
