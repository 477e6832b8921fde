// Diagonal recurrences h_t = a_t · h_{t-1} + b_t, time-major, and their gradients.
#include "gemm.h"

namespace ffi = xla::ffi;

namespace seqmodels {

// The narrowest slice of channels for a thread: narrower ones fetch too little of a page at every position.
constexpr int64_t CHANNELS = 256;

// body(first, last) for slices of the channels, over the threads. A slice's last position stays in the nearest cache,
// where the next position reads it.
template <typename Body>
void over_channels(const Threads& threads, int64_t channels, Body&& body) {
  const int parts = static_cast<int>(std::clamp<int64_t>(channels / CHANNELS, 1, 2 * threads.count()));
  threads.loop(parts, [&](int i) { body(edge(channels, i, parts, W), edge(channels, i + 1, parts, W)); });
}

// to(j, width) for every vector of channels j of [first, last), of which `width` floats are within.
template <typename To>
inline __attribute__((always_inline)) void each(int64_t first, int64_t last, To&& to) {
  int64_t j = first;
  for (; j + W <= last; j += W) to(j, W);
  if (j < last) to(j, static_cast<int>(last - j));
}

static ffi::Error Forward(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> a, ffi::Buffer<ffi::F32> b,
                          ffi::Buffer<ffi::F32> h, ffi::ResultBuffer<ffi::F32> hs) {
  const int64_t length = a.dimensions()[0], size = h.element_count();
  over_channels(Threads(pool), size, [&](int64_t first, int64_t last) {
    const float *before = h.typed_data(), *decay = a.typed_data(), *input = b.typed_data();
    float* to = hs->typed_data();
    for (int64_t t = 0; t < length; ++t, before = to, to += size, decay += size, input += size)
      each(first, last,
           [&](int64_t j, int n) { store(to + j, load(decay + j, n) * load(before + j, n) + load(input + j, n), n); });
  });
  return ffi::Error::Success();
}

// dh_t = dy_t + a_{t+1} · dh_{t+1}, which is db_t; da_t = dh_t · h_{t-1}.
static ffi::Error Backward(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> a, ffi::Buffer<ffi::F32> h,
                           ffi::Buffer<ffi::F32> hs, ffi::Buffer<ffi::F32> dhs, ffi::ResultBuffer<ffi::F32> da,
                           ffi::ResultBuffer<ffi::F32> db, ffi::ResultBuffer<ffi::F32> dh) {
  const int64_t length = a.dimensions()[0], size = h.element_count();
  over_channels(Threads(pool), size, [&](int64_t first, int64_t last) {
    for (int64_t t = length - 1; t >= 0; --t) {
      const float *decay = a.typed_data() + t * size, *dy = dhs.typed_data() + t * size;
      const float* before = t ? hs.typed_data() + (t - 1) * size : h.typed_data();
      float *to_a = da->typed_data() + t * size, *to_b = db->typed_data() + t * size;
      const bool at_end = t == length - 1;
      each(first, last, [&](int64_t j, int n) {
        Vector d = load(dy + j, n);
        if (!at_end) d += load(decay + size + j, n) * load(to_b + size + j, n);
        store(to_b + j, d, n);
        store(to_a + j, d * load(before + j, n), n);
        if (t == 0) store(dh->typed_data() + j, d * load(decay + j, n), n);
      });
    }
  });
  return ffi::Error::Success();
}

}  // namespace seqmodels

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_diagonal_forward, seqmodels::Forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_diagonal_backward, seqmodels::Backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>());
