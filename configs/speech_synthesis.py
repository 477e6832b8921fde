"""Synthesising speech sample by sample; the default is made-up tones.

  python main.py --mode=train --config=configs/speech_synthesis.py:lstm --workdir=/tmp/tones

Spoken digits, given the digit and the speaker: this LSTM needs 4.57 bits a sample after 1,000 steps (one seed, one CPU
thread, 4 minutes), counts after each sample 5.49, linear prediction 5.67. It speaks in a fifth of the time of the
sound, 25 µs a sample; words need a longer training. A Transformer of width 128 and depth 2, whose cache holds 1,206
tokens, needs 4.83 bits and 0.55 of the time of the sound (68 µs). `speech_frames.py` is understood after a minute.

  python main.py --mode=train --workdir=/tmp/voice --config=configs/speech_synthesis.py:lstm,dataset=spoken_digits,\
seconds=0.6,width=256,depth=1,steps=1000
  python main.py --mode=generate --workdir=/tmp/voice --prompt="seven theo" --temperature=0.8

Recordings are read in parts of a condition and 400 samples, with the state carried on (truncated back-propagation);
attention sees the whole recording so far, or `memory` tokens. `segment=0` trains on whole recordings.
"""

from ml_collections import ConfigDict

from configs.base import make
from training.settings import AS_TASK

PART = 402  # tokens that are read at once: 400 samples and their condition
SCALES = {
  'smoke': {},
  'accelerator': {'dataset': 'spoken_digits', 'width': 512, 'depth': 2, 'batch_size': 64, 'steps': 20_000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'batch_size': 16, 'weight_decay': 0.01, 'segment': PART}
  evaluation = {'segment': PART, 'streams': 16}
  config = make('speech_synthesis', arg, scales=SCALES, train=train, evaluation=evaluation)
  for section in (config.train, config.eval):
    if section.segment == AS_TASK:  # of architectures that are always read in parts: here, too, in these
      section.segment = PART
  return config
