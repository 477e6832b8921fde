"""Copy memory: read items, wait, write them down (Bai et al. 2018).

  python main.py --mode=train --config=configs/copying.py:gru,params=16e3,lag=100 --workdir=/tmp/copying

A loss near 10·ln 8 / (lag + 20) means that nothing is remembered; a solved task has a loss below 1e-3 and accuracy 1.
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'lag': 10},
  'accelerator': {'lag': 1000, 'params': 2e4, 'steps': 20_000, 'eval_every': 2000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  return make('copying', arg, scales=SCALES, train={'learning_rate': 1e-3, 'schedule': 'constant', 'weight_decay': 0.0})
