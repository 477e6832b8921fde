"""Say what followed a token when it was seen before (Olsson et al. 2022), also at longer lengths than trained on.

  python main.py --mode=train --config=configs/induction_heads.py:gru,width=64,depth=1 --workdir=/tmp/induction

Any symbol is right in 1 of 16, this GRU at every length (one seed; 35 s on two CPU cores). The evaluations `longer_2x`,
`longer_4x` and `longer_16x` have that many times the length. In the published setting (length=256; Gu & Dao 2023)
Mamba stays right at all lengths to 1,048,576; attention to about twice the length of training.
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'length': 16},
  'accelerator': {
    'length': 256,
    'width': 64,
    'batch_size': 8,
    'learning_rate': 1e-3,
    'steps': 204_800,
    'eval_every': 8192,
  },
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 3000, 'batch_size': 64, 'learning_rate': 2e-3, 'schedule': 'constant', 'weight_decay': 0.0}
  return make('induction_heads', arg, scales=SCALES, train=train)
