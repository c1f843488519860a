// A few threads that run what is put in a queue, in order of arrival as far as several threads can.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace hoist::serve {

class WorkQueue {
 public:
  // `work(stopping)`: with true the queue is ending, and the work must only say so.
  using Work = std::function<void(bool stopping)>;
  WorkQueue(int threads, size_t most);
  ~WorkQueue();  // what is under way finishes, what waits is told
  // Throws Error(kResourceExhausted) when `most` wait already.
  void add(Work work);

 private:
  void run();
  const size_t most_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Work> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace hoist::serve
