"""x"""

from ml_collections import ConfigDict

from configs.base import make

PART = 402  # tokens read at once: 400 samples and their condition
SCALES = {
  'smoke': {'dataset': 'dial_tones', 'seconds': 0.0},
  'accelerator': {},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {
    'steps': 2000,
    'batch_size': 16,
    'learning_rate': 2e-3,
    'schedule': 'cosine',
    'weight_decay': 0.01,
    'segment': PART,
    'memory': 3 * PART,
  }
  evaluation = {'segment': PART, 'memory': 3 * PART, 'streams': 16}
  return make(
    'speech_synthesis', arg, scales=SCALES, train=train, evaluation=evaluation, dataset='spoken_digits', seconds=0.6
  )
