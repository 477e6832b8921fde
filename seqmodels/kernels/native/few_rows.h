// The product of a few rows with a part of a matrix: what it costs is to read the matrix, once.
#pragma once

#include "gemm.h"

namespace seqmodels {

// Below so many floats a thread would take longer to wake than to read its share.
constexpr int64_t SHARE = 32768;

// to(j, width) for every vector of columns j, of which `width` floats are there.
template <typename To>
inline __attribute__((always_inline)) void each(int64_t columns, To&& to) {
  int64_t j = 0;
  for (; j + W <= columns; j += W) to(j, W);
  if (j < columns) to(j, static_cast<int>(columns - j));
}

// sums [m n] += x [m, first to last] · w [first to last, n], ROWS_AT_ONCE rows of the matrix together: each is read
// along itself, so that the processor fetches ahead.
template <int ROWS_AT_ONCE>
inline void add(int64_t m, int64_t n, int64_t d, int64_t first, int64_t last, const float* x, const float* w,
                float* sums, int64_t lds) {
  int64_t k = first;
  for (; k + ROWS_AT_ONCE <= last; k += ROWS_AT_ONCE)
    each(n, [&](int64_t j, int width) {
      Vector rows[ROWS_AT_ONCE];
#pragma GCC unroll 8
      for (int r = 0; r < ROWS_AT_ONCE; ++r) rows[r] = load(w + (k + r) * n + j, width);
      for (int64_t i = 0; i < m; ++i) {
        const float* by = x + i * d + k;
        Vector total = load(sums + i * lds + j, width);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS_AT_ONCE; ++r) total += by[r] * rows[r];
        store(sums + i * lds + j, total, width);
      }
    });
  for (; k < last; ++k)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) sums[i * lds + j] += x[i * d + k] * w[k * n + j];
}

}  // namespace seqmodels
