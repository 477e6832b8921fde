"""Token mixers by name. A new mixer is a class with the contract of `base.Mixer` and one line here."""

import inspect

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.errors import unknown
from seqmodels.mixers.attention import Attention
from seqmodels.mixers.base import Mixer, Options
from seqmodels.mixers.recurrent import GRU, LSTM, RNN

MIXERS: dict[str, type[Mixer]] = {
  'rnn': RNN,
  'lstm': LSTM,
  'gru': GRU,
  'attention': Attention,
}


def mixer_options(name: str) -> tuple[str, ...]:
  """The options that the mixer takes, from its signature. Raises InputError on an unknown name."""
  if name not in MIXERS:
    raise unknown('mixer', name, MIXERS)
  common = ('self', 'width', 'rngs', 'causal', 'dtype')
  return tuple(p for p in inspect.signature(MIXERS[name].__init__).parameters if p not in common)


def make_mixer(
  name: str,
  width: int,
  *,
  rngs: nnx.Rngs,
  causal: bool = True,
  dtype: DTypeLike = jnp.float32,
  options: Options | None = None,
) -> Mixer:
  """The mixer `name`, with those of `options` that it knows. Raises InputError on an unknown name or a bad value."""
  known = mixer_options(name)
  chosen = {option: value for option, value in (options or {}).items() if option in known}
  return MIXERS[name](width, rngs=rngs, causal=causal, dtype=dtype, **chosen)
