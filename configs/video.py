"""Predicting the next frames of moving digits, 10 → 10; the default digits are made up.

  python main.py --mode=train --config=configs/video.py:lstm,width=512 --workdir=/tmp/video

With dataset=moving_mnist, MSE a frame of the test videos at 32 × 32 (one seed each, three minutes of CPU time): of
the next frame, and of ten frames that the model predicts from its own predictions (free_mse).

  the last frame                                                                37.5   60.7
  the mean frame                                                                32.9   32.9
  lstm,width=512,steps=3000                                                     14.3   23.3
  transformer,width=256,depth=4                                                 15.1   24.7
  conv_lstm,reading=image,width=2048,depth=2,steps=800,learning_rate=2e-3       14.3   26.3
  the same with form=direct, which predicts the ten frames without reading any         23.9

The published setting has 64 × 64 pixels, hence other numbers: ConvLSTM with 15M parameters 46.26, SSIM 0.878 (OpenSTL).
About that size is conv_lstm,scale=accelerator,reading=image,width=32768,depth=4,image_kernel=5; it was not run.
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
