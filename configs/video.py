"""Predicting the next frames of moving digits, 10 → 10; the default digits are made up.

python main.py --mode=train --config=configs/video.py:lstm,width=512 --workdir=/tmp/video
"""

from ml_collections import ConfigDict

from configs.base import make
from configs.scales import Scales

SCALES: Scales = {
  'smoke': {'size': 16, 'frames': 6, 'history': 3},
  'accelerator': {
    'dataset': 'moving_mnist',
    'size': 64,
    'evaluation_examples': 10_000,
    'batch_size': 16,
    'steps': 125_000,
    'learning_rate': 5e-4,
    'eval_every': 12_500,
  },
}
TRAIN = {'steps': 2000, 'batch_size': 16, 'learning_rate': 1e-3, 'schedule': 'cosine', 'weight_decay': 0.01}


def get_config(arg: str | None = None) -> ConfigDict:
  return make('video', arg, scales=SCALES, train=TRAIN)
