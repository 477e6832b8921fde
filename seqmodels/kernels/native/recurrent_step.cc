// One token of a few sequences through recurrent layers that follow each other, in one call. What it costs is to read
// the weights. Every thread reads the same rows of each matrix at every token, and what it reads last it reads first at
// the next token, while it is still in its cache: the last layer's recurrent weights, half of them before and half
// after all others; or, where the first layer's product with h is known from the token before, both layers'.
#include <vector>

#include "cells.h"
#include "few_rows.h"

namespace ffi = xla::ffi;

namespace seqmodels {

constexpr int AT_ONCE = 4;  // rows of a matrix, as was fastest here

// The first layer's `w` and `bias` are not read: its input's share of the gates is given. Arrays that a cell does not
// have are not read either.
struct StepLayer {
  const float *h, *c, *w, *u, *bias, *bias_n;  // [b e], [b e], [e g*e], [e g*e], [g*e], [e]
  float *new_h, *new_c;                        // [b e]; they may lie where h and c lie
};

// An output layer over the last h; no columns: there is none.
struct Head {
  const float *w, *bias;  // [e n], [n]
  float* out;             // [b n]
  int64_t columns;
};

template <typename Cell>
class Step {
 public:
  static constexpr int G = Cell::gates;

  // ahead: the first layer's u · h, or null; next: that of the new h. [b g*e]
  Step(const Threads& threads, int64_t rows, int64_t units, const float* projected, const float* ahead, float* next,
       std::vector<StepLayer> layers, Head head)
      : threads_(threads),
        rows_(rows),
        units_(units),
        width_(G * units),
        projected_(projected),
        ahead_(ahead),
        next_(next),
        layers_(std::move(layers)),
        head_(head),
        shares_(threads.count()),
        sums_(shares_ * (layers_.size() * SUMS * size() + head_size())) {}

  void run() {
    // Which way to go through the weights. It changes no sum.
    static std::atomic<unsigned> calls{0};
    const bool back = calls.fetch_add(1, std::memory_order_relaxed) & 1;
    if ((2 * static_cast<int64_t>(layers_.size()) - 1) * units_ * width_ < 2 * SHARE) {
      Team alone;
      walk(back, 0, alone);
    } else {
      threads_.together([&](int member, Team& team) { walk(back, member, team); });
    }
  }

 private:
  // Of each layer and share of the rows: the sums over the input, and those over parts of the share of h.
  static constexpr int PARTS = 4, INPUT = 0, RECURRENT = 1, SUMS = RECURRENT + PARTS;

  int64_t size() const { return round_up(rows_ * width_, W); }
  float* sums(size_t layer, int share, int which) const {
    return sums_.get() + ((layer * shares_ + share) * SUMS + which) * size();
  }
  int64_t head_size() const { return round_up(rows_ * head_.columns, W); }
  float* head_sums(int share) const { return sums(layers_.size(), 0, 0) + share * head_size(); }
  int64_t edge_of(int share, int part = 0) const { return edge(units_, share * PARTS + part, shares_ * PARTS, W); }

  // Share by share and part by part, so that no sum depends on how many members the team has. A member reads no more of
  // any h than its own units, which no other writes.
  void walk(bool back, int member, Team& team) {
    const int begin = shares_ * member / team.members(), end = shares_ * (member + 1) / team.members();
    const size_t last = layers_.size() - 1;
    const auto multiply = [&](const float* x, const float* w, int64_t from, int64_t to, float* sums) {
      std::fill(sums, sums + size(), 0.0f);
      add<AT_ONCE>(rows_, width_, units_, from, to, x, w, sums, width_);
    };
    // Parts [from, to) of the product with h, in the order in which they are read.
    const auto remember = [&](size_t l, const float* h, int from = 0, int to = PARTS) {
      for (int share = begin; share < end; ++share)
        for (int i = from; i < to; ++i) {
          const int part = back ? PARTS - 1 - i : i;
          multiply(h, layers_[l].u, edge_of(share, part), edge_of(share, part + 1), sums(l, share, RECURRENT + part));
        }
    };
    const auto finish = [&](size_t l) {
      for (int share = begin; share < end; ++share) {
        float* all = sums(l, share, RECURRENT);
        for (int part = 1; part < PARTS; ++part)
          for (int64_t j = 0; j < size(); j += W) store(all + j, load(all + j) + load(all + part * size() + j));
      }
      team.wait();
    };
    const auto own_units = [&](auto&& body) {
      for (int64_t row = 0; row < rows_; ++row)
        for (int64_t j = edge_of(begin); j < edge_of(end); j += W) body(row, j);
    };

    if (!ahead_) remember(last, layers_[last].h, 0, PARTS / 2);
    for (size_t l = 0; l <= last; ++l) {
      const float* h = layers_[l].h;
      if (ahead_ && l == 1) back ? remember(0, layers_[0].new_h) : remember(last, layers_[last].h);
      if (l > 0)
        for (int share = begin; share < end; ++share)
          multiply(layers_[l - 1].new_h, layers_[l].w, edge_of(share), edge_of(share + 1), sums(l, share, INPUT));
      if (l == last && !ahead_)
        remember(l, h, PARTS / 2);
      else if (l == 0 ? !ahead_ : l < last || back)
        remember(l, h);
      if (l > 0 || !ahead_) finish(l);
      own_units([&](int64_t row, int64_t j) { unit(l, row, j); });
    }
    const int64_t n = head_.columns;
    if (n > 0)
      for (int share = begin; share < end; ++share) {
        std::fill_n(head_sums(share), head_size(), 0.0f);
        add<AT_ONCE>(rows_, n, units_, edge_of(share), edge_of(share + 1), layers_[last].new_h, head_.w,
                     head_sums(share), n);
      }
    if (ahead_) {
      if (!back || last == 0) remember(0, layers_[0].new_h);
      finish(0);
      own_units([&](int64_t row, int64_t j) {
        for (int64_t column = row * width_ + j; column < (row + 1) * width_; column += units_)
          store(next_ + column, total(0, RECURRENT, column, vector_at(j)), vector_at(j));
      });
    } else if (n > 0) {
      team.wait();
    }
    for (int64_t row = 0; row < rows_ && n > 0; ++row)
      for (int64_t j = edge(n, member, team.members(), W); j < edge(n, member + 1, team.members(), W); j += W) {
        const int count = static_cast<int>(std::min<int64_t>(W, n - j));
        Vector sum = load(head_.bias + j, count);
        for (int share = 0; share < shares_; ++share) sum += load(head_sums(share) + row * n + j, count);
        store(head_.out + row * n + j, sum, count);
      }
  }

  int vector_at(int64_t j) const { return static_cast<int>(std::min<int64_t>(W, units_ - j)); }

  // Over all shares.
  Vector total(size_t l, int which, int64_t column, int n) const {
    Vector found = load(sums(l, 0, which) + column, n);
    for (int share = 1; share < shares_; ++share) found += load(sums(l, share, which) + column, n);
    return found;
  }

  // The cell of one vector of units.
  void unit(size_t l, int64_t row, int64_t first) {
    const StepLayer& layer = layers_[l];
    const int n = vector_at(first);
    const int64_t at = row * units_ + first;
    alignas(64) float z[G * W], c[W];
    Vector gates[G];
    for (int g = 0; g < G; ++g) {
      const int64_t column = row * width_ + g * units_ + first;
      const Vector given =
          l == 0 ? load(projected_ + column, n) : load(layer.bias + g * units_ + first, n) + total(l, INPUT, column, n);
      store(z + g * W, given);
      gates[g] = l == 0 && ahead_ ? load(ahead_ + column, n) : total(l, RECURRENT, column, n);
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
  const float *projected_, *ahead_;
  float* next_;
  const std::vector<StepLayer> layers_;
  const Head head_;
  const int shares_;
  const Buffer sums_;
};

using Floats = ffi::Buffer<ffi::F32>;

// `ahead` of no elements: it is not known, and the next is not wanted; `w` likewise: no output layer. Further
// arguments: six a layer; further results: two.
template <typename Cell>
ffi::Error RecurrentStep(ffi::ThreadPool pool, Floats projected, Floats ahead, Floats w, Floats bias,
                         ffi::RemainingArgs args, ffi::ResultBuffer<ffi::F32> next, ffi::ResultBuffer<ffi::F32> out,
                         ffi::RemainingRets rets) {
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
  Step<Cell>(threads, rows, units, projected.typed_data(), ahead.element_count() ? ahead.typed_data() : nullptr,
             next->typed_data(), std::move(layers),
             {w.typed_data(), bias.typed_data(), out->typed_data(), static_cast<int64_t>(bias.element_count())})
      .run();
  return ffi::Error::Success();
}

inline auto step_binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .RemainingArgs()
      .Ret<Floats>()
      .Ret<Floats>()
      .RemainingRets();
}

}  // namespace seqmodels

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_rnn_step, seqmodels::RecurrentStep<seqmodels::Elman>,
                              seqmodels::step_binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_lstm_step, seqmodels::RecurrentStep<seqmodels::Lstm>,
                              seqmodels::step_binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_gru_step, seqmodels::RecurrentStep<seqmodels::Gru>, seqmodels::step_binding());
