// What softmax attention does with a block of queries and a block of keys. Scores stand as [key][query], queries in
// vectors: then the softmax needs nothing across a vector, and every product reads the scores where they lie.
#pragma once

#include "gemm.h"

namespace seqmodels {

constexpr int64_t QUERIES = 64, KEYS = 64;  // of a block, as measured
constexpr int VECTORS = QUERIES / W;
constexpr int PANEL = REGISTERS == 32 ? 4 : 2;  // vectors of columns that a tile has at most
constexpr float MASKED = -1e30f;                // finite, so that a query that sees nothing has no nan

constexpr int rows_of(int64_t vectors) {
  return static_cast<int>(std::min<int64_t>(14, (REGISTERS - 1 - vectors) / vectors));
}

// This thread's memory for panels. It stays, so that no call waits for new pages.
inline float* scratch(size_t floats) {
  thread_local Buffer held(0);
  thread_local size_t size = 0;
  if (size < floats) {
    held = Buffer(floats);
    size = floats;
  }
  return held.get();
}

inline int64_t whole(int64_t n) { return (n + W - 1) / W * W; }  // in whole vectors

// Asks for the row some rows after row i of n: they lie too far apart for the processor to see it coming.
template <int WRITE = 0>
inline void fetch(const float* rows, int64_t stride, int64_t i, int64_t n, int64_t width) {
  rows += std::min(i + 16, n - 1) * stride;
  for (int64_t j = 0; j < width; j += 16) __builtin_prefetch(rows + j, WRITE);
}

inline Vector load_row(const float* row, int64_t j, int64_t width) {
  return load(row + j, static_cast<int>(std::min<int64_t>(W, width - j)));
}

// Rows of `width` floats, `stride` apart, as rows of whole vectors, times `scale`; zeros behind, and in rows [n, rows).
inline void copy_rows(const float* from, int64_t stride, int64_t n, int64_t width, int64_t rows, float scale,
                      float* to) {
  for (int64_t i = 0; i < n; ++i) {
    fetch(from, stride, i, n, width);
    for (int64_t j = 0; j < width; j += W, to += W) store(to, scale * load_row(from + i * stride, j, width));
  }
  std::fill_n(to, (rows - n) * whole(width), 0.0f);
}

// vector(i, j), which is columns [j, j + W) of row i, to n rows of `width` floats, `stride` apart.
template <typename Get>
inline void write_rows(Get&& vector, int64_t n, int64_t width, float* to, int64_t stride) {
  for (int64_t i = 0; i < n; ++i) {
    fetch<1>(to, stride, i, n, width);
    for (int64_t j = 0; j < width; j += W)
      store(to + i * stride + j, vector(i, j), static_cast<int>(std::min<int64_t>(W, width - j)));
  }
}

// The first n rows of [QUERIES, width] to [width, QUERIES]; n and width are of whole vectors.
inline void turn_rows(const float* from, int64_t n, int64_t width, float* to) {
  for (int64_t i = 0; i < n; i += W)
    for (int64_t j = 0; j < width; j += W) {
      Vector rows[W];
#pragma GCC unroll 16
      for (int r = 0; r < W; ++r) rows[r] = load(from + (i + r) * width + j);
      turn(rows);
#pragma GCC unroll 16
      for (int r = 0; r < W; ++r) store(to + (j + r) * QUERIES + i, rows[r]);
    }
}

// c = a [· depth] · b [depth ·], or onto c.
struct Product {
  int64_t depth;
  Matrix a;
  const float* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  bool onto;
};

template <int MR, int NV>
__attribute__((noinline)) void tile(const Product& product) {
  const Product p = product;  // in registers: a store to c might otherwise change it
  Vector sums[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) sums[i][j] = p.onto ? load(p.c + i * p.ldc + j * W) : Vector{};
  multiply<MR, NV>(p.depth, p.a.data, p.a.row, p.a.column, p.b, sums, p.ldb);
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) store(p.c + i * p.ldc + j * W, sums[i][j]);
}

template <int MR, int NV>
inline void tile_of_rows(int64_t m, const Product& p) {
  if (m >= MR) return tile<MR, NV>(p);
  if constexpr (MR > 1) tile_of_rows<MR - 1, NV>(m, p);
}

// A tile of m rows and n vectors of columns, which are at most rows_of(n) and PANEL.
template <int NV = PANEL>
inline void tile_of(int64_t m, int64_t n, const Product& p) {
  if (n >= NV) return tile_of_rows<rows_of(NV), NV>(m, p);
  if constexpr (NV > 1) tile_of<NV - 1>(m, n, p);
}

// Which of a block's queries see which of its keys.
struct Mask {
  int64_t queries, keys;
  int64_t ahead;                            // query j sees no key i with i + ahead > j
  const int32_t *lower, *upper, *position;  // null where they hide nothing in this block

  int64_t first(int64_t key) const { return std::max<int64_t>(0, key + ahead); }  // query that may see the key
  int64_t end(int64_t queries) const { return std::clamp<int64_t>(queries - ahead, 0, keys); }  // of keys they may see
  int64_t vectors() const { return whole(queries) / W; }

  // Puts MASKED where the queries of vector j do not see a key before end((j + 1) W).
  void hide(int64_t j, float* scores) const {
    Integers lane;
    for (int i = 0; i < W; ++i) lane[i] = static_cast<int>(j * W) + i;
    Integers low = {}, high = {};
    if (position) {
      std::memcpy(&low, lower + j * W, sizeof(low));
      std::memcpy(&high, upper + j * W, sizeof(high));
    }
    for (int64_t i = position ? 0 : end(j * W + 1), last = end((j + 1) * W); i < last; ++i) {
      float* at = scores + i * QUERIES + j * W;
      Integers seen = lane >= static_cast<int>(first(i));
      if (position) seen &= (low <= position[i]) & (high >= position[i]);
      store(at, seen ? load(at) : all(MASKED));
    }
  }
};

// to [key, query] = left [key, depth] · turned [depth, query], where some query of a vector sees some key of a tile.
inline void scores(const Mask& mask, int64_t depth, const float* left, int64_t width, const float* turned, float* to) {
  for (int64_t i = 0, rows; i < mask.keys; i += rows) {
    int64_t j = mask.first(i) / W;
    rows = rows_of(std::clamp<int64_t>(mask.vectors() - j, 1, PANEL));
    for (; j < mask.vectors(); j += PANEL)
      tile_of(std::min(rows, mask.keys - i), mask.vectors() - j,
              {depth, {left + i * width, width, 1}, turned + j * W, QUERIES, to + i * QUERIES + j * W, QUERIES, false});
  }
}

// to [key, width] += weights [key, query] · rows [query, width]
inline void onto_keys(const Mask& mask, const float* weights, const float* rows, int64_t width, float* to) {
  for (int64_t j = 0; j < width; j += PANEL * W) {
    const int64_t n = std::min<int64_t>(PANEL, (width - j) / W), step = rows_of(n);
    for (int64_t i = 0; i < mask.keys && mask.first(i) < mask.queries; i += step) {
      const int64_t first = mask.first(i);
      tile_of(std::min(step, mask.keys - i), n,
              {mask.queries - first,
               {weights + i * QUERIES + first, QUERIES, 1},
               rows + first * width + j,
               width,
               to + i * width + j,
               width,
               true});
    }
  }
}

// to [query, width] += weights [key, query] · rows [key, width]
inline void onto_queries(const Mask& mask, const float* weights, const float* rows, int64_t width, float* to) {
  for (int64_t j = 0; j < width; j += PANEL * W) {
    const int64_t n = std::min<int64_t>(PANEL, (width - j) / W), step = rows_of(n);
    for (int64_t i = 0; i < mask.queries; i += step) {
      const int64_t m = std::min(step, mask.queries - i);
      tile_of(m, n, {mask.end(i + m), {weights + i, 1, QUERIES}, rows + j, width, to + i * width + j, width, true});
    }
  }
}

}  // namespace seqmodels
