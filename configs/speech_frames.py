"""Synthesising speech in two stages; the default is made-up tones."""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'mels': 16},
  'accelerator': {'dataset': 'spoken_digits', 'width': 256, 'depth': 4, 'batch_size': 64, 'steps': 20_000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 1000, 'batch_size': 32, 'learning_rate': 2e-3, 'schedule': 'cosine', 'weight_decay': 0.01}
  return make('speech_frames', arg, scales=SCALES, train=train)
