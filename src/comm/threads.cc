#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "comm/group.h"

namespace hoist::comm {

namespace {

// What the ranks of all groups share: whether someone failed.
struct Failure {
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::string message;
};

// The meeting point of one group.
struct Meeting {
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0;
  uint64_t round = 0;
  std::vector<const void*> in;
  std::vector<void*> out;
};

template <class T, class Load, class Store>
void reduce_range(const std::vector<const void*>& in, void* out, int64_t in_offset, int64_t out_offset,
                  int64_t count, Reduction op, Load load, Store store) {
  for (int64_t i = 0; i < count; ++i) {
    auto acc = load(static_cast<const T*>(in[0])[in_offset + i]);
    for (size_t r = 1; r < in.size(); ++r) {
      auto x = load(static_cast<const T*>(in[r])[in_offset + i]);
      acc = op == Reduction::kSum ? acc + x : (x > acc ? x : acc);
    }
    static_cast<T*>(out)[out_offset + i] = store(acc);
  }
}

void reduce(DType dtype, const std::vector<const void*>& in, void* out, int64_t in_offset, int64_t out_offset,
            int64_t count, Reduction op) {
  auto same = [](auto x) { return x; };
  switch (dtype) {
    case DType::f32: return reduce_range<float>(in, out, in_offset, out_offset, count, op, same, same);
    case DType::f64: return reduce_range<double>(in, out, in_offset, out_offset, count, op, same, same);
    case DType::i32: return reduce_range<int32_t>(in, out, in_offset, out_offset, count, op, same, same);
    case DType::i64: return reduce_range<int64_t>(in, out, in_offset, out_offset, count, op, same, same);
    // 16-bit floats are summed in f32 and rounded once.
    case DType::bf16:
      return reduce_range<bf16>(
          in, out, in_offset, out_offset, count, op, [](bf16 x) { return to_float(x); },
          [](float x) { return to_bf16(x); });
    case DType::f16:
      return reduce_range<f16>(
          in, out, in_offset, out_offset, count, op, [](f16 x) { return to_float(x); },
          [](float x) { return to_f16(x); });
    default: HOIST_CHECK(false, "no reduction over this element type");
  }
}

class ThreadGroup final : public Group {
 public:
  ThreadGroup(Meeting& meeting, Failure& failure, int rank, int size)
      : meeting_(meeting), failure_(failure), rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void barrier() override { meet(nullptr, nullptr); }

  void all_reduce(const void* in, void* out, int64_t count, DType dtype, Reduction op) override {
    meet(in, out);
    // Rank r reduces slice r of everyone's data, then everyone collects the slices.
    const int64_t width = dtype_size(dtype);
    auto begin = [&](int r) { return count * r / size_; };
    reduce(dtype, meeting_.in, out, begin(rank_), begin(rank_), begin(rank_ + 1) - begin(rank_), op);
    barrier_keeping();
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      int64_t offset = begin(r) * width, bytes = begin(r + 1) * width - offset;
      std::memcpy(static_cast<char*>(out) + offset,
                  static_cast<const char*>(meeting_.out[static_cast<size_t>(r)]) + offset,
                  static_cast<size_t>(bytes));
    }
    bytes_received_ += 2 * count * width * (size_ - 1) / size_;
    barrier_keeping();
  }

  void all_gather(const void* in, void* out, int64_t bytes) override {
    meet(in, out);
    for (int r = 0; r < size_; ++r)
      std::memcpy(static_cast<char*>(out) + r * bytes, meeting_.in[static_cast<size_t>(r)],
                  static_cast<size_t>(bytes));
    bytes_received_ += bytes * (size_ - 1);
    barrier_keeping();
  }

  void reduce_scatter(const void* in, void* out, int64_t count, DType dtype, Reduction op) override {
    meet(in, out);
    reduce(dtype, meeting_.in, out, count * rank_, 0, count, op);
    bytes_received_ += count * dtype_size(dtype) * (size_ - 1);
    barrier_keeping();
  }

  void all_to_all(const void* in, void* out, int64_t bytes) override {
    meet(in, out);
    for (int r = 0; r < size_; ++r)
      std::memcpy(static_cast<char*>(out) + r * bytes,
                  static_cast<const char*>(meeting_.in[static_cast<size_t>(r)]) + rank_ * bytes,
                  static_cast<size_t>(bytes));
    bytes_received_ += bytes * (size_ - 1);
    barrier_keeping();
  }

 private:
  void meet(const void* in, void* out) {
    {
      std::lock_guard lock(meeting_.mutex);
      meeting_.in[static_cast<size_t>(rank_)] = in;
      meeting_.out[static_cast<size_t>(rank_)] = out;
    }
    barrier_keeping(false);
  }

  // Entered by every rank of the group or by none: a failure elsewhere ends only the wait for a rank that may
  // never come. Once all have come (`entered`), they read each other's buffers, and nobody may unwind and
  // free them.
  void barrier_keeping(bool entered = true) {
    std::unique_lock lock(meeting_.mutex);
    if (!entered) throw_if_failed();
    uint64_t round = meeting_.round;
    if (++meeting_.arrived == size_) {
      meeting_.arrived = 0;
      ++meeting_.round;
      meeting_.changed.notify_all();
      return;
    }
    meeting_.changed.wait(lock,
                          [&] { return meeting_.round != round || (!entered && failure_.failed.load()); });
    if (meeting_.round == round) throw_if_failed();
  }

  void throw_if_failed() {
    if (!failure_.failed.load()) return;
    std::lock_guard lock(failure_.mutex);
    throw Error(ErrorCode::kUnavailable, failure_.message);
  }

  Meeting& meeting_;
  Failure& failure_;
  int rank_, size_;
};

}  // namespace

struct ThreadWorld::State {
  Failure failure;
  std::vector<std::unique_ptr<Meeting>> meetings;
  std::vector<std::vector<std::unique_ptr<Group>>> groups;  // [rank][mesh dimension]
};

ThreadWorld::ThreadWorld(const std::vector<int>& mesh_sizes) : state_(std::make_unique<State>()) {
  int world = 1;
  for (int s : mesh_sizes) world *= s;
  state_->groups.resize(static_cast<size_t>(world));
  int stride = world;
  for (int s : mesh_sizes) {
    stride /= s;
    // Ranks that differ only in this coordinate meet.
    std::vector<Meeting*> meeting_of(static_cast<size_t>(world), nullptr);
    for (int r = 0; r < world; ++r) {
      int coordinate = r / stride % s, base = r - coordinate * stride;
      if (!meeting_of[static_cast<size_t>(base)]) {
        state_->meetings.push_back(std::make_unique<Meeting>());
        Meeting* m = state_->meetings.back().get();
        m->in.resize(static_cast<size_t>(s));
        m->out.resize(static_cast<size_t>(s));
        meeting_of[static_cast<size_t>(base)] = m;
      }
      state_->groups[static_cast<size_t>(r)].push_back(std::make_unique<ThreadGroup>(
          *meeting_of[static_cast<size_t>(base)], state_->failure, coordinate, s));
    }
  }
}

ThreadWorld::~ThreadWorld() = default;
int ThreadWorld::size() const { return static_cast<int>(state_->groups.size()); }
Group& ThreadWorld::group(int rank, int d) {
  return *state_->groups[static_cast<size_t>(rank)][static_cast<size_t>(d)];
}

void ThreadWorld::abort(int rank, const char* why) {
  {
    std::lock_guard lock(state_->failure.mutex);
    if (state_->failure.failed) return;
    state_->failure.message = "rank " + std::to_string(rank) + " failed: " + why;
    state_->failure.failed = true;
  }
  for (auto& m : state_->meetings) {
    std::lock_guard lock(m->mutex);
    m->changed.notify_all();
  }
}

}  // namespace hoist::comm
