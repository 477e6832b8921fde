"""Which of two symbols came first, far apart among many others (Hochreiter & Schmidhuber 1997).

  python main.py --mode=train --config=configs/temporal_order.py:lstm,width=32,depth=1 --workdir=/tmp/order

A bag of tokens is right in 3 of 4 cases, this LSTM in all, and in 0.953 of `longer`, at four times the length (one
seed; 70 s on two CPU cores).
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'length': 20},
  'accelerator': {'length': 1000, 'steps': 20_000, 'eval_every': 2000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'batch_size': 64, 'learning_rate': 2e-3, 'schedule': 'constant', 'weight_decay': 0.0}
  return make('temporal_order', arg, scales=SCALES, train=train)
