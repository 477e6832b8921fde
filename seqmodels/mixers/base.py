"""The contract of a token mixer: what a layer computes over time, and what it must remember between two segments."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.errors import InputError, check_positive
from seqmodels.notation import Activations, Flags, State

Options = dict[str, Any]


class Mixer(nnx.Module):
  """Mixes tokens over time: `[b t d] -> [b t d]`.

  - One call = any split into segments = token by token (`t == 1`).
  - `state=None`: from the start, and nobody wants the state (None is returned).
  - `reset[b, t]`: everything before position t is forgotten. `mask[b, t]` false: padding, which changes no other output
    and no state; a `reset` on a padded position is part of the padding and is ignored.
  - `causal=False` is the bidirectional form; it takes no state.
  - Parameters are float32 `nnx.Param`s, the computation is in `dtype`, states that accumulate are float32.
  """

  can_be_causal: bool = True
  implementations: tuple[str, ...] = ()  # the values of the option `implementation`, the default first

  def __init__(self, width: int, *, rngs: nnx.Rngs, causal: bool = True, dtype: DTypeLike = jnp.float32):
    del rngs
    check_positive(width=width)
    if causal and not self.can_be_causal:
      raise InputError(f'mixer {type(self).__name__} cannot be causal; it is for encoders only')
    self.width = width
    self.causal = causal
    self.dtype = jnp.dtype(dtype)

  def init_state(self, batch: int, max_length: int) -> State:
    """What is remembered before the first token, for `batch` sequences of up to `max_length` tokens."""
    raise NotImplementedError

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    rngs: nnx.Rngs | None = None,
  ) -> tuple[Activations, State | None]:
    raise NotImplementedError

  def mixing_flops(self, context: int | float) -> float:
    """Forward FLOPs a token beyond two per weight, with `context` tokens to look at."""
    del context
    return 0.0

  def check_call(self, x: jax.Array, state: State | None) -> None:
    """Raises InputError for a state in the bidirectional form, or one whose batch is not that of `x`."""
    if state is None:
      return
    if not self.causal:
      raise InputError(f'a bidirectional {type(self).__name__} takes no state: it sees the whole sequence at once')
    for leaf in jax.tree.leaves(state):
      if leaf.shape[0] != x.shape[0]:
        raise InputError(f'the state is for a batch of {leaf.shape[0]}, the input has a batch of {x.shape[0]}')
