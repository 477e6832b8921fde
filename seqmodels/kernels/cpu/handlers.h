// What the handlers of the recurrent layers are made of. Arrays that a cell does not have, and flags that are not
// given, have no elements.
#pragma once

#include "backward.h"

namespace ffi = xla::ffi;

namespace seqmodels {

using Floats = ffi::Buffer<ffi::F32>;
using Flags = ffi::Buffer<ffi::PRED>;
using Result = ffi::ResultBuffer<ffi::F32>;

inline float* writable(Result& r) { return r->element_count() ? r->typed_data() : nullptr; }

inline Sequences sequences(Floats x, Floats h, Floats c, Floats w, Floats u, Floats bias, Floats bias_n, Flags reset,
                           Flags mask) {
  const auto d = x.dimensions();
  return {d[0],
          d[1],
          d[2],
          h.dimensions()[1],
          x.typed_data(),
          h.typed_data(),
          c.typed_data(),
          w.typed_data(),
          u.typed_data(),
          bias.typed_data(),
          bias_n.typed_data(),
          reset.element_count() ? reset.typed_data() : nullptr,
          mask.element_count() ? mask.typed_data() : nullptr};
}

template <typename Cell>
ffi::Error Forward(ffi::ThreadPool pool, Floats x, Floats h, Floats c, Floats w, Floats u, Floats bias, Floats bias_n,
                   Flags reset, Flags mask, Result hs, Result last_h, Result last_c, Result saved, Result cs) {
  const Threads threads(pool);
  const Sequences s = sequences(x, h, c, w, u, bias, bias_n, reset, mask);
  Layer<Cell>(threads, s)
      .forward({hs->typed_data(), last_h->typed_data(), last_c->typed_data(), writable(saved), writable(cs)});
  return ffi::Error::Success();
}

template <typename Cell>
ffi::Error Back(ffi::ThreadPool pool, Floats x, Floats h, Floats c, Floats w, Floats u, Floats bias, Floats bias_n,
                Flags reset, Flags mask, Floats hs, Floats saved, Floats cs, Floats dhs, Floats dh_last, Floats dc_last,
                Result dx, Result dh, Result dc, Result dw, Result du, Result dbias, Result dbias_n, Result dz) {
  const Threads threads(pool);
  const Sequences s = sequences(x, h, c, w, u, bias, bias_n, reset, mask);
  const Saved known{hs.typed_data(),  saved.typed_data(),   cs.typed_data(),
                    dhs.typed_data(), dh_last.typed_data(), dc_last.typed_data()};
  const Found found{dx->typed_data(), dh->typed_data(),    dc->typed_data(),      dw->typed_data(),
                    du->typed_data(), dbias->typed_data(), dbias_n->typed_data(), dz->typed_data()};
  Backward<Cell>(threads, s, known, found).run();
  return ffi::Error::Success();
}

inline auto forward_binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Flags>()
      .Arg<Flags>()
      .Ret<Floats>()
      .Ret<Floats>()
      .Ret<Floats>()
      .Ret<Floats>()
      .Ret<Floats>();
}

inline auto backward_binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Flags>()
      .Arg<Flags>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Floats>()
      .Ret<Floats>()
      .Ret<Floats>()
      .Ret<Floats>()
      .Ret<Floats>()
      .Ret<Floats>()
      .Ret<Floats>()
      .Ret<Floats>()
      .Ret<Floats>();
}

}  // namespace seqmodels
