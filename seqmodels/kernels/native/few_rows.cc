// The product of a few rows with a matrix, as in decoding: what it costs is to read the matrix, once, on all threads.
#include "tiles.h"

namespace ffi = xla::ffi;

namespace seqmodels {

// Below so many floats a thread would take longer to wake than to read its share.
constexpr int64_t SHARE = 32768;
constexpr int AT_ONCE = 8;  // rows of the matrix, each read along itself so that the processor fetches ahead

// to(j, width) for every vector of columns j, of which `width` floats are there.
template <typename To>
inline __attribute__((always_inline)) void each(int64_t columns, To&& to) {
  int64_t j = 0;
  for (; j + W <= columns; j += W) to(j, W);
  if (j < columns) to(j, static_cast<int>(columns - j));
}

// sums [m n] += x [m, first to last] · w [first to last, n]
static void add(int64_t m, int64_t n, int64_t d, int64_t first, int64_t last, const float* x, const float* w,
                float* sums, int64_t lds) {
  int64_t k = first;
  for (; k + AT_ONCE <= last; k += AT_ONCE)
    each(n, [&](int64_t j, int width) {
      Vector rows[AT_ONCE];
#pragma GCC unroll 8
      for (int r = 0; r < AT_ONCE; ++r) rows[r] = load(w + (k + r) * n + j, width);
      for (int64_t i = 0; i < m; ++i) {
        const float* by = x + i * d + k;
        Vector total = load(sums + i * lds + j, width);
#pragma GCC unroll 8
        for (int r = 0; r < AT_ONCE; ++r) total += by[r] * rows[r];
        store(sums + i * lds + j, total, width);
      }
    });
  for (; k < last; ++k)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) sums[i * lds + j] += x[i * d + k] * w[k * n + j];
}

static ffi::Error FewRows(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::Buffer<ffi::F32> w,
                          ffi::ResultBuffer<ffi::F32> y) {
  const int64_t m = x.dimensions()[0], d = x.dimensions()[1], n = w.dimensions()[1], size = round_up(m * n, W);
  const Threads threads(pool);
  const int parts =
      static_cast<int>(std::clamp<int64_t>(d * n / SHARE, 1, threads.count() > 1 ? 2 * threads.count() : 1));
  float* to = y->typed_data();
  std::fill(to, to + m * n, 0.0f);
  if (parts == 1) {
    add(m, n, d, 0, d, x.typed_data(), w.typed_data(), to, n);
    return ffi::Error::Success();
  }
  Buffer sums(parts * size);
  threads.loop(parts, [&](int i) {
    float* own = sums.get() + i * size;
    std::fill(own, own + size, 0.0f);
    add(m, n, d, edge(d, i, parts, AT_ONCE), edge(d, i + 1, parts, AT_ONCE), x.typed_data(), w.typed_data(), own, n);
  });
  for (int i = 0; i < parts; ++i)
    for (int64_t j = 0; j < m * n; ++j) to[j] += sums.get()[i * size + j];
  return ffi::Error::Success();
}

}  // namespace seqmodels

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_few_rows, seqmodels::FewRows,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>());
