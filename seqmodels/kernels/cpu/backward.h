// The backward pass of recurrent layers: a walk back through time that leaves the gradients at all sums, and one
// product over all positions for each array of weights (as cuDNN does: Appleyard et al., 2016).
#pragma once

#include <vector>

#include "cells.h"

namespace seqmodels {

struct Saved {
  const float *hs, *saved, *cs;  // of the forward pass
  const float *dhs, *dh, *dc;    // gradients at all h [b t e], and at the last h and c
};

struct Found {
  float *dx, *dh, *dc;  // at the inputs, and at the first h and c
  float *dw, *du, *dbias, *dbias_n;
  float* dz;  // at the sums: [b t slots*e]; may be the memory of `saved`
};

template <typename Cell>
class Backward {
 public:
  static constexpr int S = Cell::slots, NV = 2, MR = REGISTERS == 32 ? 8 : 2, COLUMNS = NV * W;

  Backward(const Threads& threads, const Sequences& s, const Saved& saved, const Found& found)
      : threads_(threads),
        s_(s),
        saved_(saved),
        found_(found),
        panels_((s.units + COLUMNS - 1) / COLUMNS),
        padded_(panels_ * COLUMNS),
        depth_(Cell::recurrent * s.units) {}

  void run() const {
    const int64_t e = s_.units, d = s_.inputs, positions = s_.batch * s_.time, width = S * e, gates = Cell::gates * e;
    const Layer<Cell> layer(threads_, s_);
    const Buffer back(panels_ * depth_ * COLUMNS);  // U turned
    threads_.loop(panels_, [&](int panel) {
      pack<COLUMNS>(Matrix{s_.u, 1, gates}.from(0, panel * COLUMNS), depth_, e - panel * COLUMNS,
                    back.get() + panel * depth_ * COLUMNS);
    });
    const Buffer sums(layer.tasks() * width), states(3 * s_.batch * padded_);
    std::fill_n(sums.get(), layer.tasks() * width, 0.0f);
    std::fill_n(states.get(), 3 * s_.batch * padded_, 0.0f);
    layer.in_tasks([&](int task, int64_t first, int64_t rows, Share share, Team& team) {
      walk(back.get(), states.get() + 3 * first * padded_, first, rows, sums.get() + task * width, share, team);
    });
    for (int task = 1; task < layer.tasks(); ++task)
      for (int64_t i = 0; i < width; ++i) sums.get()[i] += sums.get()[task * width + i];
    for (const Slots& part : slots())
      gemm(threads_, positions, d, part.number, from_matrix(at_sums(part)), Matrix{s_.w + part.gate * e, 1, gates},
           found_.dx, d, part.slot > 0);
    weights();
    for (const Slots& part : slots())
      std::copy_n(sums.get() + part.slot * e, part.number, found_.dbias + part.gate * e);
    if (Cell::gates > 1 && S > Cell::recurrent) std::copy_n(sums.get() + (Cell::gates - 1) * e, e, found_.dbias_n);
  }

 private:
  // Gradients at the input's sums: slots from `slot` on, of the gates from `gate` on; `number` columns.
  struct Slots {
    int slot, gate;
    int64_t number;
  };

  // Those of all gates lie together, or of all but the last one, whose sum of the input is a slot of its own.
  std::vector<Slots> slots() const {
    if (S == Cell::gates) return {{0, 0, S * s_.units}};
    return {{0, 0, (Cell::gates - 1) * s_.units}, {S - 1, Cell::gates - 1, s_.units}};
  }

  Matrix at_sums(const Slots& part) const { return {found_.dz + part.slot * s_.units, S * s_.units, 1}; }

  // Gradients at the weights. Each thread has products of its own, or a part of one, so that as little as can be is
  // packed twice; the largest come first.
  void weights() const {
    const int64_t e = s_.units, d = s_.inputs, positions = s_.batch * s_.time, gates = Cell::gates * e;
    const int parts = std::max(1, threads_.count() / 2), inputs = static_cast<int>(slots().size());
    threads_.loop((1 + inputs) * parts, [&](int task) {
      const int part = task % parts, product = task / parts;
      if (product == 0) {
        const auto before = [this](auto... what) { pack_before(what...); };
        part_of_gemm(part, parts, e, depth_, positions, before, {found_.dz, S * e, 1}, found_.du, gates);
        return;
      }
      const Slots of = slots()[product - 1];
      part_of_gemm(part, parts, d, of.number, positions, from_matrix({s_.x, 1, d}), at_sums(of),
                   found_.dw + of.gate * e, gates);
    });
  }

  // The h that each position started from, turned.
  void pack_before(int64_t i, int64_t p, int64_t rows, int64_t depth, float* to) const {
    constexpr int N = seqmodels::MR;
    const int64_t e = s_.units, n = std::min<int64_t>(N, rows);
    for (int64_t k = p; k < p + depth; ++k, to += N) {
      const int64_t b = k / s_.time, t = k % s_.time;
      const float* h = t ? saved_.hs + (k - 1) * e : s_.h0 + b * e;
      if (n == N && !s_.resets(b, t)) {
        std::memcpy(to, h + i, sizeof(float) * N);
        continue;
      }
      std::fill_n(to, N, 0.0f);
      if (!s_.resets(b, t)) std::memcpy(to, h + i, sizeof(float) * n);
    }
  }

  void walk(const float* back, float* states, int64_t first, int64_t rows, float* sums, Share share, Team& team) const {
    const int64_t e = s_.units;
    const int64_t from = share.first(panels_) * COLUMNS, to = std::min(e, share.last(panels_) * COLUMNS);
    const auto own = [&](const float* source, float* target) {
      if (from < to) std::copy(source + from, source + to, target + from);
    };
    float *dh = states, *dc = dh + rows * padded_, *direct = dc + rows * padded_;
    for (int64_t row = 0; row < rows; ++row) {
      own(saved_.dh + (first + row) * e, dh + row * padded_);
      if (Cell::has_c) own(saved_.dc + (first + row) * e, dc + row * padded_);
    }
    const Buffer dz(rows * depth_);  // of one position: the rows of all are too far apart to be read where they lie
    for (int64_t t = s_.time - 1; t >= 0; --t) {
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t at = row * padded_;
        if (row + 1 < rows) fetch(first + row + 1, t, from, to);
        cell(first + row, t, from, to, dh + at, dc + at, direct + at, sums);
      }
      team.wait();
      for (int64_t row = 0; row < rows; ++row)
        std::copy_n(found_.dz + ((first + row) * s_.time + t) * S * e, depth_, dz.get() + row * depth_);
      for (int64_t panel = share.first(panels_); panel < share.last(panels_); ++panel)
        by_blocks<MR>(rows, [&](int64_t row, auto number) {
          const int64_t at = row * padded_ + panel * COLUMNS;
          through<number()>(back + panel * depth_ * COLUMNS, dz.get() + row * depth_, first + row, t, direct + at,
                            dh + at);
        });
    }
    for (int64_t row = 0; row < rows; ++row) {
      own(dh + row * padded_, found_.dh + (first + row) * e);
      if (Cell::has_c) own(dc + row * padded_, found_.dc + (first + row) * e);
    }
  }

  // Asks for what `cell` will read: sequences lie too far apart for the processor to see it coming.
  void fetch(int64_t b, int64_t t, int64_t from, int64_t to) const {
    const int64_t e = s_.units, at = b * s_.time + t;
    for (int64_t i = from; i < to; i += 16) {
      __builtin_prefetch(saved_.dhs + at * e + i);
      if (Cell::has_c) __builtin_prefetch(saved_.cs + at * e + i);
      if (!Cell::has_c) __builtin_prefetch(saved_.hs + at * e + i);
      for (int slot = 0; slot < S; ++slot) __builtin_prefetch(found_.dz + (at * S + slot) * e + i, 1);
    }
  }

  // Units [from, to) of one sequence at one position: gradients at their sums, and what reaches h directly.
  void cell(int64_t b, int64_t t, int64_t from, int64_t to, const float* dh, float* dc, float* direct,
            float* sums) const {
    const int64_t e = s_.units;
    float* at = found_.dz + (b * s_.time + t) * S * e;
    const bool keeps = s_.keeps(b, t), forgets = s_.resets(b, t);
    for (int64_t first = from; first < to; first += W) {
      const Place place{b, t, first, static_cast<int>(std::min<int64_t>(W, to - first))};
      const Vector total = load(dh + first) + load(saved_.dhs + (b * s_.time + t) * e + first, place.n);
      if (keeps) {
        store(direct + first, total);
        if (forgets) store(dc + first, Vector{});
        for (int slot = 0; slot < S; ++slot) store(at + slot * e + first, Vector{}, place.n);
        continue;
      }
      Gradients g{saved_.hs, saved_.saved, saved_.cs, at, total, load(dc + first)};
      store(direct + first, Cell::backward(s_, place, g));
      store(dc + first, forgets ? Vector{} : g.dc);
      for (int slot = 0; slot < S; ++slot) {
        float* to = sums + slot * e + first;
        store(to, load(to, place.n) + load(at + slot * e + first, place.n), place.n);
      }
    }
  }

  // dh of R sequences from b on = direct + gradients at the sums that came from h, through U.
  template <int R>
  void through(const float* back, const float* dz, int64_t b, int64_t t, const float* direct, float* dh) const {
    Vector sums[R][NV];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) sums[i][v] = load(direct + i * padded_ + v * W);
    multiply_rows<R, NV>(depth_, dz, depth_, back, sums);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const bool forgets = s_.resets(b + i, t);
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) store(dh + i * padded_ + v * W, forgets ? Vector{} : sums[i][v]);
    }
  }

  const Threads& threads_;
  const Sequences& s_;
  const Saved& saved_;
  const Found& found_;
  const int64_t panels_, padded_, depth_;
};

}  // namespace seqmodels
