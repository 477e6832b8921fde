// What a recurrent cell computes of the sums of its gates, and the gradients of that, for one vector of units.
//
//   gates    its columns of weights; slots: arrays of gradients at sums, the first `recurrent` of which came from h
//   vectors  of units in a panel; rows: sequences in a block
#pragma once

#include "recurrent.h"

namespace seqmodels {

// What the backward pass of a cell reads and writes; dh and dc are the gradients so far at h' and c'.
struct Gradients {
  const float *hs, *saved, *cs;
  float* at_sums;  // of this sequence and position: [slots*e]
  Vector dh, dc;
};

inline int64_t flat(const Sequences& s, const Place& p, int slots, int slot) {
  return ((p.b * s.time + p.t) * slots + slot) * s.units + p.first;
}

// Elman's network: h' = tanh(sum).
struct Elman {
  static constexpr int gates = 1, slots = 1, recurrent = 1, vectors = 2, rows = REGISTERS == 32 ? 8 : 2;
  static constexpr bool has_c = false;
  static constexpr bool begins_with_input(int) { return true; }

  static Vector forward(const Sequences&, const Outputs&, const Place&, const Vector (&sums)[1], const float*, Vector,
                        float*) {
    return tanh(sums[0]);
  }

  // Returns what reaches h directly; the gradients at the sums go to `at_sums`.
  static Vector backward(const Sequences& s, const Place& p, Gradients& g) {
    const Vector h = load(g.hs + flat(s, p, 1, 0), p.n);
    store(g.at_sums + p.first, g.dh * (1.0f - h * h), p.n);
    return Vector{};
  }
};

// The LSTM: gates input, forget, cell, output. It saves what they are.
struct Lstm {
  static constexpr int gates = 4, slots = 4, recurrent = 4, vectors = 1, rows = REGISTERS == 32 ? 6 : 2;
  static constexpr bool has_c = true;
  static constexpr bool begins_with_input(int) { return true; }

  static Vector forward(const Sequences& s, const Outputs& out, const Place& p, const Vector (&sums)[4], const float*,
                        Vector, float* c) {
    const Vector i = sigmoid(sums[0]), f = sigmoid(sums[1]), g = tanh(sums[2]), o = sigmoid(sums[3]);
    const Vector next = f * load(c) + i * g;
    store(c, next);
    if (out.saved) {
      const Vector gates[] = {i, f, g, o};
      for (int slot = 0; slot < 4; ++slot) store(out.saved + flat(s, p, 4, slot), gates[slot], p.n);
    }
    return o * tanh(next);
  }

  static Vector backward(const Sequences& s, const Place& p, Gradients& g) {
    Vector gate[4];
    for (int slot = 0; slot < 4; ++slot) gate[slot] = load(g.saved + flat(s, p, 4, slot), p.n);
    const auto [i, f, n, o] = gate;
    const Vector tanh_c = tanh(load(g.cs + flat(s, p, 1, 0), p.n));
    Vector before{};
    if (!s.resets(p.b, p.t))
      before = p.t ? load(g.cs + flat(s, {p.b, p.t - 1, p.first, p.n}, 1, 0), p.n)
                   : load(s.c0 + p.b * s.units + p.first, p.n);
    const Vector dc = g.dc + g.dh * o * (1.0f - tanh_c * tanh_c);
    const Vector at[] = {dc * n * i * (1.0f - i), dc * before * f * (1.0f - f), dc * i * (1.0f - n * n),
                         g.dh * tanh_c * o * (1.0f - o)};
    for (int slot = 0; slot < 4; ++slot) store(g.at_sums + slot * s.units + p.first, at[slot], p.n);
    g.dc = dc * f;
    return Vector{};
  }
};

// The GRU, "reset after": gates reset, update, new. The new gate's two sums stay apart. It saves the reset and update
// gates, U_n h + b_n, and the new gate; gradients are those at the same four, the third being at U_n h + b_n.
struct Gru {
  static constexpr int gates = 3, slots = 4, recurrent = 3, vectors = 1, rows = REGISTERS == 32 ? 6 : 3;
  static constexpr bool has_c = false;
  static constexpr bool begins_with_input(int gate) { return gate < 2; }

  static Vector forward(const Sequences& s, const Outputs& out, const Place& p, const Vector (&sums)[3], const float* z,
                        Vector h, float*) {
    const Vector r = sigmoid(sums[0]), update = sigmoid(sums[1]);
    const Vector from_h = sums[2] + load(s.bias_n + p.first, p.n), n = tanh(load(z + 2 * W) + r * from_h);
    if (out.saved) {
      const Vector saved[] = {r, update, from_h, n};
      for (int slot = 0; slot < 4; ++slot) store(out.saved + flat(s, p, 4, slot), saved[slot], p.n);
    }
    return n + update * (h - n);
  }

  static Vector backward(const Sequences& s, const Place& p, Gradients& g) {
    Vector value[4];
    for (int slot = 0; slot < 4; ++slot) value[slot] = load(g.saved + flat(s, p, 4, slot), p.n);
    const auto [r, update, from_h, n] = value;
    Vector h{};
    if (!s.resets(p.b, p.t))
      h = p.t ? load(g.hs + flat(s, {p.b, p.t - 1, p.first, p.n}, 1, 0), p.n)
              : load(s.h0 + p.b * s.units + p.first, p.n);
    const Vector at_n = g.dh * (1.0f - update) * (1.0f - n * n);
    const Vector at[] = {at_n * from_h * r * (1.0f - r), g.dh * (h - n) * update * (1.0f - update), at_n * r, at_n};
    for (int slot = 0; slot < 4; ++slot) store(g.at_sums + slot * s.units + p.first, at[slot], p.n);
    return g.dh * update;
  }
};

}  // namespace seqmodels
