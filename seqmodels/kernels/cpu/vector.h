// Vectors of floats as wide as the processor's registers, and the functions of them that kernels need.
#pragma once

#include <cstdint>
#include <cstring>

namespace seqmodels {

#if defined(__AVX512F__)
constexpr int W = 16;          // floats in a vector
constexpr int REGISTERS = 32;  // vectors that the processor holds
#elif defined(__AVX__)
constexpr int W = 8;
constexpr int REGISTERS = 16;
#else
constexpr int W = 4;
constexpr int REGISTERS = 32;
#endif

typedef float Vector __attribute__((vector_size(4 * W)));
typedef int32_t Integers __attribute__((vector_size(4 * W)));
typedef float Unaligned __attribute__((vector_size(4 * W), aligned(4), may_alias));

inline Vector load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
inline void store(float* p, Vector v) { *reinterpret_cast<Unaligned*>(p) = v; }
inline Vector all(float s) { return s - Vector{}; }  // s + 0 would turn -0 into 0

// The first n floats at p, zeros after them; and back. Nothing beyond n is touched.
inline Vector load(const float* p, int n) {
  if (n >= W) return load(p);
  float padded[W] = {};
  std::memcpy(padded, p, sizeof(float) * n);
  return load(padded);
}
inline void store(float* p, Vector v, int n) {
  if (n >= W) return store(p, v);
  float padded[W];
  store(padded, v);
  std::memcpy(p, padded, sizeof(float) * n);
}

// The smaller or larger of two vectors' floats; nan where either is nan. `at_most` and `at_least` are faster and bound x
// by what is no nan: a comparison with nan is false, and x stays what it is.
inline Vector maximum(Vector a, Vector b) { return (a > b) | (a != a) ? a : b; }
inline Vector at_most(Vector bound, Vector x) { return bound < x ? bound : x; }
inline Vector at_least(Vector bound, Vector x) { return bound > x ? bound : x; }

inline float sum(Vector v) {
  float total = 0;
  for (int i = 0; i < W; ++i) total += v[i];
  return total;
}
inline float maximum(float a, float b) { return a > b || a != a ? a : b; }
inline float largest(Vector v) {
  float found = v[0];
  for (int i = 1; i < W; ++i) found = maximum(found, v[i]);
  return found;
}

// tanh as a rational function (the coefficients of Eigen and XLA), within 3 units in the last place; exactly one from
// where it rounds to one, so that slopes of it vanish there.
inline Vector tanh(Vector x) {
  const auto far_up = x > 9.0f, far_down = x < -9.0f;
  const Vector bound = all(7.90531110763549805f);
  x = at_least(-bound, at_most(bound, x));
  const Vector y = x * x;
  Vector p = all(-2.76076847742355e-16f);
  p = p * y + 2.00018790482477e-13f;
  p = p * y - 8.60467152213735e-11f;
  p = p * y + 5.12229709037114e-08f;
  p = p * y + 1.48572235717979e-05f;
  p = p * y + 6.37261928875436e-04f;
  p = p * y + 4.89352455891786e-03f;
  Vector q = all(1.19825839466702e-06f);
  q = q * y + 1.18534705686654e-04f;
  q = q * y + 2.26843463243900e-03f;
  q = q * y + 4.89352518554385e-03f;
  return far_up ? all(1) : far_down ? all(-1) : x * p / q;
}

inline Vector sigmoid(Vector x) { return 0.5f * tanh(0.5f * x) + 0.5f; }

// exp of what is at most 88, or nan; below -87 it is zero (the polynomial is that of Cephes).
inline Vector exp(Vector x) {
  const auto tiny = x < -87.0f;
  x = at_least(all(-87.0f), x);
  const Vector shifted = x * 1.44269504088896341f + 12582912.0f;  // 1.5 · 2^23: rounds to the nearest integer
  const Vector n = shifted - 12582912.0f;
  const Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vector p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Integers power = (reinterpret_cast<Integers>(shifted) - 0x4B400000 + 127) << 23;
  return tiny ? all(0) : p * reinterpret_cast<Vector>(power);
}

// Turns W vectors of W.
inline void turn(Vector (&rows)[W]) {
#if defined(__clang__)  // has no shuffle by a vector
  for (int i = 0; i < W; ++i)
    for (int j = 0; j < i; ++j) {
      const float kept = rows[i][j];
      rows[i][j] = rows[j][i], rows[j][i] = kept;
    }
#else
  Integers lane;
  for (int i = 0; i < W; ++i) lane[i] = i;
#pragma GCC unroll 4
  for (int d = 1; d < W; d *= 2) {
    const Integers low = (lane & d) == 0 ? lane : lane - d + W, high = (lane & d) == 0 ? lane + d : lane + W;
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) {
      if (i & d) continue;
      const Vector a = rows[i], b = rows[i + d];
      rows[i] = __builtin_shuffle(a, b, low);
      rows[i + d] = __builtin_shuffle(a, b, high);
    }
  }
#endif
}

}  // namespace seqmodels
