// Loops over the threads of XLA's own pool.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace seqmodels {

class Threads {
 public:
  explicit Threads(xla::ffi::ThreadPool& pool)
      : pool_(pool), count_(static_cast<int>(std::max<int64_t>(1, pool.num_threads()))) {}

  int count() const { return count_; }

  // body(i) for every i below n, each once. The caller takes part, and waits for no task that has not begun: a busy
  // pool makes it slower and never waits for itself.
  template <typename Body>
  void loop(int n, Body&& body) const {
    struct Job {
      std::atomic<int> next{0}, done{0};
      int n;
      std::function<void(int)> body;
    };
    if (n <= 1 || count_ == 1) {
      for (int i = 0; i < n; ++i) body(i);
      return;
    }
    auto job = std::make_shared<Job>();
    job->n = n;
    job->body = [&body](int i) { body(i); };
    auto work = [job] {
      for (int i; (i = job->next.fetch_add(1)) < job->n;) {
        job->body(i);
        job->done.fetch_add(1, std::memory_order_release);
      }
    };
    for (int i = 1; i < std::min(n, count_); ++i) pool_.Schedule(std::function<void()>(work));
    work();
    for (int spins = 0; job->done.load(std::memory_order_acquire) < n; ++spins) {
      if (spins > 10000) std::this_thread::yield();
    }
  }

 private:
  xla::ffi::ThreadPool& pool_;
  int count_;
};

// Where part i of n begins, of `size` things in units of `unit`.
inline int64_t edge(int64_t size, int i, int n, int64_t unit) {
  const int64_t units = (size + unit - 1) / unit;
  return std::min(size, units * i / n * unit);
}

}  // namespace seqmodels
