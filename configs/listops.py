"""Nested operations on digits, read as a sequence (Nangia & Bowman 2018).

  python main.py --mode=train --config=configs/listops.py:lstm,width=128,depth=1,length=100 --workdir=/tmp/listops

The most frequent digit is right in 0.139 of the cases, a bag of tokens in 0.244, this LSTM
in 0.574 (one seed; 170 s on two CPU cores).

Long Range Arena's setting, where the published Transformer has an accuracy of 0.364 (Tay et al. 2021):

  python main.py --mode=train --workdir=/tmp/lra --config=configs/listops.py:encoder,kind=encode,width=512,depth=4,\
shortest=501,length=1999,train_examples=96000,evaluation_examples=2000,batch_size=32,steps=5000
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'length': 40},
  'accelerator': {
    'shortest': 501,
    'length': 1999,
    'train_examples': 96_000,
    'evaluation_examples': 2000,
    'depth': 4,
    'width': 512,
    'batch_size': 32,
    'steps': 5000,
  },
}


def get_config(arg: str | None = None) -> ConfigDict:
  return make('listops', arg, scales=SCALES, train={'steps': 3000, 'batch_size': 64, 'learning_rate': 1e-3})
