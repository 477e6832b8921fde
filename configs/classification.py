"""Classifying series: made-up ones, MNIST pixel by pixel, the archives of UCR and UEA.

  python main.py --mode=train --config=configs/classification.py:lstm,width=64,depth=1 --workdir=/tmp/cbf

Statistics without an order are right on 0.567 of the cylinders, bells and funnels, this LSTM on 0.996 (one seed; 35 s
on two CPU cores).

Your own .ts files, of several variables and lengths too (docs/data.md); this GRU is right on 0.984 of the test cases,
statistics without an order on 0.949:

  python main.py --mode=train --workdir=/tmp/vowels --config="configs/classification.py:gru,width=64,depth=1,\
steps=600,dataset=ucr/JapaneseVowels_*.ts"

Sequential MNIST, row by row; this LSTM is right on 0.978 of the test images (one seed; 45 s):

  python main.py --mode=train --workdir=/tmp/mnist --config=configs/classification.py:lstm,width=64,depth=1,\
dataset=sequential_mnist,patch=28,batch_size=128

The published setting is patch=1, with sequential_mnist or permuted_mnist: LSTM 0.872 and 0.857, GRU 0.962 and 0.873,
TCN 0.990 and 0.972 (Bai et al. 2018).
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'accelerator': {'dataset': 'sequential_mnist', 'params': 7e4, 'batch_size': 64, 'steps': 17_200, 'eval_every': 860},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 1500, 'batch_size': 32, 'learning_rate': 2e-3, 'schedule': 'cosine', 'weight_decay': 0.01}
  return make('classification', arg, scales=SCALES, train=train)
