// Softmax attention and its gradient (Dao et al., 2022): a block of scores exists at a time. The forward pass keeps
// each query's log-sum-exp, from which the backward pass computes the weights again.
#include "attention.h"

#include <cmath>

namespace ffi = xla::ffi;

namespace seqmodels {

struct Sizes {
  int64_t b, t, s, h, g, k, v;
  int64_t kw, vw;  // k and v in whole vectors
  bool causal;
  const int32_t *lower = nullptr, *upper = nullptr, *position = nullptr;

  int64_t blocks() const { return (t + QUERIES - 1) / QUERIES; }
  float scale() const { return 1 / std::sqrt(static_cast<float>(k)); }
};

// The keys and values of one row and key head, and one block of queries, of head `head`, at a time.
class Head {
 public:
  Head(const Sizes& sizes, int64_t row, int64_t key_head, const float* k, const float* v, float* memory)
      : z_(sizes),
        row_(row),
        keys_(memory),
        values_(keys_ + z_.s * z_.kw),
        queries_(values_ + z_.s * z_.vw),
        turned_(queries_ + QUERIES * z_.kw),
        rest(turned_ + QUERIES * z_.kw) {
    copy_rows(k + (row * z_.s * z_.g + key_head) * z_.k, z_.g * z_.k, z_.s, z_.k, z_.s, 1, keys_);
    copy_rows(v + (row * z_.s * z_.g + key_head) * z_.v, z_.g * z_.v, z_.s, z_.v, z_.s, 1, values_);
  }
  static size_t floats(const Sizes& z) { return (z.s + 2 * QUERIES) * z.kw + z.s * z.vw; }

  // Takes up the queries from `first` on.
  void take(const float* q, int64_t head, int64_t first) {
    first_ = first;
    n_ = std::min(QUERIES, z_.t - first);
    copy_rows(q + at(head) * z_.k, z_.h * z_.k, n_, z_.k, whole(n_), z_.scale(), queries_);
    turn_rows(queries_, whole(n_), z_.kw, turned_);
    if (!z_.position) return;
    for (int64_t i = 0; i < QUERIES; ++i) {
      lower_[i] = i < n_ ? z_.lower[row_ * z_.t + first + i] : 0;
      upper_[i] = i < n_ ? z_.upper[row_ * z_.t + first + i] : -1;
    }
    lowest_ = *std::min_element(lower_, lower_ + n_), highest_ = *std::max_element(upper_, upper_ + n_);
    last_lower_ = *std::max_element(lower_, lower_ + n_), first_upper_ = *std::min_element(upper_, upper_ + n_);
  }

  // body(mask, first key) for each block of keys of which some may be seen.
  template <typename Body>
  void each_block(Body&& body) const {
    for (int64_t key = 0, last = z_.causal ? std::min(z_.s, first_ + n_) : z_.s; key < last; key += KEYS) {
      const int64_t keys = std::min(KEYS, last - key);
      Mask mask{n_, keys, z_.causal ? key - first_ : -(int64_t{1} << 40), nullptr, nullptr, nullptr};
      if (z_.position) {
        const int32_t* position = z_.position + row_ * z_.s + key;
        int some = 0, every = 1;
        for (int64_t i = 0; i < keys; ++i) {
          some |= (position[i] >= lowest_) & (position[i] <= highest_);
          every &= (position[i] >= last_lower_) & (position[i] <= first_upper_);
        }
        if (!some) continue;
        if (!every) mask.lower = lower_, mask.upper = upper_, mask.position = position;
      }
      body(mask, key);
    }
  }

  int64_t at(int64_t head) const { return (row_ * z_.t + first_) * z_.h + head; }  // the first query in [b t h ·]
  int64_t log_sum_at(int64_t head) const { return (row_ * z_.h + head) * z_.t + first_; }
  int64_t queries() const { return n_; }
  void scores(const Mask& mask, int64_t key, float* to) const {
    seqmodels::scores(mask, z_.k, keys_ + key * z_.kw, z_.kw, turned_, to);
  }
  const float* key_rows(int64_t key) const { return keys_ + key * z_.kw; }
  const float* value_rows(int64_t key) const { return values_ + key * z_.vw; }
  const float* query_rows() const { return queries_; }  // scaled

 private:
  const Sizes& z_;
  int64_t row_, first_ = 0, n_ = 0;
  float *keys_, *values_, *queries_, *turned_;
  int32_t lower_[QUERIES], upper_[QUERIES], lowest_ = 0, highest_ = 0, last_lower_ = 0, first_upper_ = 0;

 public:
  float* rest;  // memory behind it
};

// The softmax of a block's queries over the blocks of keys so far.
struct Softmax {
  Vector top[VECTORS], total[VECTORS];
  alignas(64) float factor[QUERIES];  // for what was summed with the former top

  // Scores become weights. Returns whether the top moved.
  bool add(const Mask& mask, float* scores) {
    bool moved = false;
    for (int64_t j = 0; j < mask.vectors(); ++j) {
      mask.hide(j, scores);
      const int64_t last = mask.end((j + 1) * W);
      float* column = scores + j * W;
      const Vector now = largest(top[j], column, last);
      const Vector scaling = exp(top[j] - now), base = now > MASKED / 2 ? now : all(0);
      Vector sum = total[j] * scaling;
      int64_t i = 0;
      for (; i < last; ++i) {
        const Vector weight = exp(load(column + i * QUERIES) - base);
        sum += weight;
        store(column + i * QUERIES, weight);
      }
      for (; i < mask.keys; ++i) store(column + i * QUERIES, Vector{});
      moved |= std::memcmp(&now, &top[j], sizeof(now)) != 0;
      total[j] = sum, top[j] = now;
      store(factor + j * W, scaling);
    }
    return moved;
  }

  // Four at a time, for each of them waits for the one before.
  static Vector largest(Vector top, const float* column, int64_t rows) {
    Vector a = top, b = top, c = top, d = top;
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4, column += 4 * QUERIES) {
      a = maximum(a, load(column)), b = maximum(b, load(column + QUERIES));
      c = maximum(c, load(column + 2 * QUERIES)), d = maximum(d, load(column + 3 * QUERIES));
    }
    for (; i < rows; ++i, column += QUERIES) a = maximum(a, load(column));
    return maximum(maximum(a, b), maximum(c, d));
  }
};

static void forward(Head& head, const Sizes& z, int64_t h, float* out, float* log_sum) {
  float* weights = head.rest;
  float* sums = weights + KEYS * QUERIES;
  Softmax softmax;
  for (int j = 0; j < VECTORS; ++j) softmax.top[j] = all(MASKED), softmax.total[j] = all(0);
  std::fill(sums, sums + head.queries() * z.vw, 0.0f);
  bool begun = false;
  head.each_block([&](const Mask& mask, int64_t key) {
    head.scores(mask, key, weights);
    if (softmax.add(mask, weights) && begun) {
      for (int64_t i = 0; i < head.queries(); ++i)
        for (int64_t j = 0; j < z.vw; j += W) store(sums + i * z.vw + j, softmax.factor[i] * load(sums + i * z.vw + j));
    }
    begun = true;
    onto_queries(mask, weights, head.value_rows(key), z.vw, sums);
  });
  out += head.at(h) * z.v, log_sum += head.log_sum_at(h);
  float inverse[QUERIES];
  for (int64_t i = 0; i < head.queries(); ++i) {
    const float total = softmax.total[i / W][i % W];
    inverse[i] = total == 0 ? 0 : 1 / total;  // a fully masked row gives zeros, nan stays nan
    log_sum[i] = total == 0 ? 0 : softmax.top[i / W][i % W] + std::log(total);
  }
  const auto row = [&](int64_t i, int64_t j) { return inverse[i] * load(sums + i * z.vw + j); };
  write_rows(row, head.queries(), z.v, out, z.h * z.v);
}

// The gradient of one block of queries: dq, and what it adds to dk [s, kw] and dv [s, vw].
struct Backward {
  const float *out, *log_sum, *dout;
  float* dq;

  static size_t floats(const Sizes& z) { return 2 * KEYS * QUERIES + QUERIES * (z.kw + 2 * z.vw); }

  void run(Head& head, const Sizes& z, int64_t h, float* dk, float* dv) const {
    float* weights = head.rest;
    float* scores_ = weights + KEYS * QUERIES;
    float* rows = scores_ + KEYS * QUERIES;  // of dout
    float* turned = rows + QUERIES * z.vw;
    float* sums = turned + QUERIES * z.vw;
    alignas(64) float log_sums[QUERIES] = {}, deltas[QUERIES] = {};
    std::copy_n(log_sum + head.log_sum_at(h), head.queries(), log_sums);
    take(head, z, h, rows, deltas);
    turn_rows(rows, whole(head.queries()), z.vw, turned);
    std::fill(sums, sums + head.queries() * z.kw, 0.0f);
    head.each_block([&](const Mask& mask, int64_t key) {
      head.scores(mask, key, weights);
      seqmodels::scores(mask, z.v, head.value_rows(key), z.vw, turned, scores_);
      for (int64_t j = 0; j < mask.vectors(); ++j) softmax(mask, j, log_sums, deltas, weights, scores_);
      onto_keys(mask, weights, rows, z.vw, dv + key * z.vw);
      onto_keys(mask, scores_, head.query_rows(), z.kw, dk + key * z.kw);
      onto_queries(mask, scores_, head.key_rows(key), z.kw, sums);
    });
    const auto row = [&, scale = z.scale()](int64_t i, int64_t j) { return scale * load(sums + i * z.kw + j); };
    write_rows(row, head.queries(), z.k, dq + head.at(h) * z.k, z.h * z.k);
  }

  // The rows of dout, and deltas = Σ dout · out.
  void take(const Head& head, const Sizes& z, int64_t h, float* rows, float* deltas) const {
    const int64_t stride = z.h * z.v;
    const float* from = out + head.at(h) * z.v;
    copy_rows(dout + head.at(h) * z.v, stride, head.queries(), z.v, whole(head.queries()), 1, rows);
    for (int64_t i = 0; i < head.queries(); i += W) {
      Vector products[W] = {};
      for (int64_t r = 0; r < std::min<int64_t>(W, head.queries() - i); ++r) {
        fetch(from, stride, i + r, head.queries(), z.v);
        Vector total = {};
        for (int64_t j = 0; j < z.v; j += W)
          total += load(rows + (i + r) * z.vw + j) * load_row(from + (i + r) * stride, j, z.v);
        products[r] = total;
      }
      turn(products);
      for (int r = 1; r < W; ++r) products[0] += products[r];
      store(deltas + i, products[0]);
    }
  }

  // Scores become weights, and the gradients of weights those of scores, for vector j of the queries.
  static void softmax(const Mask& mask, int64_t j, const float* log_sums, const float* deltas, float* scores,
                      float* gradients) {
    mask.hide(j, scores);
    const Vector log_sum = load(log_sums + j * W), delta = load(deltas + j * W);
    const int64_t last = mask.end((j + 1) * W);
    for (int64_t i = 0; i < mask.keys; ++i) {
      float *score = scores + i * QUERIES + j * W, *gradient = gradients + i * QUERIES + j * W;
      const Vector weight = i < last ? exp(load(score) - log_sum) : Vector{};
      store(score, weight);
      store(gradient, i < last ? weight * (load(gradient) - delta) : Vector{});
    }
  }
};

// How many tasks share the queries of one key head, so that no thread is without.
static int64_t parts_of(const Sizes& z, const Threads& threads, int64_t each) {
  const int64_t heads = z.b * z.g, wanted = threads.count() == 1 ? 1 : each * threads.count();
  return std::clamp<int64_t>((wanted + heads - 1) / heads, 1, z.blocks() * (z.h / z.g));
}

using Floats = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

static ffi::ErrorOr<Sizes> sizes(Floats q, Floats k, Floats v, bool causal, ffi::RemainingArgs bounds) {
  const auto a = q.dimensions(), b = k.dimensions();
  const int64_t width = v.dimensions()[3];
  Sizes z{a[0], a[1], b[1], a[2], b[2], a[3], width, whole(a[3]), whole(width), causal};
  if (bounds.size() == 3) {
    const int32_t** to[] = {&z.lower, &z.upper, &z.position};
    for (int i = 0; i < 3; ++i) {
      auto array = bounds.get<ffi::Buffer<ffi::S32>>(i);
      if (!array) return ffi::Unexpected(array.error());
      *to[i] = array->typed_data();
    }
  }
  return z;
}

// body(h) for each block of queries that falls to part `part` of a key head.
template <typename Body>
static void each_query_block(Head& head, const Sizes& z, const float* q, int64_t key_head, int64_t part, int64_t parts,
                             Body&& body) {
  const int64_t shared = z.h / z.g;
  for (int64_t i = part; i < z.blocks() * shared; i += parts) {
    const int64_t h = key_head * shared + i / z.blocks();
    head.take(q, h, i % z.blocks() * QUERIES);
    body(h);
  }
}

static ffi::Error Forward(ffi::ThreadPool pool, Floats q, Floats k, Floats v, ffi::RemainingArgs bounds, Result out,
                          Result log_sum, bool causal) {
  const auto found = sizes(q, k, v, causal, bounds);
  if (!found) return found.error();
  const Sizes& z = *found;
  const Threads threads(pool);
  const int64_t parts = parts_of(z, threads, 4);
  threads.loop(z.b * z.g * parts, [&](int task) {
    const int64_t row = task / parts / z.g, g = task / parts % z.g;
    float* memory = scratch(Head::floats(z) + KEYS * QUERIES + QUERIES * z.vw);
    Head head(z, row, g, k.typed_data(), v.typed_data(), memory);
    each_query_block(head, z, q.typed_data(), g, task % parts, parts,
                     [&](int64_t h) { forward(head, z, h, out->typed_data(), log_sum->typed_data()); });
  });
  return ffi::Error::Success();
}

static ffi::Error BackwardHandler(ffi::ThreadPool pool, Floats q, Floats k, Floats v, Floats out, Floats log_sum,
                                  Floats dout, ffi::RemainingArgs bounds, Result dq, Result dk, Result dv,
                                  bool causal) {
  const auto found = sizes(q, k, v, causal, bounds);
  if (!found) return found.error();
  const Sizes& z = *found;
  const Threads threads(pool);
  const int64_t parts = parts_of(z, threads, 2), each = z.s * (z.kw + z.vw);
  // Parts of a head have sums of their own, which are added in their order.
  const Buffer partial(parts == 1 ? 0 : z.b * z.g * parts * each);
  const Backward backward{out.typed_data(), log_sum.typed_data(), dout.typed_data(), dq->typed_data()};
  const auto write = [&](const float* sums, int64_t row, int64_t g) {
    const auto rows = [&](const float* from, int64_t width) {
      return [=](int64_t i, int64_t j) {
        Vector total = load(from + i * width + j);
        for (int64_t part = 1; part < parts; ++part) total += load(from + part * each + i * width + j);
        return total;
      };
    };
    const int64_t at = row * z.s * z.g + g;
    write_rows(rows(sums, z.kw), z.s, z.k, dk->typed_data() + at * z.k, z.g * z.k);
    write_rows(rows(sums + z.s * z.kw, z.vw), z.s, z.v, dv->typed_data() + at * z.v, z.g * z.v);
  };
  threads.loop(z.b * z.g * parts, [&](int task) {
    const int64_t row = task / parts / z.g, g = task / parts % z.g;
    float* memory = scratch(Head::floats(z) + Backward::floats(z) + (parts == 1 ? each : 0));
    Head head(z, row, g, k.typed_data(), v.typed_data(), memory);
    float* sums = parts == 1 ? head.rest + Backward::floats(z) : partial.get() + task * each;
    std::fill(sums, sums + each, 0.0f);
    each_query_block(head, z, q.typed_data(), g, task % parts, parts,
                     [&](int64_t h) { backward.run(head, z, h, sums, sums + z.s * z.kw); });
    if (parts == 1) write(sums, row, g);
  });
  if (parts > 1) threads.loop(z.b * z.g, [&](int i) { write(partial.get() + i * parts * each, i / z.g, i % z.g); });
  return ffi::Error::Success();
}

}  // namespace seqmodels

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_attention_forward, seqmodels::Forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .RemainingArgs()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<bool>("causal"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_attention_backward, seqmodels::BackwardHandler,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .RemainingArgs()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<bool>("causal"));
