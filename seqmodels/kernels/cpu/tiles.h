// Products of matrices that are already in the nearest caches: rows padded to whole vectors, nothing packed.
#pragma once

#include <utility>

#include "gemm.h"

namespace seqmodels {

constexpr int TILE = 4;                                // rows at a time
constexpr int TILE_VECTORS = REGISTERS == 32 ? 4 : 2;  // vectors of columns at a time

enum class Part { ALL, LOWER, UPPER };  // of a left operand: where it is not zero

template <int N>
inline void tile(int64_t depth, Matrix left, const float* right, int64_t ldr, float* to, int64_t ldt, bool onto) {
  Vector sums[TILE][N];
  for (int i = 0; i < TILE; ++i)
    for (int j = 0; j < N; ++j) sums[i][j] = onto ? load(to + i * ldt + j * W) : Vector{};
  const float* a = left.data;
  for (int64_t k = 0; k < depth; ++k, a += left.column, right += ldr) {
    Vector row[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) row[j] = load(right + j * W);
#pragma GCC unroll 4
    for (int i = 0; i < TILE; ++i) {
      const Vector one = all(a[i * left.row]);
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) sums[i][j] += one * row[j];
    }
  }
  for (int i = 0; i < TILE; ++i)
    for (int j = 0; j < N; ++j) store(to + i * ldt + j * W, sums[i][j]);
}

// to [rows columns] = left [rows depth] · right [depth columns], or onto it. rows: a multiple of TILE; columns: of W.
inline void product(int64_t rows, int64_t columns, int64_t depth, Matrix left, const float* right, int64_t ldr,
                    float* to, int64_t ldt, bool onto = false, Part part = Part::ALL) {
  for (int64_t i = 0; i < rows; i += TILE) {
    const int64_t first = part == Part::UPPER ? std::min(i, depth) : 0;
    const int64_t last = part == Part::LOWER ? std::min(i + TILE, depth) : depth;
    const Matrix a = left.from(i, first);
    const float* b = right + first * ldr;
    for (int64_t j = 0; j < columns; j += TILE_VECTORS * W) {
      float* c = to + i * ldt + j;
      switch (std::min<int64_t>(TILE_VECTORS, (columns - j) / W)) {
        case 1:
          tile<1>(last - first, a, b + j, ldr, c, ldt, onto);
          break;
        case 2:
          tile<2>(last - first, a, b + j, ldr, c, ldt, onto);
          break;
        case 3:
          tile<3>(last - first, a, b + j, ldr, c, ldt, onto);
          break;
        default:
          tile<TILE_VECTORS>(last - first, a, b + j, ldr, c, ldt, onto);
      }
    }
  }
}

// The same where only columns up to the row's own are wanted; others are anything.
inline void lower_product(int64_t rows, int64_t depth, Matrix left, const float* right, int64_t ldr, float* to,
                          int64_t ldt) {
  for (int64_t i = 0; i < rows; i += TILE)
    product(TILE, round_up(i + TILE, W), depth, left.from(i, 0), right, ldr, to + i * ldt, ldt);
}

template <int H, size_t... I>
inline void exchange(Vector& a, Vector& b, std::index_sequence<I...>) {
  const Vector first = __builtin_shufflevector(a, b, (I & H ? W + I - H : I)...);
  b = __builtin_shufflevector(a, b, (I & H ? W + I : I + H)...);
  a = first;
}

// Halves of halves of a square of W × W change places.
template <int H = W / 2>
inline __attribute__((always_inline)) void turn(Vector (&square)[W]) {
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i)
    if (!(i & H)) exchange<H>(square[i], square[i + H], std::make_index_sequence<W>());
  if constexpr (H > 1) turn<H / 2>(square);
}

// to [columns rows] = the transpose of from [rows columns], both multiples of W.
inline void transpose(int64_t rows, int64_t columns, const float* from, int64_t ldf, float* to, int64_t ldt) {
  for (int64_t i = 0; i < rows; i += W)
    for (int64_t j = 0; j < columns; j += W) {
      Vector square[W];
#pragma GCC unroll 16
      for (int r = 0; r < W; ++r) square[r] = load(from + (i + r) * ldf + j);
      turn(square);
#pragma GCC unroll 16
      for (int r = 0; r < W; ++r) store(to + (j + r) * ldt + i, square[r]);
    }
}

}  // namespace seqmodels
