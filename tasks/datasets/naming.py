"""Tell data sets that have a name, those that TFDS has prepared, and the user's own files apart."""

from collections.abc import Container

from tasks.datasets import files, tfds_prepared


def stamp(dataset: str, names: Container[str]) -> tuple:
  """Return what changes where the files of a data set change, so that they are read anew; () for a name."""
  if dataset in names:
    return ()
  return tfds_prepared.stamp(dataset) if tfds_prepared.is_name(dataset) else files.stamp(dataset)


def recorded(dataset: str, names: Container[str], otherwise: str = 'files') -> str:
  """Return what a workdir records as the name of its data: `otherwise` for the user's own files, which may move."""
  return dataset if dataset in names or tfds_prepared.is_name(dataset) else otherwise
