"""Products of group elements at every step (Merrill et al. 2024).

  python main.py --mode=train --config=configs/state_tracking.py:lstm,group=S5,length=32 --workdir=/tmp/s5

`group` is Z60, A5 or S5. A random element is right in 1 of 60 (Z60, A5) or 120 (S5). The evaluation `longer` has four
times the length.
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'length': 8},
  'accelerator': {'length': 256, 'width': 512, 'depth': 4, 'batch_size': 256, 'steps': 50_000, 'eval_every': 5000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 3000, 'batch_size': 64, 'learning_rate': 1e-3, 'schedule': 'constant', 'weight_decay': 0.0}
  return make('state_tracking', arg, scales=SCALES, train=train)
