"""The page as Markdown."""

from collections.abc import Mapping, Sequence

from comparison.claims.base import Status, Verdict, figure, show
from comparison.claims.tables import Table
from comparison.report import missing, tally
from comparison.report.figures import Drawn
from comparison.report.page import Page, Section
from comparison.statistics import Interval

MARKS: dict[Status, str] = {
  'supported': '✔',
  'contradicted': '✘',
  'mixed': '◐',
  'undecided': '?',
  'fact': '=',
  'not measured here': '–',
  'not judged': '·',
}

LIST = missing.TITLE.lower().replace(' ', '-')  # the anchor of the list of what was not measured
REST = 'Statements without a claim'


def render(page: Page, figures: Mapping[int, Sequence[Drawn]], leading: Sequence[Drawn] = ()) -> str:
  """Return the whole report. figures: claim → its plots; leading: those of the whole page."""
  parts = [f'# {page.article.title}', header(page)]
  parts += [f'![{drawn.title}]({drawn.path})\n\n{drawn.caption}' for drawn in leading]
  parts += [table(t) for t in page.tables]
  parts += ['## Verdicts', tally.sentence(page), verdicts(page)]
  parts += [table(page.missing, '##')] if page.missing.rows else []
  for section in page.sections:
    parts += claim(section, figures.get(section.claim.number, ()))
  parts += [table(t) for t in (page.others, page.architectures, page.models) if t.rows]
  if page.failures:
    parts += ['## What failed', '\n'.join(f'- {line}' for line in page.failures)]
  if page.rest:
    parts += [f'## {REST}', '\n'.join(f'- {s.number}. {s.text} ({s.where})' for s in page.rest)]
  return '\n\n'.join(parts) + '\n'


def header(page: Page) -> str:
  return '\n'.join(f'- **{name}**: {value}' for name, value in page.header)


def table(content: Table, level: str = '####') -> str:
  return '\n\n'.join(filter(None, (f'{level} {content.title}', content.note, grid(content.columns, content.rows))))


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [columns, ['---'] * len(columns), *rows]
  return '\n'.join('| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) + ' |' for line in lines)


def verdicts(page: Page) -> str:
  rows = [
    (
      str(s.claim.number),
      s.claim.statement,
      status(s.verdict),
      number(s.verdict),
      s.verdict.about,
    )
    for s in page.sections
  ]
  return grid(('', 'statement', 'verdict', 'deciding number [95 %]', 'of what'), rows)


def claim(section: Section, figures: Sequence[Drawn]) -> list[str]:
  about, verdict = section.claim, section.verdict
  parts: list[str] = [
    f'## {about.number}. {about.title}: {plain_status(verdict)}',
    f'> {about.statement}',
    f'The words of the article: {about.words}.' if about.words else '',
    f'**{number(verdict)}** {verdict.about}'.strip() if verdict.number is not None else '',
  ]
  regimes = points(verdict)
  parts += [table(regimes)] if regimes else []
  parts.append(folded('In words', verdict.text) if is_list(verdict) else verdict.text)
  if section.need:
    parts.append(f'[{missing.TITLE}](#{LIST}).')
  if verdict.reason and not (section.need and verdict.here is None):
    parts.append(folded(f'Why: {sides(verdict)}', f'{verdict.reason}.') if regimes else f'*Why:* {verdict.reason}.')
  notes = [*(f'Not in the verdict: {line}' for line in verdict.beside), *verdict.notes]
  parts.append('\n'.join(f'- {note}.' for note in notes))
  parts += [table(t, '####') for t in (*section.tables, *section.searches)]
  parts += [picture(drawn) for drawn in figures if drawn.shows != 'learning']
  learning = [picture(drawn) for drawn in figures if drawn.shows == 'learning']
  parts += [folded('Learning curves', '\n\n'.join(learning))] if learning else []
  if verdict.ladder:
    parts.append('Ladder:\n\n' + '\n'.join(f'- {line}' for line in verdict.ladder))
  parts.append(f'Protocol: {about.protocol}')
  parts.append('\n'.join(f'- {line}' for line in rules(section)))
  parts.append(f'```\n{section.command}\n```')
  return [part for part in parts if part]


def picture(drawn: Drawn) -> str:
  return f'![{drawn.title}]({drawn.path})' if drawn.of is None else f'*{drawn.title}*: drawn at claim {drawn.of}.'


def points(verdict: Verdict) -> Table | None:
  """Return the regimes of a verdict with their numbers and sides; None for fewer than two."""
  if len(verdict.points) < 2:
    return None
  rows = []
  for point in verdict.points:
    side = 'supports' if point.supports else 'contradicts' if point.contradicts else 'neither'
    limit = '' if point.threshold is None else f'{"≥" if point.side > 0 else "≤"} {figure(point.threshold)}'
    rows.append((point.label, f'{show(point.interval)} {point.unit}'.strip(), limit, side))
  columns = ['regime', 'number [95 %]', 'supported if', 'side']
  if not any(row[2] for row in rows):
    return Table('Regimes', '', ('regime', 'number [95 %]', 'side'), tuple((a, b, d) for a, b, _, d in rows))
  return Table('Regimes', '', tuple(columns), tuple(rows))


def sides(verdict: Verdict) -> str:
  """Return how many regimes support and contradict the statement."""
  support, against = (sum(getattr(p, name) for p in verdict.points) for name in ('supports', 'contradicts'))
  neither = len(verdict.points) - support - against
  counts = ((support, 'support'), (against, 'contradict'), (neither, 'do neither'))
  return f'of {len(verdict.points)} regimes {", ".join(f"{count} {what}" for count, what in counts if count)}'


def is_list(verdict: Verdict) -> bool:
  """Return whether the text of a verdict names all its regimes, which a table shows better."""
  return len(verdict.points) > 1 and all(str(point) in verdict.text for point in verdict.points)


def folded(title: str, content: str) -> str:
  return f'<details><summary>{title}</summary>\n\n{content}\n\n</details>'


def status(verdict: Verdict) -> str:
  """Return the verdict with its mark; of a statement about another device, what this one says."""
  if verdict.here is None:
    return f'{MARKS[verdict.status]} {verdict.status}'
  return f'here: {MARKS[verdict.here]} {verdict.here}; {verdict.elsewhere}: not measured'


def plain_status(verdict: Verdict) -> str:
  return verdict.status if verdict.here is None else f'{verdict.here} on this device, not measured {verdict.elsewhere}'


def rules(section: Section) -> list[str]:
  """Return a line for each rule of a claim, the newest first."""
  claim = section.claim
  lines = [
    f'Rule {rule.version}, of {rule.since} UTC{" (in force here)" if rule.version == section.verdict.rule else ""}: '
    f'{rule.text}'
    for rule in reversed(claim.rules)
  ]
  return [*lines, f'Why it was changed: {claim.revised}.'] if claim.revised else lines


def number(verdict: Verdict) -> str:
  """Format the deciding number: `1.23 [1.10, 1.31] ms`; empty without one."""
  if verdict.number is None:
    return ''
  ends = (verdict.number if end is None else end for end in (verdict.low, verdict.high))
  return f'{show(Interval(*map(tidy, (verdict.number, *ends))))} {verdict.unit}'.strip()


def tidy(value: float) -> float:
  """Round to zero a value that differs from it by rounding only."""
  return 0.0 if abs(value) < 1e-9 else value
