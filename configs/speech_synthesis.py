"""Synthesising speech sample by sample; the default is made-up tones."""

from ml_collections import ConfigDict

from configs.base import make
from training.settings import AS_TASK

PART = 402  # tokens that are read at once: 400 samples and their condition
SCALES = {
  'smoke': {},
  'accelerator': {'dataset': 'spoken_digits', 'width': 512, 'depth': 2, 'batch_size': 64, 'steps': 20_000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'batch_size': 16, 'weight_decay': 0.01, 'segment': PART, 'memory': 3 * PART}
  evaluation = {'segment': PART, 'memory': 3 * PART, 'streams': 16}
  config = make('speech_synthesis', arg, scales=SCALES, train=train, evaluation=evaluation)
  for section in (config.train, config.eval):
    if section.segment == AS_TASK:  # of architectures that are always read in parts: here, too, in these
      section.segment = PART
  return config
