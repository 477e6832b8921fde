"""Whether rows that an experiment writes are read back."""

import json

from comparison import records


def misfits(rows):
  """Return the columns whose values the reader would leave out, with the row."""
  found = json.loads(json.dumps(rows))
  return {name for row in found for name, value in row.items() if not records._fits(name, value)}
