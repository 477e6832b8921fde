"""The numerics under the mixers: operations as pure functions of arrays, each in several forms.

  attention                softmax attention; over a cache, one token at a time: `cache`
  recurrent                the simple recurrent network, the LSTM and the GRU
  linear_attention, gated_linear_attention, delta
  diagonal                 diagonal linear recurrences, real and rotating
  slstm, conv_lstm, mlp
  convolution              the short causal convolution in front of other mixers; XLA fuses it into one pass, so that it
                           has one form and no `kernels`

Operations over time take the `documents` of their rows (`seqmodels.context.Documents`), attention their bounds. Every
other operation takes `kernels`, the name of a backend:

  auto         the fastest form known for the platform that is lowered for (`auto.py`)
  reference    the definition, which the tests hold the others to
  xla          with backward passes of its own, in blocks or chunks
  associative  of diagonal recurrences: log2(t) passes
  newton       of LSTM and GRU: parallel over time by Newton's method, with whole Jacobians, for layers of 64 units or
               fewer; where it does not converge, as `xla`
  quasi_newton  the same with the Jacobians of each unit alone, for any width
  cpu          C++ for CPUs, in float32, where it has been built (`cpu/`)
  cudnn        NVIDIA's library

An operation that a backend does not have is computed by `xla`. `dispatch.py` chooses; the functions of a backend are in
the folder of its name (cudnn: `gpu/`).
"""
