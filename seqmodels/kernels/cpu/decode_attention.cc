// A token's key and value go into a ring, and its queries over the filled slots. The ring's blocks stay where they lie.
#include <cmath>

#include "tiles.h"

namespace ffi = xla::ffi;

namespace seqmodels {

// Below so many floats of keys and values the threads would take longer to wake than to read them.
constexpr int64_t FOR_THREADS = 32768;

// A block of the ring: slots [first, first + slots) of all rows and heads, [b g slots width].
struct Block {
  float *k, *v;
  int64_t first, slots;
};

// The sum of each of W vectors, in a vector.
template <int H = W / 2>
inline __attribute__((always_inline)) Vector sums(Vector (&square)[W]) {
#pragma GCC unroll 16
  for (int i = 0; i < H; ++i) {
    exchange<H>(square[i], square[i + H], std::make_index_sequence<W>());
    square[i] += square[i + H];
  }
  if constexpr (H > 1)
    return sums<H / 2>(square);
  else
    return square[0];
}

// scores[s] = scale · query · keys[s] for `count` slots; up to W - 1 more scores are written.
static void score(int64_t count, const float* query, const float* keys, int64_t width, float scale, float* scores) {
  const int64_t whole = width / W * W;
  for (int64_t s = 0; s < count; s += W) {
    const int n = static_cast<int>(std::min<int64_t>(W, count - s));
    Vector products[W] = {};
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) {
      const float* key = keys + (s + std::min(i, n - 1)) * width;  // the last one again rather than beyond the end
      for (int64_t j = 0; j < whole; j += W) products[i] += load(query + j) * load(key + j);
      if (whole < width) {
        const int rest = static_cast<int>(width - whole);
        products[i] += load(query + whole, rest) * load(key + whole, rest);
      }
    }
    store(scores + s, scale * sums(products));
  }
}

// to[0, width) += Σ_s weights[s] · values[s]
template <int N>
static void mix(int64_t count, const float* weights, const float* values, int64_t width, float* to) {
  Vector even[N], odd[N] = {};
  for (int j = 0; j < N; ++j) even[j] = load(to + j * W);
  int64_t s = 0;
  for (; s + 2 <= count; s += 2, values += 2 * width)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      even[j] += weights[s] * load(values + j * W);
      odd[j] += weights[s + 1] * load(values + width + j * W);
    }
  for (int j = 0; j < N; ++j) {
    if (s < count) even[j] += weights[s] * load(values + j * W);
    store(to + j * W, even[j] + odd[j]);
  }
}

static void mix(int64_t count, const float* weights, const float* values, int64_t width, float* to) {
  int64_t j = 0;
  for (; j + 4 * W <= width; j += 4 * W) mix<4>(count, weights, values + j, width, to + j);
  for (; j + W <= width; j += W) mix<1>(count, weights, values + j, width, to + j);
  if (j == width) return;
  const int rest = static_cast<int>(width - j);
  Vector total = load(to + j, rest);
  for (int64_t s = 0; s < count; ++s) total += weights[s] * load(values + s * width + j, rest);
  store(to + j, total, rest);
}

// Scores become weights that sum to one.
static void softmax(int64_t count, float* scores) {
  Vector most = all(scores[0]);
  int64_t s = 0;
  for (; s + W <= count; s += W) most = maximum(most, load(scores + s));
  float top = largest(most);
  for (; s < count; ++s) top = maximum(top, scores[s]);
  Vector total = {};
  for (s = 0; s < count; s += W) {
    const int n = static_cast<int>(std::min<int64_t>(W, count - s));
    const Vector weights = exp(load(scores + s, n) - top);
    store(scores + s, weights);
    for (int i = n; i < W; ++i) scores[s + i] = 0;
    total += load(scores + s);
  }
  const float share = 1 / sum(total);
  for (s = 0; s < count; s += W) store(scores + s, share * load(scores + s));
}

// Puts the new keys and values of each row that is no padding into slot (end - 1) mod slots.
static void write(const std::vector<Block>& ring, int64_t slots, int64_t b, int64_t g, int64_t k, int64_t v,
                  const int32_t* end, const bool* mask, const float* keys, const float* values) {
  for (int64_t row = 0; row < b; ++row) {
    if (end[row] <= 0 || (mask && !mask[row])) continue;
    const int64_t slot = (end[row] - 1) % slots;
    for (const Block& block : ring) {
      if (slot < block.first || slot >= block.first + block.slots) continue;
      for (int64_t head = row * g; head < (row + 1) * g; ++head) {
        const int64_t place = head * block.slots + slot - block.first;
        std::copy_n(keys + head * k, k, block.k + place * k);
        std::copy_n(values + head * v, v, block.v + place * v);
      }
    }
  }
}

static ffi::Error DecodeAttention(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> q, ffi::Buffer<ffi::F32> new_k,
                       ffi::Buffer<ffi::F32> new_v, ffi::Buffer<ffi::S32> end, ffi::Buffer<ffi::PRED> mask,
                       ffi::RemainingArgs, ffi::ResultBuffer<ffi::F32> out, ffi::RemainingRets blocks) {
  const int64_t b = q.dimensions()[0], h = q.dimensions()[1], k = q.dimensions()[2];
  const int64_t g = new_v.dimensions()[1], v = new_v.dimensions()[2];
  std::vector<Block> ring;
  int64_t slots = 0, filled = 0;
  for (size_t i = 0, n = blocks.size() / 2; i < n; ++i) {  // the results lie where the arguments lay
    auto keys = blocks.get<ffi::Buffer<ffi::F32>>(i), values = blocks.get<ffi::Buffer<ffi::F32>>(n + i);
    if (!keys || !values) return ffi::Error::InvalidArgument("blocks must be float32");
    ring.push_back({(*keys)->typed_data(), (*values)->typed_data(), slots, (*keys)->dimensions()[2]});
    slots += (*keys)->dimensions()[2];
  }
  const int32_t* ends = end.typed_data();
  write(ring, slots, b, g, k, v, ends, mask.element_count() ? mask.typed_data() : nullptr, new_k.typed_data(),
        new_v.typed_data());
  for (int64_t row = 0; row < b; ++row) filled += std::min<int64_t>(ends[row], slots);
  const float scale = 1 / std::sqrt(static_cast<float>(k));
  const auto one = [&](int task) {
    const int64_t row = task / h, head = row * g + task % h / (h / g);
    const int64_t count = std::min<int64_t>(ends[row], slots);
    float* to = out->typed_data() + task * v;
    std::fill(to, to + v, 0.0f);
    if (count <= 0) return;
    Buffer scores(round_up(count, W) + W);
    const auto each = [&](auto&& use) {
      for (const Block& block : ring)
        if (block.first < count) use(block, std::min(block.slots, count - block.first));
    };
    each([&](const Block& block, int64_t n) {
      score(n, q.typed_data() + task * k, block.k + head * block.slots * k, k, scale, scores.get() + block.first);
    });
    softmax(count, scores.get());
    each([&](const Block& block, int64_t n) {
      mix(n, scores.get() + block.first, block.v + head * block.slots * v, v, to);
    });
  };
  const int tasks = static_cast<int>(b * h);
  if (filled * g * (k + v) >= FOR_THREADS)
    Threads(pool).loop(tasks, one);
  else
    for (int i = 0; i < tasks; ++i) one(i);
  return ffi::Error::Success();
}

}  // namespace seqmodels

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_decode_attention, seqmodels::DecodeAttention,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>()
                                  .Arg<ffi::Buffer<ffi::PRED>>()
                                  .RemainingArgs()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .RemainingRets());
