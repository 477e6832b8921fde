"""Draws records and verdicts: Markdown for a repository, and one HTML page with all figures. Imports no model."""

import pathlib
from typing import NamedTuple

from comparison.report import canvas, drawing, exports, html, markdown
from comparison.report.page import Page, assemble

__all__ = ['HEADLINE', 'Page', 'Paths', 'assemble', 'exports', 'verdict_table', 'write']


HEADLINE = 'figures/headline.svg'


class Paths(NamedTuple):
  markdown: pathlib.Path
  html: pathlib.Path


def write(page: Page, folder: pathlib.Path) -> Paths:
  """Write report.md with figures/*.svg, and report.html, which shows all of it without another file.

  The links of report.html that save a figure or the records are to the files beside it.
  """
  leading, drawn = drawing.leading(page), drawing.of_claims(page)
  place = folder / drawing.FOLDER
  place.mkdir(exist_ok=True)
  drawing.clear(place, 'svg')
  for figure in drawing.own(leading, drawn):
    (folder / figure.path).write_text(canvas.on_paper(figure.svg), encoding='utf-8')
  paths = Paths(folder / 'report.md', folder / 'report.html')
  paths.markdown.write_text(markdown.render(page, drawn, leading), encoding='utf-8')
  files = sorted(path.name for path in folder.glob('records*.jsonl'))
  paths.html.write_text(html.render(page, drawn, leading, files), encoding='utf-8')
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
    if s.verdict.status in ('undecided', 'not judged') and s.verdict.reason
  ]
  reasons += [f'{number:>{widths[0]}}: {needs}: {command}' for number, _, needs, command in page.missing.rows]
  return '\n'.join(lines + (['', 'Why there is no verdict:', *reasons] if reasons else []))
