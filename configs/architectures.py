"""Named architectures: the fields of ModelConfig that make one. Widths are given, or solved from `params=…`.

Each family stands here in its own classical form, and (`*_residual`) inside the residual block that Transformers use,
so that a comparison can tell the mixer from what stands around it.
"""

from typing import Any

from seqmodels.errors import unknown
from seqmodels.mixers import MIXERS

Fields = dict[str, Any]


def _stacked(mixer: str) -> Fields:
  """The classical stacked RNN: layer on layer, no skip connections, no norms (Graves 2013)."""
  return {'pattern': (mixer,), 'block': 'plain', 'feedforward': 0.0, 'position': 'none'}


def _residual(mixer: str) -> Fields:
  return {'pattern': (mixer,), 'block': 'residual', 'feedforward': 4.0, 'position': 'none'}


ARCHITECTURES: dict[str, Fields] = {
  'rnn': _stacked('rnn'),
  'lstm': _stacked('lstm'),
  'gru': _stacked('gru'),
  'rnn_residual': _residual('rnn'),
  'lstm_residual': _residual('lstm'),
  'gru_residual': _residual('gru'),
  # Pre-norm, rotary positions: today's decoder-only Transformer.
  'transformer': _residual('attention') | {'position': 'rotary'},
}


def names() -> list[str]:
  """What a config's argument may begin with: the named architectures, and any mixer in the residual block."""
  return sorted({*ARCHITECTURES, *MIXERS})


def architecture(name: str) -> Fields:
  """The ModelConfig fields of `name`; a mixer's name alone means that mixer in the residual block."""
  if name in ARCHITECTURES:
    return dict(ARCHITECTURES[name])
  if name in MIXERS:
    return _residual(name)
  raise unknown('architecture', name, names())
