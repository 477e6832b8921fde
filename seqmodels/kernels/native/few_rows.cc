// The product of a few rows with a matrix, as in decoding: what it costs is to read the matrix, once, on all threads.
#include "few_rows.h"

namespace ffi = xla::ffi;

namespace seqmodels {

constexpr int AT_ONCE = 8;  // rows of a matrix, as was fastest here

static ffi::Error FewRows(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::Buffer<ffi::F32> w,
                          ffi::ResultBuffer<ffi::F32> y) {
  const int64_t m = x.dimensions()[0], d = x.dimensions()[1], n = w.dimensions()[1], size = round_up(m * n, W);
  const Threads threads(pool);
  const int parts =
      static_cast<int>(std::clamp<int64_t>(d * n / SHARE, 1, threads.count() > 1 ? 2 * threads.count() : 1));
  float* to = y->typed_data();
  std::fill(to, to + m * n, 0.0f);
  if (parts == 1) {
    add<AT_ONCE>(m, n, d, 0, d, x.typed_data(), w.typed_data(), to, n);
    return ffi::Error::Success();
  }
  Buffer sums(parts * size);
  threads.loop(parts, [&](int i) {
    float* own = sums.get() + i * size;
    std::fill(own, own + size, 0.0f);
    add<AT_ONCE>(m, n, d, edge(d, i, parts, AT_ONCE), edge(d, i + 1, parts, AT_ONCE), x.typed_data(), w.typed_data(),
                 own, n);
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
