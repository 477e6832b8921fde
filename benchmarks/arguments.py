"""Flags of the benchmark programs."""

from collections.abc import Sequence

from absl import flags

from seqmodels.errors import InputError


def read_flags(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """Set the flags from a command line. InputError for one that is not defined, a bad value, or anything else."""
  try:
    rest = values(list(argv))[1:]
  except flags.Error as error:
    raise InputError(' '.join(str(error).split())) from error
  if rest:
    raise InputError(f'{rest[0]!r} is not expected: flags begin with --')
