"""The one exception that means "the user's input is wrong"; `main.py` prints it as one line and exits with 2."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
  """Bad input. The message is one line: the flag or field, the value, and what is allowed."""


def unknown(field: str, value: object, allowed: Iterable[str]) -> InputError:
  """An InputError for a name that is not in `allowed`, with the nearest valid names first."""
  names = sorted(allowed)
  near = difflib.get_close_matches(str(value), names, n=3, cutoff=0.5)
  hint = f'nearest: {", ".join(near)}; ' if near else ''
  return InputError(f'{field}={value!r} is not known; {hint}allowed: {", ".join(names)}')


def check_positive(**fields: int | float) -> None:
  """Raises InputError unless every field is greater than zero."""
  for field, value in fields.items():
    if not value > 0:
      raise InputError(f'{field}={value!r} must be greater than 0')
