// One token of a few sequences through recurrent layers that follow each other, in one call. What it costs is to read
// the weights. Every thread reads the same rows of each matrix at every token, and half of those that it reads last it
// reads first at the next token, while they are still in its cache.
#include <vector>

#include "cells.h"
#include "few_rows.h"

namespace ffi = xla::ffi;

namespace seqmodels {

// The first layer's `w` and `bias` are not read: its input's share of the gates is given. Arrays that a cell does not
// have are not read either.
struct StepLayer {
  const float *h, *c, *w, *u, *bias, *bias_n;  // [b e], [b e], [e g*e], [e g*e], [g*e], [e]
  float *new_h, *new_c;                        // [b e]; they may lie where h and c lie
};

template <typename Cell>
class Step {
 public:
  static constexpr int G = Cell::gates;

  Step(const Threads& threads, int64_t rows, int64_t units, const float* projected, std::vector<StepLayer> layers)
      : threads_(threads),
        rows_(rows),
        units_(units),
        width_(G * units),
        projected_(projected),
        layers_(std::move(layers)),
        shares_(threads.count()),
        sums_(shares_ * layers_.size() * SUMS * size()) {}

  void run() {
    // Which half of the last layer's recurrent weights comes first. It changes no sum.
    static std::atomic<unsigned> calls{0};
    const int first = calls.fetch_add(1, std::memory_order_relaxed) & 1;
    if ((2 * static_cast<int64_t>(layers_.size()) - 1) * units_ * width_ < 2 * SHARE) {
      Team alone;
      walk(first, 0, alone);
    } else {
      threads_.together([&](int member, Team& team) { walk(first, member, team); });
    }
  }

 private:
  // Of each layer and share of the rows: the sums over the input, and those over each half of the share of h.
  enum { INPUT, RECURRENT, SUMS = RECURRENT + 2 };

  int64_t size() const { return round_up(rows_ * width_, W); }
  float* sums(size_t layer, int share, int which) const {
    return sums_.get() + ((layer * shares_ + share) * SUMS + which) * size();
  }
  int64_t half(int i) const { return edge(units_, i, 2 * shares_, W); }

  // Share by share and half by half, so that no sum depends on how many members the team has. A member reads no more of
  // any h than its own units, which no other writes.
  void walk(int first, int member, Team& team) {
    const int begin = shares_ * member / team.members(), end = shares_ * (member + 1) / team.members();
    const size_t last = layers_.size() - 1;
    const auto multiply = [&](const float* x, const float* w, int64_t from, int64_t to, float* sums) {
      std::fill(sums, sums + size(), 0.0f);
      add(rows_, width_, units_, from, to, x, w, sums, width_);
    };
    const auto remember = [&](size_t l, int share, int i) {
      multiply(layers_[l].h, layers_[l].u, half(2 * share + i), half(2 * share + i + 1), sums(l, share, RECURRENT + i));
    };
    for (int share = begin; share < end; ++share) remember(last, share, first);
    for (size_t l = 0; l <= last; ++l) {
      for (int share = begin; share < end; ++share) {
        if (l > 0)
          multiply(layers_[l - 1].new_h, layers_[l].w, half(2 * share), half(2 * share + 2), sums(l, share, INPUT));
        if (l < last) remember(l, share, first);
        remember(l, share, 1 - first);
        float *one = sums(l, share, RECURRENT), *other = sums(l, share, RECURRENT + 1);
        for (int64_t j = 0; j < size(); j += W) store(one + j, load(one + j) + load(other + j));
      }
      team.wait();
      for (int64_t row = 0; row < rows_; ++row)
        for (int64_t j = half(2 * begin); j < half(2 * end); j += W) unit(l, row, j);
    }
  }

  // The cell of one vector of units.
  void unit(size_t l, int64_t row, int64_t first) {
    const StepLayer& layer = layers_[l];
    const int n = static_cast<int>(std::min<int64_t>(W, units_ - first));
    const int64_t at = row * units_ + first;
    const auto total = [&](int which, int64_t column) {
      Vector found = load(sums(l, 0, which) + column, n);
      for (int share = 1; share < shares_; ++share) found += load(sums(l, share, which) + column, n);
      return found;
    };
    alignas(64) float z[G * W], c[W];
    Vector gates[G];
    for (int g = 0; g < G; ++g) {
      const int64_t column = g * units_ + first;
      const Vector given = l == 0 ? load(projected_ + row * width_ + column, n)
                                  : load(layer.bias + column, n) + total(INPUT, row * width_ + column);
      store(z + g * W, given);
      gates[g] = total(RECURRENT, row * width_ + column);
      if (Cell::begins_with_input(g)) gates[g] += given;
    }
    if (Cell::has_c) store(c, load(layer.c + at, n));
    Sequences s{};
    s.units = units_, s.bias_n = layer.bias_n;
    const Vector h = Cell::forward(s, Outputs{}, {row, 0, first, n}, gates, z, load(layer.h + at, n), c);
    store(layer.new_h + at, h, n);
    if (Cell::has_c) store(layer.new_c + at, load(c), n);
  }

  const Threads& threads_;
  const int64_t rows_, units_, width_;
  const float* projected_;
  const std::vector<StepLayer> layers_;
  const int shares_;
  const Buffer sums_;
};

using Floats = ffi::Buffer<ffi::F32>;

// Arguments after `projected`: six a layer; results: two.
template <typename Cell>
ffi::Error RecurrentStep(ffi::ThreadPool pool, Floats projected, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  constexpr size_t ARGS = 6, RETS = 2;
  const Threads threads(pool);
  const int64_t rows = projected.dimensions()[0], units = projected.dimensions()[1] / Cell::gates;
  std::vector<StepLayer> layers;
  for (size_t l = 0; l < rets.size() / RETS; ++l) {
    const float* in[ARGS];
    float* out[RETS];
    for (size_t i = 0; i < ARGS; ++i) {
      auto arg = args.get<Floats>(ARGS * l + i);
      if (!arg) return ffi::Error::InvalidArgument("arguments must be float32");
      in[i] = arg->typed_data();
    }
    for (size_t i = 0; i < RETS; ++i) {
      auto ret = rets.get<Floats>(RETS * l + i);
      if (!ret) return ffi::Error::InvalidArgument("results must be float32");
      out[i] = (*ret)->typed_data();
    }
    layers.push_back({in[0], in[1], in[2], in[3], in[4], in[5], out[0], out[1]});
  }
  Step<Cell>(threads, rows, units, projected.typed_data(), std::move(layers)).run();
  return ffi::Error::Success();
}

inline auto step_binding() {
  return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().RemainingArgs().RemainingRets();
}

}  // namespace seqmodels

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_rnn_step, seqmodels::RecurrentStep<seqmodels::Elman>,
                              seqmodels::step_binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_lstm_step, seqmodels::RecurrentStep<seqmodels::Lstm>,
                              seqmodels::step_binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_gru_step, seqmodels::RecurrentStep<seqmodels::Gru>, seqmodels::step_binding());
