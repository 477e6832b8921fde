"""Token mixers by name. A new mixer is a class with the contract of `base.Mixer` and one line here."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import nnx

from seqmodels import fields
from seqmodels.errors import unknown
from seqmodels.mixers.attention import Attention
from seqmodels.mixers.base import Form, Mixer
from seqmodels.mixers.conv_lstm import ConvLSTM
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
  'conv_lstm': ConvLSTM,
}


def mixer_options(name: str) -> tuple[str, ...]:
  """Return the names of a mixer's options. Raise InputError on an unknown mixer."""
  if name not in MIXERS:
    raise unknown('mixer', name, MIXERS)
  return tuple(option.name for option in dataclasses.fields(MIXERS[name].Options))


def parse_entry(entry: str) -> tuple[str, dict[str, Any]]:
  """Return the mixer of a pattern's entry and the options that it fixes: `conv:dilation=2:kernel_size=3`.

  Raise InputError on an unknown mixer or option, and on a value of another type.
  """
  name = fields.parse_entry(entry)[0]
  mixer_options(name)
  return name, fields.read_entry(
    entry, {field.name: field.default for field in dataclasses.fields(MIXERS[name].Options)}
  )


def make_mixer(entry: str, form: Form, *, rngs: nnx.Rngs, options: Mapping[str, Any] | None = None) -> Mixer:
  """Return the mixer of a pattern's entry, with those of `options` that it has and the entry does not fix.

  Raise InputError on an unknown name or a bad value.
  """
  name, fixed = parse_entry(entry)
  known = mixer_options(name)
  chosen = {option: value for option, value in (options or {}).items() if option in known}
  mixer = MIXERS[name]
  checked = fields.checked_fields(mixer.Options, chosen, 'model.mixer')
  return mixer(form, mixer.Options(**checked | fixed), rngs=rngs)
