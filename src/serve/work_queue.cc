#include "serve/work_queue.h"

#include "base/error.h"

namespace hoist::serve {

WorkQueue::WorkQueue(int threads, size_t most) : most_(most) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

WorkQueue::~WorkQueue() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& t : threads_) t.join();
  for (Work& work : queue_) work(true);
}

void WorkQueue::add(Work work) {
  std::lock_guard lock(mutex_);
  if (queue_.size() >= most_)
    throw Error(ErrorCode::kResourceExhausted,
                "the queue is full: " + std::to_string(queue_.size()) + " requests wait to be read");
  queue_.push_back(std::move(work));
  wake_.notify_one();
}

void WorkQueue::run() {
  while (true) {
    Work work;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work(false);
  }
}

}  // namespace hoist::serve
