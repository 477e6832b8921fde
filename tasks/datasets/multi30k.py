"""Multi30k, task 1 (Elliott, Frank, Sima'an & Specia 2016): captions of photographs in English and in German."""

from tasks.datasets import source
from tasks.datasets.source import RawFile

LANGUAGES = ('de', 'en')

_FOLDER = 'https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw'
_SPLITS = {'train': 'train', 'validation': 'val', 'test': 'test_2016_flickr'}
# Split and language → size and sha256 of the unpacked file.
_CONTENTS = {
  ('train', 'de'): (2_110_398, '2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72'),
  ('train', 'en'): (1_801_238, '460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6'),
  ('validation', 'de'): (75_981, '660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660'),
  ('validation', 'en'): (63_297, '1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227'),
  ('test', 'de'): (70_649, '4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16'),
  ('test', 'en'): (62_076, '399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182'),
}


def raw_file(split: str, language: str) -> RawFile:
  """Return the file of one language of a split."""
  name = f'{_SPLITS[split]}.{language}'
  return RawFile(f'multi30k/{name}', f'{_FOLDER}/{name}.gz', *_CONTENTS[split, language])


def read(language: str) -> dict[str, str]:
  """Return the text of each split in one language, a sentence a line. Raises InputError as `source.read`."""
  return {split: source.read(raw_file(split, language)).decode() for split in _SPLITS}
