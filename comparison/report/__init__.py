"""Draws records and verdicts: Markdown for a repository, one self-contained HTML page. Imports no model."""

import pathlib
from typing import NamedTuple

from comparison.report import exports, figures, headline, html, markdown
from comparison.report.page import Page, assemble

__all__ = ['HEADLINE', 'Page', 'Paths', 'assemble', 'exports', 'verdict_table', 'write']


HEADLINE = 'figures/headline.svg'


class Paths(NamedTuple):
  markdown: pathlib.Path
  html: pathlib.Path


def write(page: Page, folder: pathlib.Path) -> Paths:
  """Write report.md with figures/*.svg, and report.html, which needs no other file."""
  drawn = {
    section.claim.number: [svg for plot in section.claim.plots if (svg := figures.draw(plot, page.records))]
    for section in page.sections
  }
  place = folder / 'figures'
  place.mkdir(exist_ok=True)
  picture = headline.draw(page.records)
  if picture:
    (folder / HEADLINE).write_text(figures.on_paper(picture), encoding='utf-8')
  names: dict[int, list[str]] = {}
  for number, svgs in drawn.items():
    for i, svg in enumerate(svgs):
      name = f'claim-{number:02}-{i + 1}.svg'
      (place / name).write_text(figures.on_paper(svg), encoding='utf-8')
      names.setdefault(number, []).append(f'figures/{name}')
  paths = Paths(folder / 'report.md', folder / 'report.html')
  paths.markdown.write_text(markdown.render(page, names, HEADLINE if picture else None), encoding='utf-8')
  on_page = {number: [figures.on_page(svg) for svg in svgs] for number, svgs in drawn.items()}
  paths.html.write_text(html.render(page, on_page, figures.on_page(picture) if picture else None), encoding='utf-8')
  return paths


def verdict_table(page: Page) -> str:
  """Return the verdicts as aligned text, for a terminal."""
  rows = [('claim', 'verdict', 'number', 'statement')]
  for section in page.sections:
    number = markdown.number(section.verdict)
    rows.append((str(section.claim.number), markdown.plain_status(section.verdict), number, section.claim.title))
  widths = [max(len(row[i]) for row in rows) for i in range(3)]
  lines = [f'{r[0]:>{widths[0]}}  {r[1]:<{widths[1]}}  {r[2]:<{widths[2]}}  {r[3]}' for r in rows]
  reasons = [
    f'{s.claim.number:>{widths[0]}}: {s.verdict.reason}'
    for s in page.sections
    if s.verdict.status in ('undecided', 'not measured here', 'not judged') and s.verdict.reason
  ]
  return '\n'.join(lines + (['', 'Why there is no verdict:', *reasons] if reasons else []))
