"""Builders of the user's own, which TFDS prepares without TensorFlow."""

import io
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


class Sentences(tfds.core.GeneratorBasedBuilder):
  """A builder of the user's own, prepared as TFDS documents it."""

  VERSION = tfds.core.Version('1.2.0')
  features = tfds.features.FeaturesDict({'text': tfds.features.Text(), 'label': np.int64})
  keys = None

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self, features=self.features, supervised_keys=self.keys, disable_shuffling=True
    )

  def _split_generators(self, _):
    return {'train': self.examples(0, 40), 'test': self.examples(40, 44)}

  def examples(self, start, stop):
    for i in range(start, stop):
      yield i, {'text': f'Übung {i}' + '\n' * (i % 2), 'label': i}

  def _generate_examples(self):
    raise NotImplementedError


class Translated(Sentences):
  features = tfds.features.Translation(languages=('de', 'en'))
  keys = ('de', 'en')
  BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name=name) for name in ('long', 'short')]

  def _split_generators(self, _):
    return {'train': self.examples(0, 40), 'validation': self.examples(40, 44), 'extra': self.examples(0, 2)}

  def examples(self, start, stop):
    for i in range(start, stop):
      yield i, {'de': f'Übung {i}', 'en': f'exercise  {i}'}


class Images(Sentences):
  features = tfds.features.FeaturesDict({'a': tfds.features.Tensor(shape=(2,), dtype=np.float32)})

  def examples(self, start, stop):
    for i in range(start, stop):
      yield i, {'a': np.full(2, i, np.float32)}


class Hours(Sentences):
  """One time step an example."""

  features = tfds.features.FeaturesDict(
    {
      'day': tfds.features.Text(),
      'load': np.float32,
      'weather': {'wind': np.int64, 'rain': tfds.features.Tensor(shape=(3,), dtype=np.float64)},
    }
  )

  def _split_generators(self, _):
    return {'train': self.examples(0, 40), 'validation': self.examples(40, 52), 'test': self.examples(52, 60)}

  def examples(self, start, stop):
    for i in range(start, stop):
      yield i, {'day': f'{i}', 'load': i % 5, 'weather': {'wind': -i, 'rain': [i, i * i, 1]}}


class Curves(Sentences):
  """A series an example."""

  features = tfds.features.FeaturesDict(
    {
      'name': tfds.features.Text(),
      'values': tfds.features.Sequence(np.float32),
      'table': tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
      'gaps': tfds.features.Sequence(np.float32),
    }
  )

  def _split_generators(self, _):
    return {'train': self.examples(0, 3), 'test': self.examples(3, 5)}

  def examples(self, start, stop):
    for i in range(start, stop):
      values = np.arange(50 + i, dtype=np.float32) + 100 * i
      gaps = np.where(np.arange(50 + i) == 7, np.nan, values)
      yield i, {'name': f'{i}', 'values': values, 'table': np.stack([values, -values], 1), 'gaps': gaps}


class Short(Curves):
  features = tfds.features.FeaturesDict({'values': tfds.features.Sequence(np.float32)})

  def _split_generators(self, _):
    return {'train': self.examples(0, 3)}

  def examples(self, start, stop):
    for i in range(start, stop):
      yield i, {'values': np.arange(9 - 4 * i)}


class Labelled(Sentences):
  """Series of several lengths, and an image, each with a class."""

  features = tfds.features.FeaturesDict(
    {
      'series': tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
      'curve': tfds.features.Tensor(shape=(6,), dtype=np.float64),
      'gaps': tfds.features.Sequence(np.float32),
      'image': tfds.features.Image(shape=(2, 3, 3)),
      'kind': tfds.features.ClassLabel(names=['low', 'high']),
    }
  )
  keys = ('series', 'kind')

  def examples(self, start, stop):
    for i in range(start, stop):
      series = np.full((3 + i % 4, 2), i, np.float32) * [[1, -1]]
      image = io.BytesIO()
      Image.fromarray((np.arange(18) + i).reshape(2, 3, 3).astype(np.uint8)).save(image, 'png')
      image.seek(0)
      rest = {'curve': np.arange(6.0) * i, 'gaps': [1, np.nan], 'image': image, 'kind': i % 2}
      yield i, {'series': series.astype(np.float32), **rest}


class Unlabelled(Labelled):
  features = tfds.features.FeaturesDict(
    {'a': tfds.features.Tensor(shape=(2,), dtype=np.float32), 'b': tfds.features.ClassLabel(num_classes=2)}
  )
  keys = None

  def examples(self, start, stop):
    for i in range(start, stop):
      yield i, {'a': np.full(2, i, np.float32), 'b': -1}


class Reviews(Sentences):
  features = tfds.features.FeaturesDict(
    {'text': tfds.features.Text(), 'label': tfds.features.ClassLabel(names=['neg', 'pos'])}
  )
  keys = ('text', 'label')

  def examples(self, start, stop):
    for i in range(start, stop):
      yield i, {'text': f'Übung {i}', 'label': -1 if i == 5 else i % 2}


ALL = (Sentences, Translated, Images, Hours, Curves, Short, Labelled, Unlabelled, Reviews)
