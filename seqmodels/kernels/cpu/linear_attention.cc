// Linear attention in chunks, each head a task: scores inside a chunk, a state between chunks. The gradients take two
// passes that carry the state forwards (for the queries) and its gradient backwards (for keys and values), so that no
// state of a chunk is kept.
#include "tiles.h"

namespace ffi = xla::ffi;

namespace seqmodels {

using Floats = ffi::Buffer<ffi::F32>;
using Results = ffi::ResultBuffer<ffi::F32>;

// The sizes of a call, and those of a chunk's matrices: all of them multiples of a vector, zeros behind.
struct Sizes {
  int64_t b, t, h, k, v, chunk;
  int64_t rows = round_up(chunk, TILE), c = round_up(chunk, W), K = round_up(k, W), V = round_up(v, W);

  Sizes(const Floats& keys, const Floats& values, int64_t chunk)
      : b(keys.dimensions()[0]),
        t(keys.dimensions()[1]),
        h(keys.dimensions()[2]),
        k(keys.dimensions()[3]),
        v(values.dimensions()[3]),
        chunk(chunk) {}
  int64_t chunks() const { return (t + chunk - 1) / chunk; }
};

// One head of one row of the batch, and memory for its chunks.
class Head {
 public:
  Head(const Sizes& n, int64_t task, const bool* reset)
      : n_(n),
        row_(task / n.h),
        head_(task % n.h),
        task_(task),
        reset_(reset),
        memory_(8 * n.c * std::max(n.K, n.V) + 4 * n.c * n.c + 3 * n.K * n.V + n.K + 2 * n.c + W),
        free_(memory_.get()) {
    triangle_ = take(n.c * n.c), pairs_ = take(n.c * n.c), keep = take(n.c);
    for (int64_t i = 0; i < n.c; ++i)
      for (int64_t j = 0; j < n.c; ++j) triangle_[i * n.c + j] = j <= i;
  }

  float* take(int64_t floats) {
    float* taken = free_;
    std::fill(taken, taken + floats, 0.0f);
    free_ += floats;
    return taken;
  }

  // Goes to a chunk: what each pair of its tokens weighs, and the incoming state at each.
  void go(int64_t chunk) {
    first_ = chunk * n_.chunk, count_ = std::min(n_.chunk, n_.t - first_);
    const bool* starts = reset_ ? reset_ + row_ * n_.t + first_ : nullptr;
    plain = !starts || !std::any_of(starts, starts + count_, [](bool s) { return s; });
    weights = triangle_;
    if (plain) return;
    weights = pairs_;
    for (int64_t i = 0; i < n_.rows; ++i) {
      const float kept = i >= count_ || !starts[i];
      float* now = pairs_ + i * n_.c;
      for (int64_t j = 0; j < n_.c; ++j) now[j] = i && j < i ? kept * (now - n_.c)[j] : float(j == i);
      keep[i] = kept * (i ? keep[i - 1] : 1.0f);
    }
  }

  const float* put() const { return weights + (n_.rows - 1) * n_.c; }  // what each token weighs in the next state
  float end() const { return plain ? 1.0f : keep[n_.rows - 1]; }       // and the state before

  // The chunk's tokens of an array [b t h width], zeros behind.
  void read(const float* from, int64_t width, float* to, int64_t ldt) const {
    from += ((row_ * n_.t + first_) * n_.h + head_) * width;
    for (int64_t i = 0; i < n_.rows; ++i, from += n_.h * width, to += ldt)
      for (int64_t j = 0; j < ldt; j += W)
        store(to + j, i < count_ ? load(from + j, static_cast<int>(std::clamp<int64_t>(width - j, 0, W))) : Vector{});
  }
  void write(const float* from, int64_t width, int64_t ldf, float* to) const {
    to += ((row_ * n_.t + first_) * n_.h + head_) * width;
    for (int64_t i = 0; i < count_; ++i, to += n_.h * width, from += ldf)
      for (int64_t j = 0; j < width; j += W)
        store(to + j, load(from + j), static_cast<int>(std::min<int64_t>(W, width - j)));
  }
  // This head's part of an array [b h rows columns], with zeros around.
  void read_state(const float* from, int64_t rows, int64_t columns, float* to, int64_t ldt) const {
    from += task_ * rows * columns;
    for (int64_t i = 0; i < rows; ++i) std::copy_n(from + i * columns, columns, to + i * ldt);
  }
  void write_state(const float* from, int64_t ldf, int64_t rows, int64_t columns, float* to) const {
    to += task_ * rows * columns;
    for (int64_t i = 0; i < rows; ++i) std::copy_n(from + i * ldf, columns, to + i * columns);
  }

  // Rows of [c width] by what `by` says of each.
  void scale(float* rows, int64_t width, const float* by) const {
    if (plain) return;
    for (int64_t i = 0; i < n_.rows; ++i)
      for (int64_t j = 0; j < width; j += W) store(rows + i * width + j, by[i] * load(rows + i * width + j));
  }
  void fade(float* state, int64_t floats) const {
    if (plain) return;
    for (int64_t j = 0; j < floats; j += W) store(state + j, end() * load(state + j));
  }

  // to [c c] = weights ⊙ (left [c depth] · right [depth c] + plus, a number a row)
  void scores(const float* left, int64_t depth, const float* right, float* to, const float* plus = nullptr) const {
    lower_product(n_.rows, depth, {left, depth, 1}, right, n_.c, to, n_.c);
    for (int64_t i = 0; i < n_.rows; ++i)
      for (int64_t j = 0; j < round_up(i / TILE * TILE + TILE, W); j += W) {
        float* at = to + i * n_.c + j;
        store(at, load(weights + i * n_.c + j) * (load(at) + (plus ? plus[i] : 0.0f)));
      }
  }

  bool plain = true;  // no document starts in the chunk
  const float* weights = nullptr;
  float* keep = nullptr;

 private:
  const Sizes& n_;
  int64_t row_, head_, task_, first_ = 0, count_ = 0;
  const bool* reset_;
  Buffer memory_;
  float *free_, *triangle_, *pairs_;
};

// to += Σ_i by_i · row_i for rows [c width]; by null: ones.
static void add_rows(int64_t count, const float* rows, int64_t width, const float* by, float* to) {
  for (int64_t j = 0; j < width; j += W) {
    Vector total = load(to + j);
    for (int64_t i = 0; i < count; ++i) total += (by ? by[i] : 1.0f) * load(rows + i * width + j);
    store(to + j, total);
  }
}

static float dot(const float* a, const float* b, int64_t width) {
  Vector total = {};
  for (int64_t j = 0; j < width; j += W) total += load(a + j) * load(b + j);
  return sum(total);
}

static const bool* flags(const ffi::Buffer<ffi::PRED>& reset) {
  return reset.element_count() ? reset.typed_data() : nullptr;
}

static ffi::Error Forward(ffi::ThreadPool pool, Floats q, Floats k, Floats v, Floats s, Floats normaliser,
                          ffi::Buffer<ffi::PRED> reset, Results y, Results sums, Results s_end, Results n_end,
                          int64_t chunk) {
  const Sizes n(k, v, chunk);
  const bool normalised = normaliser.element_count() > 0;
  Threads(pool).loop(static_cast<int>(n.b * n.h), [&](int task) {
    Head at(n, task, flags(reset));
    float *queries = at.take(n.c * n.K), *keys = at.take(n.c * n.K), *turned = at.take(n.K * n.c);
    float *values = at.take(n.c * n.V), *out = at.take(n.c * n.V), *scores = at.take(n.c * n.c);
    float *state = at.take(n.K * n.V), *total = at.take(n.K), *own = at.take(n.c + W);
    at.read_state(s.typed_data(), n.k, n.v, state, n.V);
    if (normalised) at.read_state(normaliser.typed_data(), 1, n.k, total, n.K);
    for (int64_t i = 0; i < n.chunks(); ++i) {
      at.go(i);
      at.read(q.typed_data(), n.k, queries, n.K);
      at.read(k.typed_data(), n.k, keys, n.K);
      at.read(v.typed_data(), n.v, values, n.V);
      transpose(n.c, n.K, keys, n.K, turned, n.c);
      at.scores(queries, n.K, turned, scores);
      product(n.rows, n.V, n.K, {queries, n.K, 1}, state, n.V, out, n.V);
      at.scale(out, n.V, at.keep);
      product(n.rows, n.V, n.rows, {scores, n.c, 1}, values, n.V, out, n.V, true, Part::LOWER);
      at.write(out, n.v, n.V, y->typed_data());
      at.scale(keys, n.K, at.put());
      at.fade(state, n.K * n.V);
      product(n.K, n.V, n.rows, {keys, 1, n.K}, values, n.V, state, n.V, true);
      if (!normalised) continue;
      for (int64_t r = 0; r < n.rows; ++r) {
        own[r] = (at.plain ? 1.0f : at.keep[r]) * dot(queries + r * n.K, total, n.K);
        for (int64_t j = 0; j <= r; ++j) own[r] += scores[r * n.c + j];
      }
      at.write(own, 1, 1, sums->typed_data());
      at.fade(total, n.K);
      add_rows(n.rows, keys, n.K, nullptr, total);
    }
    at.write_state(state, n.V, n.k, n.v, s_end->typed_data());
    if (normalised) at.write_state(total, n.K, 1, n.k, n_end->typed_data());
  });
  return ffi::Error::Success();
}

// What the gradients of a head read and write; null: there is no normaliser.
struct Pass {
  const float *q, *k, *v, *s, *n, *dy, *dsums, *ds_end, *dn_end;
  float *dq, *dk, *dv, *ds, *dn;
};

// dq = weights ⊙ (dy vᵀ + dsums) · k + dy · stateᵀ, the state carried forwards, transposed.
static void gradients_of_queries(const Sizes& n, int64_t task, const bool* reset, const Pass& a) {
  Head at(n, task, reset);
  float *keys = at.take(n.c * n.K), *values = at.take(n.c * n.V), *turned = at.take(n.V * n.c);
  float *dy = at.take(n.c * n.V), *dq = at.take(n.c * n.K), *scores = at.take(n.c * n.c);
  float *state = at.take(n.V * n.K), *first = at.take(n.K * n.V), *total = at.take(n.K), *own = at.take(n.c + W);
  at.read_state(a.s, n.k, n.v, first, n.V);
  transpose(n.K, n.V, first, n.V, state, n.K);
  if (a.n) at.read_state(a.n, 1, n.k, total, n.K);
  for (int64_t i = 0; i < n.chunks(); ++i) {
    at.go(i);
    at.read(a.k, n.k, keys, n.K);
    at.read(a.v, n.v, values, n.V);
    at.read(a.dy, n.v, dy, n.V);
    if (a.n) at.read(a.dsums, 1, own, 1);
    transpose(n.c, n.V, values, n.V, turned, n.c);
    at.scores(dy, n.V, turned, scores, a.n ? own : nullptr);
    product(n.rows, n.K, n.V, {dy, n.V, 1}, state, n.K, dq, n.K);
    for (int64_t r = 0; a.n && r < n.rows; ++r)
      for (int64_t j = 0; j < n.K; j += W) store(dq + r * n.K + j, load(dq + r * n.K + j) + own[r] * load(total + j));
    at.scale(dq, n.K, at.keep);
    product(n.rows, n.K, n.rows, {scores, n.c, 1}, keys, n.K, dq, n.K, true, Part::LOWER);
    at.write(dq, n.k, n.K, a.dq);
    at.scale(keys, n.K, at.put());
    at.fade(state, n.V * n.K);
    product(n.V, n.K, n.rows, {values, 1, n.V}, keys, n.K, state, n.K, true);
    if (!a.n) continue;
    at.fade(total, n.K);
    add_rows(n.rows, keys, n.K, nullptr, total);
  }
}

// dk = (weights ⊙ (dy vᵀ + dsums))ᵀ · q + v · dstateᵀ and dv = (weights ⊙ q kᵀ)ᵀ · dy + k · dstate, backwards.
static void gradients_of_keys(const Sizes& n, int64_t task, const bool* reset, const Pass& a) {
  Head at(n, task, reset);
  float *queries = at.take(n.c * n.K), *keys = at.take(n.c * n.K), *values = at.take(n.c * n.V);
  float *dy = at.take(n.c * n.V), *turned = at.take(n.c * std::max(n.K, n.V)), *scores = at.take(n.c * n.c);
  float *dk = at.take(n.c * n.K), *dv = at.take(n.c * n.V), *own = at.take(n.c + W), *dtotal = at.take(n.K);
  float *dstate = at.take(n.K * n.V), *dturned = at.take(n.V * n.K);
  at.read_state(a.ds_end, n.k, n.v, dstate, n.V);
  if (a.n) at.read_state(a.dn_end, 1, n.k, dtotal, n.K);
  for (int64_t i = n.chunks() - 1; i >= 0; --i) {
    at.go(i);
    at.read(a.q, n.k, queries, n.K);
    at.read(a.k, n.k, keys, n.K);
    at.read(a.v, n.v, values, n.V);
    at.read(a.dy, n.v, dy, n.V);
    if (a.n) at.read(a.dsums, 1, own, 1);
    transpose(n.K, n.V, dstate, n.V, dturned, n.K);
    product(n.rows, n.K, n.V, {values, n.V, 1}, dturned, n.K, dk, n.K);
    for (int64_t r = 0; a.n && r < n.rows; ++r)
      for (int64_t j = 0; j < n.K; j += W) store(dk + r * n.K + j, load(dk + r * n.K + j) + load(dtotal + j));
    at.scale(dk, n.K, at.put());
    transpose(n.c, n.V, values, n.V, turned, n.c);
    at.scores(dy, n.V, turned, scores, a.n ? own : nullptr);
    product(n.rows, n.K, n.rows, {scores, 1, n.c}, queries, n.K, dk, n.K, true, Part::UPPER);
    product(n.rows, n.V, n.K, {keys, n.K, 1}, dstate, n.V, dv, n.V);
    at.scale(dv, n.V, at.put());
    transpose(n.c, n.K, keys, n.K, turned, n.c);
    at.scores(queries, n.K, turned, scores);
    product(n.rows, n.V, n.rows, {scores, 1, n.c}, dy, n.V, dv, n.V, true, Part::UPPER);
    at.write(dk, n.k, n.K, a.dk);
    at.write(dv, n.v, n.V, a.dv);
    at.scale(queries, n.K, at.keep);
    at.fade(dstate, n.K * n.V);
    product(n.K, n.V, n.rows, {queries, 1, n.K}, dy, n.V, dstate, n.V, true);
    if (!a.n) continue;
    at.fade(dtotal, n.K);
    add_rows(n.rows, queries, n.K, own, dtotal);
  }
  at.write_state(dstate, n.V, n.k, n.v, a.ds);
  if (a.n) at.write_state(dtotal, n.K, 1, n.k, a.dn);
}

static ffi::Error Backward(ffi::ThreadPool pool, Floats q, Floats k, Floats v, Floats s, Floats normaliser,
                           ffi::Buffer<ffi::PRED> reset, Floats dy, Floats dsums, Floats ds_end, Floats dn_end,
                           Results dq, Results dk, Results dv, Results ds, Results dn, int64_t chunk) {
  const Sizes n(k, v, chunk);
  const Pass all{q.typed_data(),
                 k.typed_data(),
                 v.typed_data(),
                 s.typed_data(),
                 normaliser.element_count() ? normaliser.typed_data() : nullptr,
                 dy.typed_data(),
                 dsums.typed_data(),
                 ds_end.typed_data(),
                 dn_end.typed_data(),
                 dq->typed_data(),
                 dk->typed_data(),
                 dv->typed_data(),
                 ds->typed_data(),
                 dn->typed_data()};
  Threads(pool).loop(static_cast<int>(2 * n.b * n.h),
                     [&](int i) { (i % 2 ? gradients_of_keys : gradients_of_queries)(n, i / 2, flags(reset), all); });
  return ffi::Error::Success();
}

}  // namespace seqmodels

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_linear_forward, seqmodels::Forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<ffi::Buffer<ffi::PRED>>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Attr<int64_t>("chunk"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_linear_backward, seqmodels::Backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<ffi::Buffer<ffi::PRED>>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Attr<int64_t>("chunk"));
