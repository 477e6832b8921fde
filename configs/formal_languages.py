"""Formal languages at lengths beyond those of training (Delétang et al. 2023).

  python main.py --mode=train --workdir=/tmp/parity --config=configs/formal_languages.py:lstm,language=parity,width=64,\
depth=1,steps=1500,learning_rate=5e-3

This LSTM is right on every string of 41 to 500 symbols (one seed; 45 s on two CPU cores).

`language` is parity, even_pairs, cycle_navigation, modular_arithmetic, reverse, duplicate or missing_duplicate. The
evaluation `longer` has lengths 41 to 500; a random answer of parity is right half of the time, and so are Transformers
(52 %, recalled from the paper).
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'length': 10, 'longest': 40},
  'accelerator': {'width': 256, 'steps': 1_000_000, 'eval_every': 20_000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 3000, 'batch_size': 128, 'learning_rate': 1e-3, 'schedule': 'constant', 'weight_decay': 0.0}
  return make('formal_languages', arg, scales=SCALES, train=train)
