"""Answering which digit was shown in a distant, marked frame; the default digits are made up.

  python main.py --mode=train --config=configs/video_question.py:lstm,width=256 --workdir=/tmp/question

The most frequent answer is right on about 0.1 of the videos, this LSTM (with depth=1) on 0.30 and a
Transformer (width=128) on 0.31; where videos are twice as long, on 0.29 and 0.31 (one seed; a minute of CPU time).
"""

from ml_collections import ConfigDict

from configs.base import make
from configs.scales import Scales

SCALES: Scales = {
  'smoke': {'size': 16, 'frames': 8},
  'accelerator': {'dataset': 'moving_mnist', 'size': 64, 'frames': 256, 'steps': 50_000},
}
TRAIN = {'steps': 2000, 'learning_rate': 1e-3, 'schedule': 'cosine', 'weight_decay': 0.01}


def get_config(arg: str | None = None) -> ConfigDict:
  return make('video_question', arg, scales=SCALES, train=TRAIN)
