"""Repeat the input after a fixed lag: how many bits a state holds.

  python main.py --mode=train --config=configs/delay.py:lstm,width=64,depth=1,lag=4,length=64 --workdir=/tmp/delay

`state_bits` is what the state is known to hold of the last `lag` symbols: at most lag · log₂(symbols), 12 here, which
this LSTM reaches (one seed; 70 s on two CPU cores). The evaluation `longer` has four times the length.
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'lag': 4, 'length': 32},
  'accelerator': {'lag': 1000, 'length': 4000, 'width': 512, 'steps': 20_000, 'eval_every': 2000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'batch_size': 64, 'learning_rate': 5e-3, 'schedule': 'constant', 'weight_decay': 0.0}
  return make('delay', arg, scales=SCALES, train=train)
