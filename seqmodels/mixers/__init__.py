"""Token mixers by name. A new mixer is a class with the contract of `base.Mixer` and one line here."""

import inspect

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels import fields
from seqmodels.errors import unknown
from seqmodels.mixers.attention import Attention
from seqmodels.mixers.base import Mixer, Options
from seqmodels.mixers.convolution import Convolution
from seqmodels.mixers.gated_delta import GatedDelta
from seqmodels.mixers.gla import GLA
from seqmodels.mixers.linear_attention import LinearAttention
from seqmodels.mixers.linformer import Linformer
from seqmodels.mixers.lru import LRU
from seqmodels.mixers.min_recurrent import MinGRU, MinLSTM
from seqmodels.mixers.mlstm import MLSTM
from seqmodels.mixers.performer import Performer
from seqmodels.mixers.recurrent import GRU, LSTM, RNN
from seqmodels.mixers.retention import Retention
from seqmodels.mixers.rg_lru import RGLRU
from seqmodels.mixers.sliding_window import SlidingWindow
from seqmodels.mixers.slstm import SLSTM
from seqmodels.mixers.sparse import Sparse
from seqmodels.mixers.ssd import SSD
from seqmodels.mixers.transformer_xl import TransformerXL

MIXERS: dict[str, type[Mixer]] = {
  'rnn': RNN,
  'lstm': LSTM,
  'gru': GRU,
  'attention': Attention,
  'sliding_window': SlidingWindow,
  'sparse': Sparse,
  'transformer_xl': TransformerXL,
  'linear_attention': LinearAttention,
  'performer': Performer,
  'linformer': Linformer,
  'retention': Retention,
  'ssd': SSD,
  'gla': GLA,
  'gated_delta': GatedDelta,
  'mlstm': MLSTM,
  'min_gru': MinGRU,
  'min_lstm': MinLSTM,
  'lru': LRU,
  'rg_lru': RGLRU,
  'slstm': SLSTM,
  'conv': Convolution,
}


def mixer_options(name: str) -> tuple[str, ...]:
  """The options that the mixer takes, from its signature. Raises InputError on an unknown name."""
  if name not in MIXERS:
    raise unknown('mixer', name, MIXERS)
  common = ('self', 'width', 'rngs', 'causal', 'dtype')
  return tuple(p for p in inspect.signature(MIXERS[name].__init__).parameters if p not in common)


def parse_entry(entry: str) -> tuple[str, Options]:
  """Return the mixer of a pattern's entry and the options that it fixes: `conv:dilation=2:kernel_size=3`.

  Raises InputError on an unknown mixer or option, and on a value of another type.
  """
  name = fields.parse_entry(entry)[0]
  mixer_options(name)
  return name, fields.read_entry(entry, _defaults(name))


def _defaults(name: str) -> Options:
  """Return the options of a mixer that have a default, with it."""
  parameters = inspect.signature(MIXERS[name].__init__).parameters
  return {option: parameters[option].default for option in mixer_options(name)}


def make_mixer(
  entry: str,
  width: int,
  *,
  rngs: nnx.Rngs,
  causal: bool = True,
  dtype: DTypeLike = jnp.float32,
  options: Options | None = None,
) -> Mixer:
  """The mixer of a pattern's entry, with those of `options` that it knows and the entry does not fix.

  Raises InputError on an unknown name or a bad value.
  """
  name, fixed = parse_entry(entry)
  known = mixer_options(name)
  defaults = _defaults(name)
  chosen = {
    option: fields.check(f'model.mixer.{option}', value, type(defaults[option]))
    for option, value in (options or {}).items()
    if option in known
  } | fixed
  return MIXERS[name](width, rngs=rngs, causal=causal, dtype=dtype, **chosen)
