"""How many statements have which verdict: counted once, for the README, the Markdown page and the HTML page."""

from typing import NamedTuple

from comparison.claims.base import STATUSES, Status
from comparison.report.page import Page

OPEN: tuple[Status, ...] = ('not measured here', 'not judged')  # statuses that are no verdict


class Tally(NamedTuple):
  """Counts that add up to the statements of a page.

  verdicts: status → statements that have it, none of them zero. elsewhere: of a statement about devices that were not
  there, which these are, one entry a statement. older: measured before their rule was written. missing: not measured.
  """

  verdicts: dict[Status, int]
  elsewhere: tuple[str, ...]
  older: int
  missing: int

  @property
  def devices(self) -> str:
    """`GPUs or phones`."""
    return ' or '.join(sorted(set(self.elsewhere)))

  @property
  def judged(self) -> int:
    return sum(self.verdicts.values())

  @property
  def every(self) -> int:
    return self.judged + len(self.elsewhere) + self.older + self.missing


def count(page: Page) -> Tally:
  """Return the counts of a page; statements without a claim are not measured."""
  statuses = [s.verdict.status for s in page.sections if s.verdict.here is None]
  verdicts = {status: statuses.count(status) for status in STATUSES if status in statuses and status not in OPEN}
  return Tally(
    verdicts,
    tuple(s.claim.speaks_of for s in page.sections if s.verdict.here is not None),
    statuses.count('not judged'),
    statuses.count('not measured here') + len(page.rest),
  )


def boxes(page: Page) -> list[tuple[Status, int, str]]:
  """Return the counts with a status, whose colour they have, and what was counted."""
  found = count(page)
  lines: list[tuple[Status, int, str]] = [(status, number, status) for status, number in found.verdicts.items()]
  lines.append(('not measured here', len(found.elsewhere), f'about {found.devices}, with a number from this device'))
  lines += [('not judged', found.older, 'not judged'), ('not measured here', found.missing, 'not measured here')]
  return [line for line in lines if line[1]]


def sentence(page: Page) -> str:
  """Return how many statements have which verdict, and why the others have none."""
  found = count(page)
  counts = [f'{number} {status}' for status, number in found.verdicts.items()]
  if found.verdicts.get('fact', 0) > 1:
    counts[-1] += 's'  # the last status of those that are a verdict
  more = ''
  if found.elsewhere:
    speak = 'speaks' if len(found.elsewhere) == 1 else 'speak'
    more += f' {len(found.elsewhere)} more {speak} of {found.devices}, with a number from this device alone.'
  if found.older:
    more += f' {found.older} more {_have(found.older)} numbers that were measured before their rule was written.'
  if found.missing:
    more += f' {found.missing} {_have(found.missing)} no measurement here.'
  lead = f'{found.judged} of the {found.every} statements {_have(found.judged)} a verdict here'
  return f'{lead}: {", ".join(counts) or "none"}.{more}'


def _have(count: int) -> str:
  return 'has' if count == 1 else 'have'
