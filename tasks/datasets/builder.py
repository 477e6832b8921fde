"""Define the base of the project's TFDS builders: verified raw files in, ArrayRecords out, no TensorFlow."""

import abc
import contextlib
import io
import logging
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from seqmodels.errors import InputError
from tasks.datasets import source

log = logging.getLogger('seqmodels')

RECORD_BYTES = 1 << 20  # long texts are stored in pieces of this size

Records = dict[str, Iterable[dict[str, Any]]]  # split → records, in order


class RawFileBuilder(tfds.core.GeneratorBasedBuilder, abc.ABC):
  """Prepare raw files. Subclasses name the files and turn their contents into records."""

  VERSION = tfds.core.Version('1.0.0')
  files: ClassVar[tuple[source.RawFile, ...]]
  homepage: ClassVar[str]
  citation: ClassVar[str]

  @abc.abstractmethod
  def features(self) -> tfds.features.FeaturesDict: ...

  @abc.abstractmethod
  def records(self, contents: list[bytes]) -> Records:
    """Return the records of each split from the contents of `files`, in their order."""

  def prepare(self) -> None:
    """Write the prepared data unless they exist. Every raw file is verified before anything is written.

    Raises InputError for a raw file that is missing or refused, and for a folder that cannot be written.
    """
    if self._written():
      return
    self._contents = [source.read(file) for file in self.files]
    tfds.disable_progress_bar()
    try:
      with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints much
        self.download_and_prepare(file_format='array_record')
    except OSError as error:
      # Another process may have renamed its own finished copy into place first.
      if not self._written():
        raise InputError(f'data_dir={str(source.data_folder())!r} cannot be written: {error}') from error
    finally:
      del self._contents
    log.info('%s is prepared in %s', self.name, source.data_folder())

  def _written(self) -> bool:
    # TFDS renames the folder into place when everything is in it; its own is_prepared() warns when it is not there.
    return (self.data_path / 'dataset_info.json').exists()

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description=type(self).__doc__,
      features=self.features(),
      homepage=self.homepage,
      citation=self.citation,
      disable_shuffling=True,  # a text is read in the order in which it was written
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    return {split: iter(enumerate(records)) for split, records in self.records(self._contents).items()}

  def _generate_examples(self, **_: Any) -> Iterator[Any]:
    raise NotImplementedError('the split generators give the examples themselves')


class TextBuilder(RawFileBuilder):
  """Prepare whole texts: one per split, stored in pieces."""

  def features(self) -> tfds.features.FeaturesDict:
    return tfds.features.FeaturesDict({'text': tfds.features.Text()})

  @abc.abstractmethod
  def texts(self, contents: list[bytes]) -> dict[str, bytes]:
    """Return the text of each split."""

  def records(self, contents: list[bytes]) -> Records:
    return {split: [{'text': piece} for piece in _pieces(text)] for split, text in self.texts(contents).items()}


def _pieces(text: bytes) -> list[bytes]:
  return [text[start : start + RECORD_BYTES] for start in range(0, len(text), RECORD_BYTES)]


def load(builder: type[RawFileBuilder]) -> dict[str, list[dict[str, Any]]]:
  """Return every record of every split, in order; prepare the data the first time.

  Raises InputError for prepared data that are damaged (ArrayRecords carry checksums), and what `prepare` raises.
  """
  try:
    instance = builder(data_dir=source.data_folder(), file_format='array_record')
  except Exception as error:  # whatever TFDS makes of a description that is damaged: protobuf's error, JSON's, …
    where = source.data_folder() / builder.name
    raise InputError(f'{where} is damaged ({type(error).__name__}); remove it, and it is prepared again') from error
  instance.prepare()
  try:
    sources = instance.as_data_source()
    return {split: list(records.__getitems__(range(len(records)))) for split, records in sources.items()}
  except RuntimeError as error:
    reason = str(error).split(';')[0]
    raise InputError(f'{instance.data_path} is damaged ({reason}); remove it, and it is prepared again') from error


def load_texts(builder: type[TextBuilder]) -> dict[str, bytes]:
  """Return the text of each split; prepare the data the first time."""
  return {split: b''.join(record['text'] for record in records) for split, records in load(builder).items()}
