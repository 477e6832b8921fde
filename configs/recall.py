"""Multi-query associative recall (Arora et al. 2023): keys and values, then keys that ask for their values.

  python main.py --mode=train --config=configs/recall.py:transformer,width=64,pairs=4 --workdir=/tmp/recall

Chance is 1/vocabulary of values; attention reaches an accuracy of 1, a recurrent state holds what its width allows.
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'train_examples': 1000},
  'accelerator': {'vocabulary': 8192, 'feedforward': 0.0, 'batch_size': 512, 'steps': 12_500, 'eval_every': 1250},
}


def get_config(arg: str | None = None) -> ConfigDict:
  return make('recall', arg, scales=SCALES, train={'batch_size': 64, 'weight_decay': 0.0})
