"""The content of a report, shared by Markdown and HTML: header, tables, verdicts."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from comparison import articles
from comparison.claims.article import Article, Statement
from comparison.claims.base import Claim, Verdict
from comparison.claims.judging import judge
from comparison.claims.tables import Table
from comparison.records import Row
from comparison.report import (
  across_tasks,
  capacity,
  headline,
  missing,
  named,
  quality,
  searched,
  tables,
  targets,
  task_quality,
  trained,
)

LEFT_OUT = 'left out'  # of the header
GATES = (
  'before it is timed or trained, every architecture on every backend must compute token by token what it computes in '
  'one call, see nothing of the future, and let padding change nothing, all within 1e-4; of one that reads both ways, '
  'padding alone is checked. Checked on one layer of 16 channels and 12 tokens in float32, whatever the size and type '
  'that are measured'
)


@dataclass(frozen=True)
class Section:
  """One claim with its verdict and the command that repeats it."""

  claim: Claim
  verdict: Verdict
  command: str
  tables: tuple[Table, ...] = ()
  need: missing.Need | None = None  # what was not measured
  searches: tuple[Table, ...] = ()  # what was tried for the scores


@dataclass(frozen=True)
class Page:
  article: Article
  header: tuple[tuple[str, str], ...]
  tables: tuple[Table, ...]
  sections: tuple[Section, ...]
  rest: tuple[Statement, ...]  # statements without a claim
  failures: tuple[str, ...]
  others: Table
  architectures: Table
  models: Table
  missing: Table
  records: Sequence[Row]


def assemble(records: Sequence[Row], numbers: Sequence[int] | None = None, article: Article | None = None) -> Page:
  """Judge the claims (None: all) of an article (None: the first) on the records of one comparison."""
  article = article or articles.load()
  claims = article.claims
  chosen = sorted(claims) if numbers is None else numbers
  scale = str(records[0]['scale']) if records else 'laptop'
  judged = [(claims[n], judge(claims[n], records)) for n in chosen]
  sections = tuple(
    Section(
      claim,
      verdict,
      command(article, claim, scale),
      quality.tables(claim, records),
      missing.need(claim, verdict, article, scale, records),
      searched.tables(claim, records),
    )
    for claim, verdict in judged
  )
  failures = tuple(
    f'{row["experiment"]}, {row.get("architecture", "a cell")}: {row.get("error", "")}'
    for row in records
    if row['metric'] == 'failed' or (row['metric'] == 'gate' and not row['value'])
  )
  rest = tuple(statement for number, statement in article.statements.items() if number not in claims)
  beside = named.table(records), tables.side_by_side(records), tables.models(records)
  absent = missing.table((section.claim, section.need) for section in sections)
  leading = (
    headline.table(records),
    *article.tables(records),
    capacity.table(records),
    task_quality.table(records),
    *across_tasks.tables(records),
    targets.table(records),
  )
  first = tuple(table for table in leading if table.rows)
  about = (*header(records), *left_out(scale if records else '', sections))
  return Page(article, about, first, sections, rest, failures, *beside, absent, records)


def by_section(page: Page) -> dict[str, list[Section]]:
  """Return section of the article → claims; claims of no statement stand under the last."""
  groups: dict[str, list[Section]] = {title: [] for title in page.article.sections}
  for section in page.sections:
    statement = page.article.statements.get(section.claim.number)
    groups.setdefault(statement.section if statement else 'Further claims', []).append(section)
  return {title: sections for title, sections in groups.items() if sections}


def command(article: Article, claim: Claim, scale: str) -> str:
  """Return the command that measures a claim, at the scale of the page where that one does."""
  chosen = claim.from_scale if scale == 'laptop' else scale
  return f'python main.py --mode=compare --scale={chosen}{article.option} --claims={claim.number} --workdir=W'


def left_out(scale: str, sections: Iterable[Section]) -> tuple[tuple[str, str], ...]:
  """Return the line of a header that says which claims a scale leaves out; none if it measures all of them."""
  missing_ones = (section.claim for section in sections if section.need is not None)
  numbers = [str(claim.number) for claim in missing_ones if scale == 'laptop' and claim.from_scale != scale]
  if not numbers:
    return ()
  words = f'{scale} measures a fixed subset of the experiments; claims measured from overnight on: {", ".join(numbers)}'
  return ((LEFT_OUT, words),)


def header(records: Sequence[Row]) -> tuple[tuple[str, str], ...]:
  """Return device, scale, seeds, budget, versions, commits and dates of the records."""
  if not records:
    return (('records', 'none'),)

  def every(column: str) -> str:
    return ', '.join(sorted({str(row[column]) for row in records if row.get(column) not in (None, '')})) or '–'

  versions = max(records, key=lambda row: row.get('time', 0.0)).get('versions', {})
  days = sorted({_day(row['time']) for row in records if 'time' in row})
  cells = {row['cell']: row.get('seconds', 0.0) for row in records if 'cell' in row}
  return (
    ('device', every('device_kind')),
    ('scale', every('scale')),
    *trained.header(records),
    ('data types', every('dtype')),
    ('versions', ', '.join(f'{name} {version}' for name, version in versions.items())),
    *_other_versions(records, versions),
    ('compiler flags', every('flags')),
    ('commit', every('commit')),
    ('measured', ' … '.join(dict.fromkeys((days[0], days[-1]))) if days else '–'),
    ('cells', f'{len(cells)}, {sum(cells.values()) / 60:.0f} minutes in all'),
    ('gates', GATES),
  )


def _other_versions(records: Sequence[Row], versions: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
  """Return a line on the cells that were measured with other versions, such as other kernels; empty without any."""
  of_cells = {row['cell']: row.get('versions', {}) for row in records if 'cell' in row}
  counts: dict[str, int] = {}
  for of_one in of_cells.values():
    names = [name for name in (*versions, *of_one) if of_one.get(name) != versions.get(name)]
    if names:
      shown = ', '.join(f'{name} {of_one.get(name, "not recorded")}' for name in dict.fromkeys(names))
      counts[shown] = counts.get(shown, 0) + 1
  if not counts:
    return ()
  shown = '; '.join(f'{count} with {which}' for which, count in sorted(counts.items()))
  return (('cells of other versions', f'of {len(of_cells)}: {shown}'),)


def _day(time: float) -> str:
  return datetime.datetime.fromtimestamp(time, datetime.UTC).date().isoformat()
