// Recurrent layers over whole sequences. A task has some sequences of the batch and walks through time with them: it
// projects a few positions' inputs at a time, so that the projections stay in its cache, and finishes a cell while the
// sums of its gates are in registers. For that the weights are packed into panels that hold all gates of some units.
#pragma once

#include <type_traits>
#include <utility>

#include "gemm.h"

namespace seqmodels {

// Inputs, weights and the first carries. Arrays that a cell does not have are null. Flags are null where there are
// none.
struct Sequences {
  int64_t batch, time, inputs, units;
  const float *x, *h0, *c0;            // [b t d], [b e]
  const float *w, *u, *bias, *bias_n;  // [d g*e], [e g*e], [g*e], [e]
  const bool *reset, *mask;            // [b t]

  bool resets(int64_t b, int64_t t) const { return reset && reset[b * time + t]; }
  bool keeps(int64_t b, int64_t t) const { return mask && !mask[b * time + t]; }
};

struct Outputs {
  float *hs, *h, *c;  // [b t e], [b e]
  float *saved, *cs;  // [b t slots*e], [b t e]; null: nothing is saved
};

// Where one vector of units stands: of sequence b at position t, units from `first` on, `n` of them.
struct Place {
  int64_t b, t, first;
  int n;
};

constexpr int64_t SEQUENCES = 32;  // of a task at most
constexpr int64_t FEW = 16;        // of a task: with fewer, reading the weights takes longer than the products
constexpr int64_t WORTH = 500000;  // products of a step that are worth two threads' waiting for each other

// A share of panels or of units: one thread's, all of them where it walks alone.
struct Share {
  int member = 0, members = 1;
  int64_t first(int64_t n) const { return edge(n, member, members, 1); }
  int64_t last(int64_t n) const { return edge(n, member + 1, members, 1); }
};

// f(n) with n, from 1 to MOST, as something that the compiler knows.
template <int MOST, typename F>
inline void as_constant(int64_t n, F&& f) {
  if (n == MOST) return f(std::integral_constant<int, MOST>{});
  if constexpr (MOST > 1) as_constant<MOST - 1>(n, f);
}

// f(first, number) for blocks of at most MOST rows, as even as can be: every block reads all weights.
template <int MOST, typename F>
inline void by_blocks(int64_t rows, F&& f) {
  const int64_t blocks = (rows + MOST - 1) / MOST;
  for (int64_t i = 0, first = 0; i < blocks; ++i) {
    const int64_t number = rows / blocks + (i < rows % blocks);
    as_constant<MOST>(number, [&](auto constant) { f(first, constant); });
    first += number;
  }
}

template <typename Cell>
class Layer {
 public:
  static constexpr int G = Cell::gates, NV = G * Cell::vectors, UNITS = Cell::vectors * W, COLUMNS = NV * W;
  static constexpr int MR = Cell::rows;

  Layer(const Threads& threads, const Sequences& s)
      : threads_(threads), s_(s), panels_((s.units + UNITS - 1) / UNITS), padded_(panels_ * UNITS) {}

  void forward(const Outputs& out) const {
    const Buffer w(panels_ * s_.inputs * COLUMNS), u(panels_ * s_.units * COLUMNS);
    threads_.loop(panels_, [&](int panel) {
      pack_gates(s_.w, s_.inputs, panel, w.get() + panel * s_.inputs * COLUMNS);
      pack_gates(s_.u, s_.units, panel, u.get() + panel * s_.units * COLUMNS);
    });
    const Buffer states(3 * s_.batch * padded_), z(s_.batch * MR * panels_ * COLUMNS);
    std::fill_n(states.get(), 3 * s_.batch * padded_, 0.0f);
    in_tasks([&](int, int64_t first, int64_t rows, Share share, Team& team) {
      walk(w.get(), u.get(), states.get() + 3 * first * padded_, z.get() + first * MR * panels_ * COLUMNS, out, first,
           rows, share, team);
    });
  }

  // body(task, first sequence, number of them, share of the units, team): either a task has some of the sequences, or,
  // where these are few, all threads walk through time together and each has some of the units.
  template <typename Body>
  void in_tasks(Body&& body) const {
    const int n = tasks();
    if (n == 1 && s_.batch * s_.units * s_.units * G < WORTH) {
      Team alone;
      body(0, 0, s_.batch, Share{}, alone);
      return;
    }
    if (n == 1) {
      threads_.together([&](int member, Team& team) { body(0, 0, s_.batch, {member, team.members()}, team); });
      return;
    }
    threads_.loop(n, [&](int i) {
      Team alone;
      const int64_t first = edge(s_.batch, i, n, 1), last = edge(s_.batch, i + 1, n, 1);
      if (first < last) body(i, first, last - first, Share{}, alone);
    });
  }

  int tasks() const {
    if (s_.batch < FEW * threads_.count()) return 1;
    return std::max<int64_t>(threads_.count(), (s_.batch + SEQUENCES - 1) / SEQUENCES);
  }

 private:
  // The columns of one panel's units: gate by gate, zeros where there are no units left.
  void pack_gates(const float* kernel, int64_t depth, int64_t panel, float* to) const {
    for (int64_t k = 0; k < depth; ++k)
      for (int g = 0; g < G; ++g)
        for (int v = 0; v < Cell::vectors; ++v, to += W) {
          const int64_t first = panel * UNITS + v * W, left = s_.units - first;
          store(to, left > 0 ? load(kernel + (k * G + g) * s_.units + first, std::min<int64_t>(W, left)) : Vector{});
        }
  }

  // Projections of positions [start, start + count) of every row: z [row count panels*COLUMNS].
  void project(const float* w, int64_t first, int64_t rows, int64_t start, int64_t count, float* z, Share share) const {
    const int64_t width = panels_ * COLUMNS;
    for (int64_t panel = share.first(panels_); panel < share.last(panels_); ++panel) {
      alignas(64) float bias[COLUMNS];
      pack_gates(s_.bias, 1, panel, bias);
      for (int64_t row = 0; row < rows; ++row) {
        by_blocks<MR>(count, [&](int64_t t, auto number) {
          constexpr int R = number();
          Vector sums[R][NV];
#pragma GCC unroll 16
          for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
            for (int v = 0; v < NV; ++v) sums[i][v] = load(bias + v * W);
          multiply_rows<R, NV>(s_.inputs, s_.x + ((first + row) * s_.time + start + t) * s_.inputs, s_.inputs,
                               w + panel * s_.inputs * COLUMNS, sums);
#pragma GCC unroll 16
          for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
            for (int v = 0; v < NV; ++v) store(z + (row * count + t + i) * width + panel * COLUMNS + v * W, sums[i][v]);
        });
      }
    }
  }

  void walk(const float* w, const float* u, float* states, float* z, const Outputs& out, int64_t first, int64_t rows,
            Share share, Team& team) const {
    const int64_t e = s_.units, width = panels_ * COLUMNS;
    const int64_t from = share.first(panels_) * UNITS, to = std::min(e, share.last(panels_) * UNITS);
    const auto own = [&](const float* source, float* target) {
      if (from < to) std::copy(source + from, source + to, target + from);
    };
    float *h = states, *next = h + rows * padded_, *c = next + rows * padded_;
    for (int64_t row = 0; row < rows; ++row) {
      if (s_.resets(first + row, 0)) continue;
      own(s_.h0 + (first + row) * e, h + row * padded_);
      if (Cell::has_c) own(s_.c0 + (first + row) * e, c + row * padded_);
    }
    team.wait();
    for (int64_t start = 0; start < s_.time; start += MR) {
      const int64_t count = std::min<int64_t>(MR, s_.time - start);
      project(w, first, rows, start, count, z, share);
      for (int64_t t = 0; t < count; ++t, std::swap(h, next)) {
        for (int64_t panel = share.first(panels_); panel < share.last(panels_); ++panel)
          by_blocks<MR>(rows, [&](int64_t row, auto number) {
            step<number()>(u, panel, z + (row * count + t) * width, count * width, h + row * padded_,
                           next + row * padded_, c + row * padded_, out, first + row, start + t);
          });
        team.wait();
      }
    }
    for (int64_t row = 0; row < rows; ++row) {
      own(h + row * padded_, out.h + (first + row) * e);
      if (Cell::has_c) own(c + row * padded_, out.c + (first + row) * e);
    }
  }

  // R sequences from b on at position t: one panel's units. z, h, next and c are those of the first of them.
  template <int R>
  void step(const float* u, int64_t panel, const float* z, int64_t z_row, const float* h, float* next, float* c,
            const Outputs& out, int64_t b, int64_t t) const {
    z += panel * COLUMNS;
    Vector sums[R][NV];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v)
        sums[i][v] = Cell::begins_with_input(v / Cell::vectors) ? load(z + i * z_row + v * W) : Vector{};
    multiply_rows<R, NV>(s_.units, h, padded_, u + panel * s_.units * COLUMNS, sums);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < Cell::vectors; ++v) {
        const int64_t first = panel * UNITS + v * W, at = i * padded_ + first;
        const int n = static_cast<int>(std::min<int64_t>(W, s_.units - first));
        if (n <= 0) continue;
        const Place place{b + i, t, first, n};
        Vector new_h = load(h + at);
        if (!s_.keeps(b + i, t)) {
          Vector gates[G];
#pragma GCC unroll 8
          for (int g = 0; g < G; ++g) gates[g] = sums[i][g * Cell::vectors + v];
          new_h = Cell::forward(s_, out, place, gates, z + i * z_row + v * W, new_h, c + at);
        }
        store(out.hs + ((b + i) * s_.time + t) * s_.units + first, new_h, n);
        if (Cell::has_c && out.cs) store(out.cs + ((b + i) * s_.time + t) * s_.units + first, load(c + at), n);
        const bool forgets = t + 1 < s_.time && s_.resets(b + i, t + 1);
        store(next + at, forgets ? Vector{} : new_h);
        if (Cell::has_c && forgets) store(c + at, Vector{});
      }
  }

  const Threads& threads_;
  const Sequences& s_;
  const int64_t panels_, padded_;
};

}  // namespace seqmodels
