"""Recognising speech: digits alone and in strings, sentences, and your own WAV files; the default is made-up tones.

  python main.py --mode=train --config=configs/speech_recognition.py:lstm --workdir=/tmp/tones

Spoken digits, the official split: this LSTM, reading both ways, has a word error rate of 0.007 on the 300 test
recordings, a Transformer of as many parameters 0.017; the nearest mean spectrum has 0.417. Both read frames every 20 ms
at the better of two learning rates on validation (one seed, one CPU thread, minutes: docs/tasks.md).

  python main.py --mode=train --workdir=/tmp/digits --config=configs/speech_recognition.py:lstm,\
dataset=spoken_digits,params=2e5,depth=2,hop=160,steps=1500,dropout=0.1,learning_rate=1e-3
  python main.py --mode=generate --workdir=/tmp/digits --prompt=seven.wav

A speaker who is in no other split, the mean over all six: the LSTM 0.312 (0.084 to 0.566), the Transformer 0.412 (0.244
to 0.652), the nearest mean spectrum 0.534.

  … ,split=speaker,speaker=theo

Strings of 1 to 5 digits: the LSTM 0.011 (`steps=1500`), the Transformer 0.009 (`steps=1000`); up to 10 digits, 0.011
and 0.010.

  … ,digits=5

Other forms: `loss=attention` with `rnn_attention` (0.003 on the official split, `width=128,dropout=0.2`) or
`encoder_decoder`, `kind=causal` for CTC that hears nothing ahead,
`features=mu_law,loss=label` on raw samples, `dataset=espeak` for sentences, as many as `train_examples` says, and
`dataset=wavs/` for your own recordings (docs/data.md).
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'mels': 16},
  'accelerator': {'dataset': 'spoken_digits', 'digits': 8, 'width': 256, 'depth': 4, 'batch_size': 64, 'steps': 20_000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 1000, 'batch_size': 32, 'learning_rate': 2e-3, 'schedule': 'cosine', 'weight_decay': 0.05}
  return make('speech_recognition', arg, scales=SCALES, train=train)
