"""Language modelling on characters, bytes, words or sub-words; the default text is embedded in the project.

  python main.py --mode=train --config=configs/language.py:lstm --workdir=/tmp/language

Tiny Shakespeare in nanoGPT's CPU setting (published: validation loss 1.88 on sampled batches):

  python main.py --mode=train --workdir=/tmp/shakespeare --config=configs/language.py:transformer,\
dataset=tinyshakespeare,split=90/10,depth=4,width=128,heads=4,position=learned,norm=layer,tie_embeddings=True,\
length=64,batch_size=12,learning_rate=1e-3

The same in its larger setting, of 10M parameters (published: best validation loss 1.47):

  python main.py --mode=train --workdir=/tmp/shakespeare10m --config=configs/language.py:transformer,\
scale=accelerator,heads=6,position=learned,norm=layer,tie_embeddings=True

Words of the Penn Treebank, small LSTM (published: test perplexity 115, Zaremba et al. 2014; 117.2 after 54 minutes on
two busy CPU cores). Their loss is a sum over the 20 steps of a segment, ours a mean, so that a rate of 20 and a clip of
0.25 are their 1 and 5; an epoch has 2,323 steps, the rate is halved after the fifth and each one after. Other than
there, biases start as usual and embeddings are read times √200:

  python main.py --mode=train --workdir=/tmp/ptb --config=configs/language.py:lstm,\
dataset=ptb,depth=2,width=200,init_scale=0.1,length=20,segment=-1,batch_size=20,optimizer=sgd,momentum=0,\
learning_rate=20,clip=0.25,weight_decay=0,schedule=staircase,warmup_steps=0,decay_begin=9292,decay_every=2323,\
steps=30199,eval_every=2323,checkpoint_every=2323 --config.eval.segment=500 --config.eval.streams=1

Bytes of enwik8, about 44M parameters each, for an accelerator. Published bits a byte of the test split: Transformer-XL
1.06 (Dai et al. 2019: 41M), LSTMs 1.23 (44M) and 1.24 (46M), in settings of their own (Merity 2019), a Transformer 1.11
(Al-Rfou et al. 2019: 44M, recalled), the gated delta rule none. Nothing of `scale=accelerator` fits; rates and steps of
the last two are ours, and untried:

  python main.py --mode=train --workdir=/tmp/enwik8-xl --config=configs/language.py:transformer_xl,\
dataset=enwik8,depth=12,width=512,heads=8,length=512,batch_size=22,dropout=0.1,learning_rate=2.5e-4,steps=400000
  python main.py --mode=train --workdir=/tmp/enwik8-transformer --config=configs/language.py:transformer,\
dataset=enwik8,depth=12,params=4.4e7,length=512,batch_size=22,dropout=0.1,learning_rate=2.5e-4,steps=400000
  python main.py --mode=train --workdir=/tmp/enwik8-lstm --config=configs/language.py:lstm,\
dataset=enwik8,depth=3,params=4.4e7,length=512,segment=-1,batch_size=64,dropout=0.1,learning_rate=1e-3,steps=100000 \
--config.eval.segment=-1
  python main.py --mode=train --workdir=/tmp/enwik8-delta --config=configs/language.py:gated_deltanet,\
dataset=enwik8,depth=12,params=4.4e7,length=512,segment=-1,batch_size=22,dropout=0.1,learning_rate=1e-3,steps=100000 \
--config.eval.segment=-1

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
