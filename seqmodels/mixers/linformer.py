"""Linformer: softmax attention over a fixed number of learned mixtures of the keys and values."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels import positions
from seqmodels.context import Context, Documents
from seqmodels.errors import InputError
from seqmodels.kernels import linear_attention as kernel
from seqmodels.kernels.casts import rounded
from seqmodels.layers import Dense, parameter
from seqmodels.layers.dense import lecun_normal
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Form, Mixer
from seqmodels.mixers.options import LARGEST, check_position, check_range
from seqmodels.notation import Activations, State

LONGEST = 2**30  # of an input


class Linformer(Mixer):
  """y = softmax(Q (Eᵀ K)ᵀ / √k) (Fᵀ V), with E and F `[length, rank]` that all heads share (Wang et al. 2020).

  A mixture holds later tokens too, so it cannot be causal. Padding is left out of it and takes no row. Packed documents
  have mixtures of their own, each from the first row on: those are found by two linear attentions, because
  q·(Eᵀ K) = Σ (q·k) E, so that cost stays linear whatever the documents.
  """

  @dataclass(frozen=True)
  class Options:
    """The options of Linformer.

    heads     0: chosen from the width (`layers.heads.choose_heads`)
    position  `rotary` turns queries and keys (Su et al. 2021)
    length    the longest input: E and F have a row for every position, and a shorter input uses the first rows.
              0: the length in training
    rank      how many mixtures of keys and values every query sees
    """

    heads: int = 0
    position: str = 'none'
    length: int = 0
    rank: int = 64

    def __post_init__(self) -> None:
      check_range(self, 0, LARGEST, 'heads')
      check_position(self.position)
      check_range(self, 0, LONGEST, 'length')
      check_range(self, 1, LARGEST, 'rank')

  can_be_causal: ClassVar[bool] = False
  can_be_split: ClassVar[bool] = True
  positions: ClassVar[tuple[str, ...]] = ('rotary',)

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.position, self.rank = self.options.position, self.options.rank
    self.length = self.options.length or form.length
    if not self.length:
      raise InputError('mixer.length=0 of linformer must be greater than 0; where it is not set, a model sets it')
    self.heads = by_head.count_heads(form.width, self.options.heads, self.position)
    embed, by_heads = {'embed': form.width}, {'heads': self.heads, 'head_dim': form.width // self.heads}
    query, key, value = by_head.draw_together(rngs, form.width, *(form.width,) * 3)
    self.query = Dense(embed, by_heads, kernel=query, dtype=form.dtype)
    self.key = Dense(embed, by_heads, kernel=key, dtype=form.dtype)
    self.value = Dense(embed, by_heads, kernel=value, dtype=form.dtype)
    self.output = Dense(by_heads, embed, rngs=rngs, dtype=form.dtype)
    # Of variance 1/length: the mixtures of as many keys are of the keys' size.
    draw = lambda: lecun_normal(rngs.params(), (self.length, self.rank), jnp.float32)
    self.key_mixture = parameter(draw(), ('position', 'rank'))
    self.value_mixture = parameter(draw(), ('position', 'rank'))

  def check_length(self, length: int) -> None:
    if length > self.length:
      raise InputError(f'mixer.length={self.length} of linformer must be at least {length}, the length of the input')

  def state_spec(self, batch: int, max_length: int) -> State:
    """Return no specs: a mixer that is never causal has no state."""
    del batch, max_length
    return {}

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    """Count q·(Eᵀ K) and weights·(Fᵀ V), and each token's share in the mixtures, of which it reads a row."""
    del length, memory
    return 8.0 * self.width * self.rank - 4.0 * self.length * self.rank

  def mix(self, x: Activations, state: State | None, context: Context) -> tuple[Activations, State | None]:
    documents = context.documents
    self.check_length(documents.count(x.shape[1]))
    where, _ = positions.advance(jnp.zeros((x.shape[0],), jnp.int32), x.shape[1], documents)
    q, k, v = self.query(x), self.key(x), self.value(x)
    if self.position == 'rotary':
      q, k = positions.rotary(q, where), positions.rotary(k, where)
    q = q * q.shape[-1] ** -0.5
    e, f = (table[...].astype(self.dtype)[where] for table in (self.key_mixture, self.value_mixture))
    mix = _together if documents.reset is None and documents.part is None else _by_document
    return self.output(mix(q, k, v, e, f, documents)), None


def _together(q: jax.Array, k: jax.Array, v: jax.Array, e: jax.Array, f: jax.Array, documents: Documents) -> jax.Array:
  e, f = documents.keep(e), documents.keep(f)
  mixed = lambda rows, a: rounded(jnp.einsum('btr,bthk->bhrk', rows, a, preferred_element_type=jnp.float32), a.dtype)
  scores = jnp.einsum('bthk,bhrk->bthr', q, mixed(e, k), preferred_element_type=jnp.float32)
  return jnp.einsum('bthr,bhrv->bthv', jax.nn.softmax(scores).astype(v.dtype), mixed(f, v))


def _by_document(
  q: jax.Array, k: jax.Array, v: jax.Array, e: jax.Array, f: jax.Array, documents: Documents
) -> jax.Array:
  e, f = (jnp.broadcast_to(a[:, :, None], (*q.shape[:3], a.shape[-1])) for a in (e, f))
  scores = kernel.whole(q, k, e, documents=documents, dtype=v.dtype).y
  return kernel.whole(jax.nn.softmax(scores), f, v, documents=documents, dtype=v.dtype).y
