"""Synthesising speech in two stages, letters to log-mel frames to sound; the default is made-up tones.

  python main.py --mode=train --config=configs/speech_frames.py:rnn_attention --workdir=/tmp/tones

Spoken digits, given the word and the speaker: these GRUs have a squared error of 0.175 a scaled value on the test
recordings, the frame before has 0.299 and the mean frame 1.01 (one seed, one CPU thread, a minute). The recogniser of
configs/speech_recognition.py makes no error on the 60 words and speakers that they speak, nor does one that has never
heard the speaker on the ten of theo. An `encoder_decoder` of the same width with `dropout=0.1` has 0.171, and is
understood as well.

  python main.py --mode=train --workdir=/tmp/voice --config=configs/speech_frames.py:rnn_attention,\
dataset=spoken_digits,width=128,steps=800
  python main.py --mode=generate --workdir=/tmp/voice --prompt="*" --recogniser=/tmp/digits
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'mels': 16},
  'accelerator': {'dataset': 'spoken_digits', 'width': 256, 'depth': 4, 'batch_size': 64, 'steps': 20_000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 1000, 'batch_size': 32, 'learning_rate': 2e-3, 'schedule': 'cosine', 'weight_decay': 0.01}
  return make('speech_frames', arg, scales=SCALES, train=train)
