// Two dense layers with GELU between: gelu(x w1 + b1) w2 + b2. A thread takes some rows through both, so that what is
// between stays in its cache; all elementwise work is done there. The forward pass saves the sums before the GELU.
#include "gemm.h"

namespace ffi = xla::ffi;

namespace seqmodels {

constexpr int64_t TILE = 14 * 16;  // rows

// tanh of what stands in GELU's approximation (Hendrycks & Gimpel, 2016).
constexpr float SLOPE = 0.7978845608028654f, CUBE = 0.044715f;
inline Vector gate(Vector z) { return tanh(SLOPE * z * (1.0f + CUBE * z * z)); }
inline Vector gelu(Vector z) { return 0.5f * z * (1.0f + gate(z)); }
inline Vector gelu_slope(Vector z) {
  const Vector t = gate(z);
  return 0.5f * (1.0f + t) + 0.5f * SLOPE * z * (1.0f - t * t) * (1.0f + 3.0f * CUBE * z * z);
}

// to[i] = f(i, number of floats) for every vector of a row.
template <typename F>
inline void each(int64_t size, float* to, F&& f) {
  for (int64_t i = 0; i < size; i += W) {
    const int n = static_cast<int>(std::min<int64_t>(W, size - i));
    store(to + i, f(i, n), n);
  }
}

// sums [n] = Σ of the rows [tiles n].
static void add_up(const float* rows, int64_t tiles, int64_t n, float* sums) {
  std::fill_n(sums, n, 0.0f);
  for (int64_t tile = 0; tile < tiles; ++tile)
    for (int64_t i = 0; i < n; ++i) sums[i] += rows[tile * n + i];
}

using Floats = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

// z has no elements where it is not wanted.
static ffi::Error Forward(ffi::ThreadPool pool, Floats x, Floats w1, Floats b1, Floats w2, Floats b2, Result y,
                          Result z) {
  const Threads threads(pool);
  const int64_t rows = x.dimensions()[0], d = x.dimensions()[1], hidden = w1.dimensions()[1], n = w2.dimensions()[1];
  const Panels up(threads, {w1.typed_data(), hidden, 1}, d, hidden), down(threads, {w2.typed_data(), n, 1}, hidden, n);
  threads.loop((rows + TILE - 1) / TILE, [&](int tile) {
    const int64_t first = tile * TILE, count = std::min(TILE, rows - first);
    const Buffer inner(count * hidden);
    gemm(count, from_matrix(Matrix{x.typed_data(), d, 1}.from(first, 0)), up, inner.get(), hidden);
    for (int64_t row = 0; row < count; ++row) {
      float* h = inner.get() + row * hidden;
      float* sums = z->element_count() ? z->typed_data() + (first + row) * hidden : nullptr;
      each(hidden, h, [&](int64_t i, int n) {
        const Vector sum = load(h + i, n) + load(b1.typed_data() + i, n);
        if (sums) store(sums + i, sum, n);
        return gelu(sum);
      });
      std::copy_n(b2.typed_data(), n, y->typed_data() + (first + row) * n);
    }
    gemm(count, from_matrix({inner.get(), hidden, 1}), down, y->typed_data() + first * n, n, true);
  });
  return ffi::Error::Success();
}

// dz may be the memory of z.
static ffi::Error Backward(ffi::ThreadPool pool, Floats x, Floats w1, Floats w2, Floats z, Floats dy, Result dx,
                           Result dw1, Result db1, Result dw2, Result db2, Result dz) {
  const Threads threads(pool);
  const int64_t rows = x.dimensions()[0], d = x.dimensions()[1], hidden = w1.dimensions()[1], n = w2.dimensions()[1];
  const float* sums = z.typed_data();
  const Matrix out{dy.typed_data(), n, 1};
  // dw2 = gelu(z)ᵀ dy: the GELU is taken while z is packed.
  const auto pack_inner = [&](int64_t i, int64_t p, int64_t count, int64_t depth, float* to) {
    pack<MR>(Matrix{sums, hidden, 1}.from(p, i), depth, count, to);
    each(depth * MR, to, [&](int64_t at, int n) { return gelu(load(to + at, n)); });
  };
  gemm(threads, hidden, n, rows, pack_inner, out, dw2->typed_data(), n);
  const Panels down(threads, {w2.typed_data(), 1, n}, n, hidden), up(threads, {w1.typed_data(), 1, hidden}, hidden, d);
  const int64_t tiles = (rows + TILE - 1) / TILE;
  const Buffer of_z(tiles * hidden), of_y(tiles * n);
  threads.loop(tiles, [&](int tile) {
    const int64_t first = tile * TILE, count = std::min(TILE, rows - first);
    const Buffer inner(count * hidden);
    float *sum_z = of_z.get() + tile * hidden, *sum_y = of_y.get() + tile * n;
    std::fill_n(sum_z, hidden, 0.0f);
    std::fill_n(sum_y, n, 0.0f);
    gemm(count, from_matrix(out.from(first, 0)), down, inner.get(), hidden);
    for (int64_t row = 0; row < count; ++row) {
      const float *before = sums + (first + row) * hidden, *dh = inner.get() + row * hidden,
                  *at_y = &out.at(first + row, 0);
      float* to = dz->typed_data() + (first + row) * hidden;
      each(hidden, to, [&](int64_t i, int n) {
        const Vector at = load(dh + i, n) * gelu_slope(load(before + i, n));
        store(sum_z + i, load(sum_z + i, n) + at, n);
        return at;
      });
      each(n, sum_y, [&](int64_t i, int n) { return load(sum_y + i, n) + load(at_y + i, n); });
    }
    gemm(count, from_matrix(Matrix{dz->typed_data(), hidden, 1}.from(first, 0)), up, dx->typed_data() + first * d, d);
  });
  add_up(of_z.get(), tiles, hidden, db1->typed_data());
  add_up(of_y.get(), tiles, n, db2->typed_data());
  gemm(threads, d, hidden, rows, from_matrix({x.typed_data(), 1, d}), {dz->typed_data(), hidden, 1}, dw1->typed_data(),
       hidden);
  return ffi::Error::Success();
}

}  // namespace seqmodels

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_mlp_forward, seqmodels::Forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_mlp_backward, seqmodels::Backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Arg<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>()
                                  .Ret<seqmodels::Floats>());
