"""Copy the items that stand scattered among blanks (Gu & Dao 2023).

  python main.py --mode=train --config=configs/selective_copying.py:gru,width=128,depth=1 --workdir=/tmp/selective

Any item is right in 1 of 16, at a loss of ln 16 = 2.773. The published setting has length=4096 and 16 items, at which
S4 reaches an accuracy of 0.183 and S6 (Mamba) 0.998. The evaluation `longer` has four times the steps.
"""

from ml_collections import ConfigDict

from configs.base import make


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 3000, 'batch_size': 64, 'learning_rate': 2e-3, 'schedule': 'constant', 'weight_decay': 0.0}
  return make('selective_copying', arg, train=train)
