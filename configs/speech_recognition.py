"""x"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'dataset': 'dial_tones'},
  'accelerator': {},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 1000, 'batch_size': 32, 'learning_rate': 2e-3, 'schedule': 'cosine', 'weight_decay': 0.05}
  return make('speech_recognition', arg, scales=SCALES, train=train, dataset='spoken_digits')
