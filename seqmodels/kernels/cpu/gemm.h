// Matrix products. The right operand is packed into panels of NV vectors of columns, in which a row of the panel
// follows the other; the left one is read where it lies or packed likewise into panels of MR rows (Goto & van de Geijn,
// 2008).
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "threads.h"
#include "vector.h"

namespace seqmodels {

// Memory for panels, aligned to a cache line, not filled.
class Buffer {
 public:
  explicit Buffer(size_t floats)
      : data_(static_cast<float*>(std::aligned_alloc(64, (floats * sizeof(float) + 127) / 64 * 64)), std::free) {}
  float* get() const { return data_.get(); }

 private:
  std::unique_ptr<float, decltype(&std::free)> data_;
};

// A matrix in memory: element (i, j) is data[i * row + j * column].
struct Matrix {
  const float* data;
  int64_t row, column;
  const float& at(int64_t i, int64_t j) const { return data[i * row + j * column]; }
  Matrix from(int64_t i, int64_t j) const { return {data + i * row + j * column, row, column}; }
};

// sums[i][j] += Σ_k a(i, k) · b[k][j] for MR rows and NV vectors of columns; a(i, k) = a[i * row + k * column], and a
// row of b follows the one before after ldb.
template <int MR, int NV>
inline __attribute__((always_inline)) void multiply(int64_t depth, const float* a, int64_t row, int64_t column,
                                                    const float* b, Vector (&sums)[MR][NV], int64_t ldb = NV * W) {
  for (int64_t k = 0; k < depth; ++k, a += column, b += ldb) {
    Vector right[NV];
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) right[j] = load(b + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const Vector left = all(a[i * row]);
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) sums[i][j] += left * right[j];
    }
  }
}

// The same with a left operand whose rows are `row` apart and are read where they lie: three of them share one pointer,
// for there are fewer registers for pointers than rows.
template <int MR, int NV>
inline __attribute__((always_inline)) void multiply_rows(int64_t depth, const float* a, int64_t row, const float* b,
                                                         Vector (&sums)[MR][NV]) {
  constexpr int POINTERS = (MR + 2) / 3;
  const float* three[POINTERS];
#pragma GCC unroll 16
  for (int i = 0; i < POINTERS; ++i) three[i] = a + 3 * i * row;
  for (int64_t k = 0; k < depth; ++k, b += NV * W) {
    Vector right[NV];
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) right[j] = load(b + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const Vector left = all(three[i / 3][i % 3 * row]);
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) sums[i][j] += left * right[j];
    }
#pragma GCC unroll 16
    for (int i = 0; i < POINTERS; ++i) ++three[i];
  }
}

// Columns [0, n) of rows [0, depth) as one panel of N columns, with zeros behind. What it writes may reach a vector's
// rest beyond the panel's end.
template <int N>
void pack(Matrix b, int64_t depth, int64_t n, float* to) {
  n = std::min<int64_t>(n, N);
  if (b.row == 1 && b.column != 1) {
    for (int64_t k = 0; k < depth; k += W) {
      const int count = static_cast<int>(std::min<int64_t>(W, depth - k));
      for (int64_t j = 0; j < N; j += W) {
        Vector rows[W];
#pragma GCC unroll 16
        for (int i = 0; i < W; ++i) rows[i] = j + i < n ? load(&b.at(k, j + i), count) : Vector{};
        turn(rows);
#pragma GCC unroll 16
        for (int i = 0; i < W; ++i)
          if (i < count) store(to + (k + i) * N + j, rows[i]);
      }
    }
    return;
  }
  if (b.column == 1 && n == N) {
    for (int64_t k = 0; k < depth; ++k, to += N) std::memcpy(to, &b.at(k, 0), sizeof(float) * N);
    return;
  }
  for (int64_t k = 0; k < depth; ++k, to += N) {
    for (int64_t j = 0; j < n; ++j) to[j] = b.at(k, j);
    for (int64_t j = n; j < N; ++j) to[j] = 0;
  }
}

// The block of a big product: MR × NV vectors of sums, and how much of the operands is packed at a time.
constexpr int NV = 2;
constexpr int MR = REGISTERS == 32 ? 14 : 6;
constexpr int NR = NV * W;
constexpr int64_t DEPTH = 512, ROWS = 14 * 12, COLUMNS = 2048;

// One block: sums of rows [0, m) and columns [0, n) onto what lies at c, or instead of it.
inline void block(int64_t depth, const float* a, const float* b, float* c, int64_t ldc, int64_t m, int64_t n,
                  bool onto) {
  // What the sums will go to is asked for in time.
  for (int64_t i = 0; i < m; ++i)
    for (int j = 0; j < NV; ++j) __builtin_prefetch(c + i * ldc + j * W, 1);
  Vector sums[MR][NV] = {};
  multiply<MR, NV>(depth, a, 1, MR, b, sums);
  if (m == MR && n == NR) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) {
        float* to = c + i * ldc + j * W;
        store(to, onto ? sums[i][j] + load(to) : sums[i][j]);
      }
    return;
  }
  alignas(64) float whole[MR * NR];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) store(whole + i * NR + j * W, sums[i][j]);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = whole[i * NR + j] + (onto ? c[i * ldc + j] : 0.0f);
}

inline int64_t round_up(int64_t size, int64_t unit) { return (size + unit - 1) / unit * unit; }

// All columns of a right operand, panel by panel.
struct Panels {
  int64_t depth, columns;
  Buffer data;

  Panels(const Threads& threads, Matrix b, int64_t depth, int64_t columns)
      : depth(depth), columns(columns), data(depth * round_up(columns, NR)) {
    threads.loop((columns + NR - 1) / NR, [&](int panel) {
      pack<NR>(b.from(0, panel * NR), depth, columns - panel * NR, data.get() + panel * NR * depth);
    });
  }
  const float* at(int64_t column, int64_t k) const { return data.get() + column * depth + k * NR; }
};

// c [m n] = a [m k] · b [k n], or onto it, on this thread. pack_left(i, p, rows, depth, to) packs `depth` columns from
// p on of the rows from i on; right(j, p, columns, depth) is where the panels lie of columns from j on at the same
// depth, and how far they are apart.
template <typename PackLeft, typename Right>
void by_panels(int64_t m, int64_t n, int64_t k, PackLeft&& pack_left, Right&& right, float* c, int64_t ldc, bool onto) {
  const Buffer left(round_up(std::min(m, ROWS), MR) * std::min(k, DEPTH));
  for (int64_t j = 0; j < n; j += COLUMNS) {
    const int64_t columns = std::min(COLUMNS, n - j);
    for (int64_t p = 0; p < k; p += DEPTH) {
      const int64_t depth = std::min(DEPTH, k - p);
      const auto [panels, stride] = right(j, p, columns, depth);
      for (int64_t i = 0; i < m; i += ROWS) {
        const int64_t rows = std::min(ROWS, m - i);
        for (int64_t ii = 0; ii < rows; ii += MR) pack_left(i + ii, p, rows - ii, depth, left.get() + ii * depth);
        for (int64_t jj = 0; jj < columns; jj += NR)
          for (int64_t ii = 0; ii < rows; ii += MR)
            block(depth, left.get() + ii * depth, panels + jj / NR * stride, c + (i + ii) * ldc + j + jj, ldc,
                  std::min<int64_t>(MR, rows - ii), std::min<int64_t>(NR, columns - jj), onto || p > 0);
      }
    }
  }
}

// The same with a right operand in memory, packed as it is needed.
template <typename PackLeft>
void gemm(int64_t m, int64_t n, int64_t k, PackLeft&& pack_left, Matrix b, float* c, int64_t ldc, bool onto = false) {
  const Buffer packed(round_up(std::min(n, COLUMNS), NR) * std::min(k, DEPTH));
  const auto right = [&](int64_t j, int64_t p, int64_t columns, int64_t depth) {
    for (int64_t jj = 0; jj < columns; jj += NR)
      pack<NR>(b.from(p, j + jj), depth, columns - jj, packed.get() + jj * depth);
    return std::pair<const float*, int64_t>(packed.get(), NR * depth);
  };
  by_panels(m, n, k, pack_left, right, c, ldc, onto);
}

// The same with a right operand that has been packed.
template <typename PackLeft>
void gemm(int64_t m, PackLeft&& pack_left, const Panels& b, float* c, int64_t ldc, bool onto = false) {
  const auto right = [&](int64_t j, int64_t p, int64_t, int64_t) {
    return std::pair<const float*, int64_t>(b.at(j, p), NR * b.depth);
  };
  by_panels(m, b.columns, b.depth, pack_left, right, c, ldc, onto);
}

// Packs what lies in memory.
inline auto from_matrix(Matrix a) {
  return [a](int64_t i, int64_t p, int64_t rows, int64_t depth, float* to) {
    const Matrix part = a.from(i, p);
    pack<MR>({part.data, part.column, part.row}, depth, rows, to);
  };
}

// One of several parts of the same: some of the rows or of the columns, whichever there are more of.
template <typename PackLeft>
void part_of_gemm(int part, int parts, int64_t m, int64_t n, int64_t k, PackLeft&& pack_left, Matrix b, float* c,
                  int64_t ldc, bool onto = false) {
  if (m < n) {
    const int64_t first = edge(n, part, parts, NR), last = edge(n, part + 1, parts, NR);
    if (first < last) gemm(m, last - first, k, pack_left, b.from(0, first), c + first, ldc, onto);
    return;
  }
  const int64_t first = edge(m, part, parts, MR), last = edge(m, part + 1, parts, MR);
  const auto rest = [&](int64_t i, int64_t p, int64_t rows, int64_t depth, float* to) {
    pack_left(first + i, p, rows, depth, to);
  };
  if (first < last) gemm(last - first, n, k, rest, b, c + first * ldc, ldc, onto);
}

// The same on all threads.
template <typename PackLeft>
void gemm(const Threads& threads, int64_t m, int64_t n, int64_t k, PackLeft&& pack_left, Matrix b, float* c,
          int64_t ldc, bool onto = false) {
  // A right operand that many rows meet is packed once, for all; a deep one passes through the caches as it is packed.
  const bool shallow = k <= m;
  const int parts = shallow ? 2 * threads.count() : threads.count();  // more than threads, for one may be late
  if (m < n || !shallow) {
    threads.loop(parts, [&](int part) { part_of_gemm(part, parts, m, n, k, pack_left, b, c, ldc, onto); });
    return;
  }
  const Panels panels(threads, b, k, n);
  threads.loop(parts, [&](int part) {
    const int64_t first = edge(m, part, parts, MR), last = edge(m, part + 1, parts, MR);
    const auto rest = [&](int64_t i, int64_t p, int64_t rows, int64_t depth, float* to) {
      pack_left(first + i, p, rows, depth, to);
    };
    if (first < last) gemm(last - first, rest, panels, c + first * ldc, ldc, onto);
  });
}

}  // namespace seqmodels
