"""The tables, verdicts and figures of a page as files to take away: CSV, JSON, LaTeX (booktabs) and PDF for a paper."""

import csv
import dataclasses
import io
import json
import math
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from comparison.claims import judging
from comparison.claims.base import levels
from comparison.claims.tables import Table
from comparison.records import Row
from comparison.report import drawing, markdown, trained
from comparison.report.page import Page, Section

FOLDER = 'tables'  # of CSV and LaTeX, a file a table
# What LaTeX reads as commands, and signs that its fonts do not have in text.
ESCAPES = {
  '\\': r'\textbackslash{}', '&': r'\&', '%': r'\%', '$': r'\$', '#': r'\#', '_': r'\_', '{': r'\{', '}': r'\}',
  '~': r'\textasciitilde{}', '^': r'\textasciicircum{}', '<': '$<$', '>': '$>$', '|': '$|$', '"': "''",
  '×': r'$\times$', '÷': r'$\div$', '≥': r'$\geq$', '≤': r'$\leq$', '−': '$-$', '±': r'$\pm$', '≈': r'$\approx$',
  '→': r'$\rightarrow$', '…': r'\dots{}', '∝': r'$\propto$', '·': r'$\cdot$', '∂': r'$\partial$', '‖': r'$\|$',
  '²': '$^2$', '³': '$^3$', '⁻': '$^-$', '₂': '$_2$', '√': r'$\sqrt{\,}$', 'µ': r'$\mu$', 'μ': r'$\mu$', '–': '--',
  '—': '---', '’': "'", '“': '``', '”': "''", '✔': r'$\surd$', '✘': r'$\times$', '◐': r'$\sim$',
  '₁': '$_1$', '₀': '$_0$',
  'é': r"\'e", 'ö': r'\"o', 'ü': r'\"u', 'ä': r'\"a', 'å': r'\aa{}', '\N{NO-BREAK SPACE}': '~',
}  # fmt: skip


def write(page: Page, folder: pathlib.Path, kind: str) -> list[pathlib.Path]:
  """Write the tables as `csv`, `latex` or `json`; return the files."""
  if kind == 'json':
    path = folder / 'report.json'
    path.write_text(json.dumps(as_json(page), indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    return [path]
  place = folder / FOLDER
  place.mkdir(exist_ok=True)
  made = {'csv': as_csv, 'latex': lambda table: as_latex(table, page.header)}[kind]
  suffix = {'csv': 'csv', 'latex': 'tex'}[kind]
  paths = []
  for name, table in tables(page).items():
    paths.append(place / f'{name}.{suffix}')
    paths[-1].write_text(made(table), encoding='utf-8')
  return paths


def write_figures(page: Page, folder: pathlib.Path) -> list[pathlib.Path]:
  r"""Write every figure as PDF, and beside it the `figure` to \input; return these."""
  place = folder / drawing.FOLDER
  place.mkdir(exist_ok=True)
  drawing.clear(place, 'pdf', 'tex')
  paths = []
  for drawn in drawing.own(drawing.leading(page), drawing.of_claims(page)):
    paths.append((folder / drawn.path).with_suffix('.tex'))
    paths[-1].with_suffix('.pdf').write_bytes(drawn.picture.pdf())
    paths[-1].write_text(as_figure(drawn.path.removesuffix('.svg'), drawn.caption), encoding='utf-8')
  return paths


def as_figure(path: str, caption: str) -> str:
  r"""Return a `figure` to \input, which needs the package graphicx; path: of the PDF, from the folder of the page."""
  return '\n'.join(
    [
      r'\begin{figure}',
      r'\centering',
      rf'\includegraphics[width=\linewidth]{{{path}.pdf}}',
      rf'\caption{{{latex(caption)}}}',
      rf'\label{{fig:{path.rpartition("/")[2]}}}',
      r'\end{figure}',
      '',
    ]
  )


def tables(page: Page) -> dict[str, Table]:
  """Return file name → table: the article's, the verdicts, the scores behind each claim, and those of all models."""
  found = [*page.tables, verdicts(page), page.missing]
  found += [
    dataclasses.replace(table, title=f'Claim {section.claim.number}: {table.title}')
    for section in page.sections
    for table in (*section.tables, *section.searches)
  ]
  found += [page.others, page.architectures, page.models]
  return {slug(table.title): table for table in found if table.rows}


def slug(title: str) -> str:
  words = re.findall('[a-z0-9]+', title.lower())
  return '-'.join(words)[:80]


def verdicts(page: Page) -> Table:
  """Return the verdicts with all digits."""
  device = dict(page.header).get('device', '')
  found = [_verdict(section, device, page.records) for section in page.sections]
  rows = tuple(tuple(map(_text, verdict.values())) for verdict in found)
  note = 'By the rule that was in force when the records were measured.'
  return Table('Verdicts', note, tuple(found[0]) if found else (), rows)


def _text(value: Any) -> str:
  if isinstance(value, list):
    return ', '.join(map(_text, value))
  return '' if value is None else str(value)


def _verdict(section: Section, device: str, records: Sequence[Row]) -> dict[str, Any]:
  claim, verdict = section.claim, section.verdict
  rule = next(rule for rule in claim.rules if rule.version == verdict.rule)
  return {
    'number': claim.number,
    'statement': claim.statement,
    'words': claim.words,
    'verdict': markdown.plain_status(verdict),
    'value': _finite(verdict.number),
    'low': _finite(verdict.low),
    'high': _finite(verdict.high),
    'unit': verdict.unit,
    'about': verdict.about,
    'sizes': _sizes(section, records),
    'rule': rule.version,
    'since': rule.since,
    'device': device,
  }


def _sizes(section: Section, records: Sequence[Row]) -> list[int]:
  """Return the parameters that were asked for of the models of a claim's experiments; of an older one, those it had."""
  mine = [row for row in records if row['experiment'] in section.claim.experiments]
  return [round(size) for size in levels(mine, 'size') or levels(mine, 'parameters')]


def _finite(value: float | None) -> float | None:
  return None if value is None or not math.isfinite(value) else float(markdown.tidy(value))


def as_json(page: Page) -> dict[str, Any]:
  """Return `header`, `verdicts` and `tables`; numbers that are not finite are null."""
  device = dict(page.header).get('device', '')
  found = []
  for section in page.sections:
    claim, verdict = section.claim, section.verdict
    rule = next(rule for rule in claim.rules if rule.version == verdict.rule)
    found.append(
      _verdict(section, device, page.records)
      | {
        'status': verdict.status,
        'status_here': verdict.here,
        'speaks_of': claim.speaks_of,
        'needs': None if section.need is None else section.need._asdict(),
        'text': verdict.text,
        'reason': verdict.reason,
        'notes': list(verdict.notes),
        'beside': list(verdict.beside),
        'ladder': list(verdict.ladder),
        'protocol': claim.protocol,
        'thresholds': rule.text,
        'checksum': judging.digest(claim, rule),
        'command': section.command,
      }
    )
  shown = [
    {'name': name, 'title': table.title, 'note': table.note, 'columns': table.columns, 'rows': table.rows}
    for name, table in tables(page).items()
  ]
  return {'header': dict(page.header), 'verdicts': found, 'tables': shown}


def as_csv(table: Table) -> str:
  """Return the table with its columns in the first line."""
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows([table.columns, *table.rows])
  return text.getvalue()


def as_latex(table: Table, header: Sequence[tuple[str, str]]) -> str:
  r"""Return a `table` to \input, which needs the packages booktabs and graphicx; the best scores are bold.

  The caption is the title; below the table stand its note, the device, the scale, and seeds and budget of the models
  behind it, or else of all. A wide table is made as small as the line is wide.
  """
  head = dict(header)
  names = ('device', 'scale') if table.trained else ('device', 'scale', trained.SEEDS, trained.BUDGET)
  about = '; '.join(filter(None, (*(f'{name}: {head[name]}' for name in names if name in head), table.trained)))
  lines = [
    ' & '.join(_cell(cell, (i, j) in table.best) for j, cell in enumerate(row)) for i, row in enumerate(table.rows)
  ]
  return '\n'.join(
    [
      r'\begin{table}',
      r'\centering',
      rf'\caption{{{latex(table.title)}}}',
      rf'\label{{tab:{slug(table.title)}}}',
      r'\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%',
      rf'\begin{{tabular}}{{{"".join(map(_column, zip(table.columns, *table.rows, strict=True)))}}}',
      r'\toprule',
      rf'{" & ".join(map(latex, table.columns))} \\',
      r'\midrule',
      *(rf'{line} \\' for line in lines),
      r'\bottomrule',
      r'\end{tabular}}',
      '',
      r'\smallskip',
      rf'{{\footnotesize {latex(table.note)} {latex(about)}.}}',
      r'\end{table}',
      '',
    ]
  )


def _cell(text: str, best: bool) -> str:
  return rf'\textbf{{{latex(text)}}}' if best and text else latex(text)


def _column(cells: tuple[str, ...]) -> str:
  """Return how a column is set: sentences in lines of 6 cm."""
  return 'p{6cm}' if max(map(len, cells)) > 45 else 'l'


def latex(text: str) -> str:
  """Return text that LaTeX prints as it stands; Greek letters and signs as mathematics."""
  return ''.join(ESCAPES.get(sign, sign if sign.isascii() else '?') for sign in text)
