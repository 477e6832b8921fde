"""The page as Markdown."""

import math
from collections.abc import Mapping, Sequence

from comparison.claims.base import Status, Verdict, figure
from comparison.claims.tables import Table
from comparison.report.headline import TITLE
from comparison.report.page import Page, Section

MARKS: dict[Status, str] = {
  'supported': '✔',
  'contradicted': '✘',
  'mixed': '◐',
  'undecided': '?',
  'fact': '=',
  'not measured here': '–',
  'not judged': '·',
}


def render(page: Page, figures: Mapping[int, Sequence[str]], headline: str | None = None) -> str:
  """Return the whole report. figures: claim → paths of its plots, relative to the report; headline: the same."""
  parts = [f'# {page.article.title}', header(page)]
  parts += [f'![{TITLE}]({headline})'] if headline else []
  parts += [table(t) for t in page.tables]
  parts += ['## Verdicts', verdicts(page)]
  for section in page.sections:
    parts += claim(section, figures.get(section.claim.number, ()))
  parts += [table(t) for t in (page.others, page.architectures, page.models) if t.rows]
  if page.failures:
    parts += ['## What failed', '\n'.join(f'- {line}' for line in page.failures)]
  if page.rest:
    parts += ['## Not measured yet', '\n'.join(f'- {s.number}. {s.text} ({s.where})' for s in page.rest)]
  return '\n\n'.join(parts) + '\n'


def header(page: Page) -> str:
  return '\n'.join(f'- **{name}**: {value}' for name, value in page.header)


def table(content: Table, level: str = '####') -> str:
  return f'{level} {content.title}\n\n{content.note}\n\n{grid(content.columns, content.rows)}'


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


def claim(section: Section, figures: Sequence[str]) -> list[str]:
  about, verdict = section.claim, section.verdict
  parts: list[str] = [
    f'## {about.number}. {about.title}: {plain_status(verdict)}',
    f'> {about.statement}',
    f'The words of the article: {about.words}.' if about.words else '',
    f'**{number(verdict)}** {verdict.about}'.strip() if verdict.number is not None else '',
    verdict.text,
  ]
  if verdict.reason:
    parts.append(f'*Why:* {verdict.reason}.')
  if verdict.notes:
    parts.append('\n'.join(f'- {note}.' for note in verdict.notes))
  parts += [table(t, '####') for t in section.tables]
  parts += [f'![{about.title}]({path})' for path in figures]
  if verdict.ladder:
    parts.append('Ladder:\n\n' + '\n'.join(f'- {line}' for line in verdict.ladder))
  parts.append(f'Protocol: {about.protocol}')
  parts.append('\n'.join(f'- {line}' for line in rules(section)))
  parts.append(f'```\n{section.command}\n```')
  return [part for part in parts if part]


def status(verdict: Verdict) -> str:
  """Return the verdict with its mark; of a statement about GPUs, what this device says."""
  if verdict.here is None:
    return f'{MARKS[verdict.status]} {verdict.status}'
  return f'here: {MARKS[verdict.here]} {verdict.here}; on a GPU: not measured'


def plain_status(verdict: Verdict) -> str:
  return verdict.status if verdict.here is None else f'{verdict.here} on this device, not measured on a GPU'


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
  value, low, high = (figure(tidy(x)) for x in (verdict.number, verdict.low, verdict.high))
  bounded = all(b is not None and math.isfinite(b) for b in (verdict.low, verdict.high))
  shown = f'{value} [{low}, {high}]' if bounded and low != high else value
  return f'{shown} {verdict.unit}'.strip()


def tidy(value: float | None) -> float:
  """Round to zero a value that differs from it by rounding only."""
  return 0.0 if value is None or abs(value) < 1e-9 else value
