"""Name architectures: for each, the fields of ModelConfig that make it. Imports no JAX.

Widths are given, or solved from `params=…`. Each family has its classical form and a form inside the residual block
that Transformers use (`*_residual`), so that a comparison can separate the effect of the mixer from the effect of the
block. The task decides the reading direction: an `encode` task makes every architecture bidirectional, and those that
are called so (`bidirectional`) are for such tasks alone. Architectures with an `encoder_pattern` are for tasks with a
source.
"""

import itertools
from typing import Any

from configs import catalogue
from seqmodels.errors import unknown

Fields = dict[str, Any]


def _stacked(*pattern: str, **fields: Any) -> Fields:
  """Return the fields of a classical stacked RNN, without skip connections and norms (Graves 2013)."""
  return {'pattern': pattern, 'block': 'plain', 'feedforward': 0.0, 'position': 'none', **fields}


def _residual(*pattern: str, **fields: Any) -> Fields:
  """Return the fields of a stack of pre-norm residual blocks."""
  return {'pattern': pattern, 'block': 'residual', 'feedforward': 4.0, 'position': 'none', **fields}


ARCHITECTURES: dict[str, Fields] = {
  'rnn': _stacked('rnn'),
  'lstm': _stacked('lstm'),
  'gru': _stacked('gru'),
  # For tasks of images: Shi et al. 2015.
  'conv_lstm': _stacked('conv_lstm'),
  'rnn_residual': _residual('rnn'),
  'lstm_residual': _residual('lstm'),
  'gru_residual': _residual('gru'),
  # Pre-norm, rotary positions: today's decoder-only Transformer.
  'transformer': _residual('attention', position='rotary'),
  # Attention with a memory (see SECTIONS), and to fewer keys: Dai et al. 2019; Beltagy et al. 2020; Child et al. 2019.
  'transformer_xl': _residual('transformer_xl'),
  'sliding_window': _residual('sliding_window', position='rotary'),
  'sparse': _residual('sparse', position='rotary'),
  # Linear attention and what came of it: Katharopoulos et al. 2020; Choromanski et al. 2021; Sun et al. 2023; Dao & Gu
  # 2024; Yang et al. 2024; Yang et al. 2025. A retention or Mamba-2 layer is wide itself.
  'linear_transformer': _residual('linear_attention', position='sinusoidal'),
  'performer': _residual('performer', position='sinusoidal'),
  'retnet': _residual('retention', position='rotary', feedforward=2.0),
  'mamba2': _residual('ssd', feedforward=0.0),
  'gla': _residual('gla'),
  'gated_deltanet': _residual('gated_delta'),
  # Beck et al. 2024, xLSTM[1:1]; another ratio by pattern=mlstm*7+slstm.
  'xlstm': _residual('mlstm', 'slstm', feedforward=2.0),
  # Recurrent and local layers in turn (De et al. 2024).
  'griffin': _residual('rg_lru', 'rg_lru', 'sliding_window', position='rotary', kv_heads=1, feedforward=3.0),
  # Attention in every fourth layer; any other share by pattern=gated_delta*7+attention.
  'hybrid': _residual('gated_delta', 'gated_delta', 'gated_delta', 'attention', position='rotary'),
  'conv_attention_recurrence': _residual('conv', 'attention', 'lstm', position='rotary'),
  # Temporal convolutional network: the dilation doubles from layer to layer (Bai et al. 2018).
  'tcn': _residual(*(f'conv:dilation={2**i}' for i in range(4)), feedforward=0.0),
  # Encoders, for tasks that are read both ways: Devlin et al. 2019; Wang et al. 2020; Schuster & Paliwal 1997.
  'encoder': _residual('attention', position='learned', norm='layer', bidirectional=True),
  'linformer_encoder': _residual('linformer', position='learned', mixer={'rank': 32}, bidirectional=True),
  'bilstm': _stacked('lstm', bidirectional=True),
  # Encoder–decoders: Vaswani et al. 2017; Bahdanau et al. 2015; Sutskever et al. 2014; and one half of each.
  'encoder_decoder': _residual('attention', encoder_pattern=('attention',), position='sinusoidal'),
  'rnn_attention': _stacked('gru', encoder_pattern=('gru',)),
  'lstm_attention': _stacked('lstm', encoder_pattern=('lstm',)),
  'seq2seq_lstm': _stacked('lstm', encoder_pattern=('lstm',), cross_attention=False),
  'seq2seq_gru': _stacked('gru', encoder_pattern=('gru',), cross_attention=False),
  'transformer_to_lstm': _residual('lstm', encoder_pattern=('attention',), position='sinusoidal'),
  'lstm_to_transformer': _residual('attention', encoder_pattern=('lstm',), position='sinusoidal'),
}

# Fields that an architecture sets in other sections of a config. Transformer-XL is trained and evaluated on segments
# with a cache of earlier ones (Dai et al. 2019, section 3.2), wherever sequences continue beyond a segment.
SECTIONS: dict[str, dict[str, Fields]] = {'transformer_xl': {'train': {'segment': -1}, 'eval': {'segment': -1}}}


def names() -> list[str]:
  """Return what a config's argument may begin with: the named architectures, and any mixer in the residual block."""
  return sorted({*ARCHITECTURES, *catalogue.mixers()})


def architecture(name: str) -> Fields:
  """Return the ModelConfig fields of `name`; the name of a mixer alone is that mixer in the residual block."""
  if name in ARCHITECTURES:
    return dict(ARCHITECTURES[name])
  if name in catalogue.mixers():
    return _residual(name)
  raise unknown('architecture', name, names())


def sections(name: str) -> dict[str, Fields]:
  """Return the fields that the architecture sets in `train` and `eval`, by section."""
  return SECTIONS.get(name, {})


def whole_depth(depth: int, pattern: tuple[str, ...]) -> int:
  """Return the least number of layers from `depth` on that holds the pattern a whole number of times."""
  return -(-depth // len(pattern)) * len(pattern)


def summary(name: str) -> str:
  """Return one line that describes an architecture by its fields."""
  fields = architecture(name)
  layers = [f'{_written(fields["pattern"])} in {fields["block"]} blocks']
  if fields.get('bidirectional'):
    layers.append('read both ways')
  if 'encoder_pattern' in fields:
    link = 'cross-attention' if fields.get('cross_attention', True) else "the encoder's last state"
    layers.append(f'encoder {_written(fields["encoder_pattern"])}, {link}')
  if fields['position'] != 'none':
    layers.append(f'{fields["position"]} positions')
  if fields['feedforward']:
    layers.append(f'feed-forward {fields["feedforward"]:g} × width')
  return ', '.join(layers)


def _written(pattern: tuple[str, ...]) -> str:
  """Return a pattern as text, the reverse of `fields.parse_pattern`."""
  groups = ((entry, len(list(group))) for entry, group in itertools.groupby(pattern))
  return '+'.join(entry if count == 1 else f'{entry}*{count}' for entry, count in groups)
