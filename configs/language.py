"""Language modelling on characters, bytes, words or sub-words; the default text is embedded in the project.

  python main.py --mode=train --config=configs/language.py:lstm --workdir=/tmp/language

Tiny Shakespeare in nanoGPT's CPU setting (published: validation loss 1.88 on sampled batches):

  python main.py --mode=train --workdir=/tmp/shakespeare --config=configs/language.py:transformer,\
dataset=tinyshakespeare,split=90/10,depth=4,width=128,heads=4,position=learned,norm=layer,tie_embeddings=True,\
length=64,batch_size=12,learning_rate=1e-3

Sub-words of the embedded text, made of its training split:

  python main.py --mode=train --config=configs/language.py:lstm,unit=subword,vocabulary=1000 --workdir=/tmp/subwords

Your own text, a file, a folder or a pattern (docs/data.md):

  python main.py --mode=train --workdir=/tmp/mine --config="configs/language.py:lstm,dataset=texts/*.txt"

Packed documents, between which neither state nor attention passes; here the paragraphs of the embedded text. Of your
own folder each file is a document without `separator`:

  python main.py --mode=train --workdir=/tmp/packed --config=configs/language.py:lstm,documents=packed,\
separator=blank_line
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'length': 32},
  'accelerator': {
    'dataset': 'tinyshakespeare',
    'split': '90/10',
    'depth': 6,
    'width': 384,
    'dropout': 0.2,
    'length': 256,
    'batch_size': 64,
    'learning_rate': 1e-3,
    'steps': 5000,
    'eval_every': 250,
  },
}


def get_config(arg: str | None = None) -> ConfigDict:
  return make('language', arg, scales=SCALES)
