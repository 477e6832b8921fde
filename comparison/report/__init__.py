"""Draws records and verdicts: Markdown for a repository, one self-contained HTML page. Imports no model."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from comparison.records import Row
from comparison.report import figures, html, markdown
from comparison.report.page import Page, assemble

__all__ = ['Page', 'Paths', 'assemble', 'summary', 'verdict_table', 'write']


class Paths(NamedTuple):
  markdown: pathlib.Path
  html: pathlib.Path


def write(page: Page, folder: pathlib.Path) -> Paths:
  """report.md with figures/*.svg, and report.html, which needs nothing but itself."""
  drawn = {
    section.claim.number: [svg for plot in section.claim.plots if (svg := figures.draw(plot, page.records))]
    for section in page.sections
  }
  place = folder / 'figures'
  place.mkdir(exist_ok=True)
  names: dict[int, list[str]] = {}
  for number, svgs in drawn.items():
    for i, svg in enumerate(svgs):
      name = f'claim-{number:02}-{i + 1}.svg'
      (place / name).write_text(figures.on_paper(svg))
      names.setdefault(number, []).append(f'figures/{name}')
  paths = Paths(folder / 'report.md', folder / 'report.html')
  paths.markdown.write_text(markdown.render(page, names))
  paths.html.write_text(
    html.render(page, {number: [figures.on_page(svg) for svg in svgs] for number, svgs in drawn.items()})
  )
  return paths


def verdict_table(page: Page) -> str:
  """The verdicts as aligned text, for a terminal."""
  rows = [('claim', 'verdict', 'number', 'statement')]
  for section in page.sections:
    number = markdown.number(section.verdict)
    rows.append((str(section.claim.number), section.verdict.status, number, section.claim.title))
  widths = [max(len(row[i]) for row in rows) for i in range(3)]
  lines = [f'{r[0]:>{widths[0]}}  {r[1]:<{widths[1]}}  {r[2]:<{widths[2]}}  {r[3]}' for r in rows]
  reasons = [
    f'{s.claim.number:>{widths[0]}}: {s.verdict.reason}'
    for s in page.sections
    if s.verdict.status in ('undecided', 'not measured here') and s.verdict.reason
  ]
  return '\n'.join(lines + (['', 'Why there is no verdict:', *reasons] if reasons else []))


def summary(records: Sequence[Row]) -> str:
  """The header, the article's tables and one line a verdict, in Markdown: what a README shows."""
  return markdown.summary(assemble(records))
