"""Translation: sub-words of the source are read, those of the target written; sacreBLEU of beam search.

The default sentences are made up:

  python main.py --mode=train --config=configs/translation.py:encoder_decoder --workdir=runs/phrases
  python main.py --mode=generate --workdir=runs/phrases --beam=4 --prompt="Heute sieht der alte Mann den Hund ."

Captions from German into English (Multi30k: `--downloads_dir` names a folder with its files, else they are fetched):

  python main.py --mode=train --workdir=runs/de-en --config=configs/translation.py:encoder_decoder,dataset=multi30k,\
vocabulary=4000,steps=8000
  python main.py --mode=eval --workdir=runs/de-en

On two cores of an AMD EPYC that other work shared, from the restored checkpoint and one seed: with `lowercase=True,
vocabulary=4000,width=256,depth=2,dropout=0.1`, test BLEU (case:lc) is 38.6 for `rnn_attention` after 2,700 steps (six
epochs, 36 minutes), and 35.9 for `encoder_decoder,heads=8,feedforward=2.0` after 1,800 (four epochs, 31 minutes): no
comparison, since the epochs differ. The copied source has 0.7.

`scale=accelerator` is the setting of the pytorch-seq2seq notebooks with sub-words for words. They publish BLEU 36.5
for `encoder_decoder`, and 28.3 for `rnn_attention,depth=1,width=512,dropout=0.5,learning_rate=1e-3`, on the tokens
of their own tokenizer: sacreBLEU is close to that, not equal.

Your own sentences (docs/data.md):

  python main.py --mode=train --workdir=runs/own --config=configs/translation.py:rnn_attention,dataset=pairs.tsv
"""

from ml_collections import ConfigDict

from configs.base import make
from configs.scales import Scales

SCALES: Scales = {
  'smoke': {'length': 48, 'buckets': 2, 'free_running': 32},
  'accelerator': {
    'dataset': 'multi30k',
    'lowercase': True,
    'shared': False,
    'vocabulary': 6000,
    'depth': 3,
    'width': 256,
    'heads': 8,
    'feedforward': 2.0,
    'dropout': 0.1,
    'batch_size': 128,
    'optimizer': 'adam',
    'beta2': 0.999,
    'schedule': 'constant',
    'warmup_steps': 0,
    'learning_rate': 5e-4,
    'steps': 2270,  # 10 epochs
    'eval_every': 227,
  },
}


def get_config(arg: str | None = None) -> ConfigDict:
  return make(
    'translation',
    arg,
    scales=SCALES,
    train={'batch_size': 64, 'learning_rate': 1e-3, 'weight_decay': 0.01},
    evaluation={'beams': 4, 'length_penalty': 0.6, 'free_running': -1},
  )
