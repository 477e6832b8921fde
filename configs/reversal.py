"""Sequence to sequence in small: letters are read, then written backwards.

  python main.py --mode=train --config=configs/reversal.py:encoder_decoder --workdir=/tmp/reversal
  python main.py --mode=generate --workdir=/tmp/reversal --prompt=stressed --temperature=0

An accuracy near 1/26 means that nothing is carried over; with cross-attention it reaches 1. At the end, exact_match is
the share of words that the model writes by itself without a fault; `beams=4` searches for the likeliest.
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'length': 5},
  'accelerator': {'length': 128, 'width': 256, 'steps': 20_000, 'eval_every': 2000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  return make(
    'reversal', arg, scales=SCALES, train={'learning_rate': 2e-3, 'schedule': 'constant', 'weight_decay': 0.0}
  )
