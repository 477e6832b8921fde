// The backward pass of recurrent layers: a walk back through time that leaves the gradients at all sums, and one
// product over all positions for each array of weights (as cuDNN does: Appleyard et al., 2016).
#pragma once

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
  static constexpr int S = Cell::slots, NV = 4, MR = REGISTERS == 32 ? 6 : 2, COLUMNS = NV * W;

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
    // Slots of gradients at the input's sums, and the gates that they are of: all, or all but one and the last one.
    const int together = S == Cell::gates ? S : Cell::gates - 1;
    const auto at_inputs = [&](int slot, int gate, int64_t number, bool onto) {
      const Matrix dz{found_.dz + slot * e, width, 1};
      gemm(threads_, positions, d, number, from_matrix(dz), Matrix{s_.w + gate * e, 1, gates}, found_.dx, d, onto);
      gemm(threads_, d, number, positions, from_matrix({s_.x, 1, d}), dz, found_.dw + gate * e, gates);
      std::copy_n(sums.get() + slot * e, number, found_.dbias + gate * e);
    };
    at_inputs(0, 0, together * e, false);
    if (together < S) {
      at_inputs(S - 1, together, e, true);
      std::copy_n(sums.get() + together * e, e, found_.dbias_n);
    }
    gemm(
        threads_, e, depth_, positions, [this](auto... what) { pack_before(what...); }, {found_.dz, width, 1},
        found_.du, gates);
  }

 private:
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
    const Buffer packed(rows * depth_);
    for (int64_t t = s_.time - 1; t >= 0; --t) {
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t at = row * padded_;
        if (row + 1 < rows) fetch(first + row + 1, t, from, to);
        cell(first + row, t, from, to, dh + at, dc + at, direct + at, sums);
      }
      team.wait();
      pack_rows<MR>({found_.dz + (first * s_.time + t) * S * e, s_.time * S * e, 1}, rows, depth_, packed.get());
      for (int64_t panel = share.first(panels_); panel < share.last(panels_); ++panel)
        by_blocks<MR>(rows, [&](int64_t row, auto number) {
          const int64_t at = row * padded_ + panel * COLUMNS;
          through<number()>(back + panel * depth_ * COLUMNS, packed.get() + row * depth_, first + row, t, direct + at,
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
  void through(const float* back, const float* packed, int64_t b, int64_t t, const float* direct, float* dh) const {
    Vector sums[R][NV];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) sums[i][v] = load(direct + i * padded_ + v * W);
    multiply<R, NV>(depth_, packed, 1, R, back, sums);
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
