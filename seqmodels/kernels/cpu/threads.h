// Loops over the threads of XLA's own pool.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace seqmodels {

// What a thread does that waits for another: little for a moment, then it makes room.
inline void pause(int spins) {
  if (spins > 1000) std::this_thread::yield();
}

// Some threads that walk together: what each of them did before it waits, all see after it.
class Team {
 public:
  int members() const { return members_; }

  void wait() {
    if (members_ == 1) return;
    const int now = generation_.load(std::memory_order_acquire);
    if (waiting_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
      waiting_.store(0, std::memory_order_relaxed);
      generation_.store(now + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; generation_.load(std::memory_order_acquire) == now; ++spins) pause(spins);
  }

 private:
  friend class Threads;
  static constexpr int CLOSED = 1 << 20;
  std::atomic<int> joined_{1}, waiting_{0}, generation_{0}, left_{0};
  int members_ = 1;
};

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
    for (int spins = 0; job->done.load(std::memory_order_acquire) < n; ++spins) pause(spins);
  }

  // body(member, team) on the caller and on every thread that comes within a moment: a team has at least one member.
  template <typename Body>
  void together(Body&& body) const {
    if (count_ == 1) {
      Team alone;
      body(0, alone);
      return;
    }
    struct Job : Team {
      std::function<void(int, Team&)> body;
    };
    auto job = std::make_shared<Job>();
    job->body = [&body](int member, Team& team) { body(member, team); };
    auto join = [job] {
      int joined = job->joined_.load();
      do {
        if (joined >= Team::CLOSED) return;
      } while (!job->joined_.compare_exchange_weak(joined, joined + 1));
      for (int spins = 0; job->joined_.load(std::memory_order_acquire) < Team::CLOSED; ++spins) pause(spins);
      job->body(joined, *job);
      job->left_.fetch_add(1, std::memory_order_release);
    };
    for (int i = 1; i < count_; ++i) pool_.Schedule(std::function<void()>(join));
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(50);
    while (job->joined_.load() < count_ && std::chrono::steady_clock::now() < end) {
    }
    // Those that have joined read `members_` after they have seen the team closed.
    int joined = job->joined_.load();
    do {
      job->members_ = joined;
    } while (!job->joined_.compare_exchange_weak(joined, joined | Team::CLOSED));
    body(0, *job);
    for (int spins = 0; job->left_.load(std::memory_order_acquire) < job->members_ - 1; ++spins) pause(spins);
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
