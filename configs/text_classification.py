"""Classifying texts: passages of the embedded text by their help topics, your own tables, data sets of TFDS.

  python main.py --mode=train --config=configs/text_classification.py:lstm,width=64,depth=1 --workdir=/tmp/topics

This LSTM is right on 0.475 of the test passages, a bag of bytes on 0.393 (one seed; 23 s on two
CPU cores).

Your own table, a label and a text in each line with a tab between (docs/data.md), in sub-words:

  python main.py --mode=train --workdir=/tmp/reviews --config="configs/text_classification.py:transformer,kind=encode,\
dataset=reviews.tsv,unit=subword,vocabulary=2000,length=200"

The setting of Long Range Arena is bytes of film reviews, cut to 4,000: Transformer 0.643 (Tay et al. 2021,
recalled), with `scale=accelerator` and `dataset=tfds:imdb_reviews`, once TensorFlow Datasets has prepared it.
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'length': 32},
  'accelerator': {'length': 4000, 'width': 256, 'depth': 4, 'steps': 20_000, 'eval_every': 200},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 1500, 'batch_size': 32, 'learning_rate': 2e-3, 'schedule': 'cosine', 'weight_decay': 0.01}
  return make('text_classification', arg, scales=SCALES, train=train)
