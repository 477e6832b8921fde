"""List what was not measured with the command that measures it, once for all pages."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from comparison.claims.article import Article
from comparison.claims.base import DEVICES, Claim, Verdict
from comparison.claims.tables import Table
from comparison.records import Row

TITLE = 'Not measured here'
NOTE = 'What a verdict needs that the records of this page do not have. W: any folder, such as that of the records.'
OVERNIGHT, ACCELERATOR = 'overnight', 'accelerator'


class Need(NamedTuple):
  """Name what a verdict needs and the command that measures it; empty where this program cannot."""

  what: str
  command: str


def need(claim: Claim, verdict: Verdict, article: Article, scale: str, records: Sequence[Row]) -> Need | None:
  """Return what a claim needs that was not measured; None if nothing is missing.

  An experiment without numbers is measured at the scale of the page, overnight at least; one that lacks what the claim
  speaks of, at the next larger scale.
  """
  if verdict.status != 'not measured here':
    return None
  if verdict.here is not None:
    device = DEVICES[claim.speaks_of]
    names = claim.experiments
    return Need(f'needs {device.needs}', '' if device.of_records is None else command(article, ACCELERATOR, names))
  names = verdict.needs or claim.experiments
  measured = {row['experiment'] for row in records if row.get('value') is not None}
  is_too_small = scale == OVERNIGHT and set(names) <= measured
  return Need(
    verdict.reason, command(article, ACCELERATOR if is_too_small or scale == ACCELERATOR else OVERNIGHT, names)
  )


def command(article: Article, scale: str, experiments: Iterable[str]) -> str:
  names = ','.join(experiments)
  return f'python main.py --mode=compare --scale={scale}{article.option} --experiments={names} --workdir=W'


def table(needs: Iterable[tuple[Claim, Need | None]]) -> Table:
  """Return a row for each claim without a measurement."""
  rows = tuple(
    (str(claim.number), claim.title, f'not measured here: {found.what}', found.command or '–')
    for claim, found in needs
    if found is not None
  )
  return Table(TITLE, NOTE, ('', 'claim', 'needs', 'command'), rows)
