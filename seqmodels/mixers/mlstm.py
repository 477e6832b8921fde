"""The mLSTM of xLSTM: an LSTM whose cell is a matrix and whose gates do not read it, hence parallel in time."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import BATCH, Context, StateSpec
from seqmodels.kernels import linear_attention as kernel
from seqmodels.layers import Dense, Norm
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Direction, Directional, Form
from seqmodels.mixers.options import HeadOptions
from seqmodels.notation import Activations, State

LARGEST_EXPONENT = 80.0  # exp of it is finite in float32


class MLSTM(Directional):
  """Beck et al. (2024), xLSTM; see `Directional` for the two-directional form."""

  Options: ClassVar[type] = HeadOptions
  can_be_split: ClassVar[bool] = True

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    multiple = by_head.multiple(self.options.heads)
    self.set_directions(lambda size: MLSTMDirection(form, size, self.options, rngs=rngs), multiple)


class MLSTMDirection(Direction):
  """C_t = f C_{t-1} + i k_t v_tᵀ, n_t = f n_{t-1} + i k_t, h_t = q_t C_t / max(|q_t n_t|, 1) (Beck et al. 2024).

  i = exp(ĩ) and f = σ(f̃), one number a head each, are the `gates`. C and n are kept as multiples of exp(m), m being the
  largest log weight so far (the paper's equations 15 to 17), which changes no output. Then a norm a head, the output
  gate σ(X W_o), and a projection. f̃ starts at 3 to 6 across heads, ĩ near 0, both at first without a look at the input.
  """

  def __init__(self, form: Form, size: int, options: HeadOptions, *, rngs: nnx.Rngs) -> None:
    self.heads = by_head.count_heads(size, options.heads)
    self.head_dim, self.size, self.chunk = size // self.heads, size, options.chunk
    self.kernels, self.dtype = form.kernels, jnp.dtype(form.dtype)
    embed, by_heads = {'embed': form.width}, {'heads': self.heads, 'head_dim': self.head_dim}
    query, key, value, gate = by_head.draw_together(rngs, form.width, *(size,) * 4)
    self.query = Dense(embed, by_heads, kernel=query, dtype=form.dtype)
    self.key = Dense(embed, by_heads, kernel=key, dtype=form.dtype)
    self.value = Dense(embed, by_heads, kernel=value, dtype=form.dtype)
    self.gate = Dense(embed, by_heads, kernel=gate, dtype=form.dtype)
    nothing = jnp.zeros((form.width, 2 * self.heads))
    self.gates = Dense(embed, {'gate': 2, 'heads': self.heads}, kernel=nothing, bias=True, dtype=form.dtype)
    of_input = 0.1 * jax.random.normal(rngs.params(), (self.heads,))
    assert self.gates.bias is not None
    self.gates.bias[...] = jnp.stack([of_input, jnp.linspace(3.0, 6.0, self.heads)])
    self.norm = Norm(by_heads, axes=1)
    self.output = Dense(by_heads, {'embed': size}, rngs=rngs, dtype=form.dtype)

  def state_spec(self, batch: int) -> dict[str, StateSpec]:
    return {
      's': by_head.sum_spec(batch, self.heads, self.head_dim, self.head_dim),
      'n': StateSpec((batch, self.heads, self.head_dim), (BATCH, 'heads', 'key_dim')),
      'm': StateSpec((batch, self.heads), (BATCH, 'heads')),
    }

  def init_state(self, batch: int) -> State:
    state = super().init_state(batch)
    return state | {'m': jnp.full_like(state['m'], kernel.NOTHING)}

  def mixing_flops(self, length: int) -> float:
    return kernel.flops(self.head_dim, self.head_dim, self.heads, length, chunk=self.chunk, kernels=self.kernels)

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    q, k, v, gate = self.query(x), self.key(x), self.value(x), self.gate(x)
    gates = self.gates(x, jnp.float32)
    (y, n, m), new = kernel.linear_attention(
      q,
      k * self.head_dim**-0.5,
      v,
      state,
      log_decay=jax.nn.log_sigmoid(gates[:, :, 1]),
      log_input=gates[:, :, 0],
      documents=context.documents,
      chunk=self.chunk,
      kernels=self.kernels,
      dtype=self.dtype,
    )
    y = y / jnp.maximum(jnp.abs(n), jnp.exp(jnp.minimum(-m, LARGEST_EXPONENT)))[..., None]
    return self.output(jax.nn.sigmoid(gate.astype(jnp.float32)) * self.norm(y)), new
