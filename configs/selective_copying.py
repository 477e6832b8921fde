"""Copy the items that stand scattered among blanks (Gu & Dao 2023).

  python main.py --mode=train --workdir=/tmp/selective --config=configs/selective_copying.py:gru,width=128,depth=1,\
items=4,length=64

Any item is right in 1 of 16, at a loss of ln 16 = 2.773; this GRU is right in all, also at four times the length (one
seed; 95 s on two CPU cores). The evaluation `longer` has four times the steps. In the published setting (length=4096,
items=16) S4 reaches an accuracy of 0.183 and Mamba 0.998.
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'items': 4, 'length': 32},
  'accelerator': {'length': 4096, 'width': 64, 'learning_rate': 1e-4, 'steps': 400_000, 'eval_every': 10_000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 3000, 'batch_size': 64, 'learning_rate': 2e-3, 'schedule': 'constant', 'weight_decay': 0.0}
  return make('selective_copying', arg, scales=SCALES, train=train)
