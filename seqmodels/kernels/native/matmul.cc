// The product of two matrices, either of them turned.
#include "gemm.h"

namespace ffi = xla::ffi;

namespace seqmodels {

static ffi::Error Matmul(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> a, ffi::Buffer<ffi::F32> b,
                         ffi::ResultBuffer<ffi::F32> c, bool turn_a, bool turn_b) {
  const auto left = a.dimensions(), right = b.dimensions();
  const int64_t m = left[turn_a], k = left[!turn_a], n = right[!turn_b];
  const Matrix from_a = turn_a ? Matrix{a.typed_data(), 1, m} : Matrix{a.typed_data(), k, 1};
  const Matrix from_b = turn_b ? Matrix{b.typed_data(), 1, k} : Matrix{b.typed_data(), n, 1};
  gemm(Threads(pool), m, n, k, from_matrix(from_a), from_b, c->typed_data(), n);
  return ffi::Error::Success();
}

}  // namespace seqmodels

XLA_FFI_DEFINE_HANDLER_SYMBOL(seqmodels_matmul, seqmodels::Matmul,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<bool>("turn_a")
                                  .Attr<bool>("turn_b"));
