"""Have a model of vectors go on by itself: it reads what it has written."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seqmodels.models import Model
from seqmodels.notation import Params

FREE = 'free_'  # before the names of free-running metrics that a teacher-forced one stands beside


@partial(jax.jit, static_argnums=(0, 3, 4, 5))
def rollout(
  model: Model,
  params: Params,
  given: Float[Array, 'b t d'],
  steps: int,
  together: int = 1,
  read: Callable[[jax.Array], jax.Array] | None = None,
) -> Float[Array, 'b s n']:
  """Return the outputs of `steps` steps of `together` tokens each, the first of them at the last tokens given.

  What the model says at the tokens of one step is what it reads as those of the next.

  Args:
    read: a hashable function from outputs [b k n] to the vectors [b k d] that are read in their place; None: the same.
  """
  batch, length, _ = given.shape
  state = model.init_state(batch, length + (steps - 1) * together)
  outputs, state = model.apply(params, given, state)
  first = outputs[:, -together:]

  def step(carry: Any, _: None) -> Any:
    written, state = carry
    outputs, state = model.apply(params, written if read is None else read(written), state)
    return (outputs, state), outputs

  others = jax.lax.scan(step, (first, state), length=steps - 1)[1]
  joined = jnp.concatenate([first[None], others])
  return joined.swapaxes(0, 1).reshape(batch, steps * together, -1)
