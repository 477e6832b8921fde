"""The page as one HTML file: styles and figures inside, no script, no network."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from comparison.claims.tables import Table
from comparison.report import canvas, exports, markdown, missing, tally
from comparison.report.figures import Drawn
from comparison.report.markdown import number
from comparison.report.page import LEFT_OUT, Page, Section, by_section
from comparison.report.style import STYLE


def render(
  page: Page, figures: Mapping[int, Sequence[Drawn]], leading: Sequence[Drawn] = (), files: Sequence[str] = ()
) -> str:
  """Return the whole page. figures: claim → its plots; leading: those of the whole page; files: of the records."""
  heading = escape(page.article.title)
  measured = dict(page.header)
  body = [
    f'<h1>{heading}</h1>',
    f'<p class="soft">Every statement of “{escape(page.article.reference)}” with its threshold, its number and its '
    f'verdict on this device: {escape(measured.get("device", "none"))}, {escape(measured.get("scale", "–"))}.</p>',
    *(f'<p class="note">{escape(measured[name])}.</p>' for name in (LEFT_OUT,) if name in measured),
    counts(page),
    navigation(page, leading),
    *(section_of(drawn) for drawn in leading),
    claim_links(page),
    '<details><summary>Where and how this was measured</summary><dl>'
    + ''.join(f'<dt>{escape(k)}</dt><dd>{escape(v)}</dd>' for k, v in page.header)
    + '</dl></details>',
    *(table(t, page) for t in page.tables),
    f'<h2 id="verdicts">Verdicts</h2>{take(exports.verdicts(page), page, files)}',
    verdicts(page),
    *(table(t, page) for t in (page.missing,) if t.rows),
    '<h2 id="claims">Claims</h2>',
    *(claim(section, figures.get(section.claim.number, ()), page) for section in page.sections),
  ]
  body += [table(t, page) for t in (page.others, page.architectures, page.models) if t.rows]
  if page.failures:
    body += ['<h2 id="failed">What failed</h2>', items(page.failures)]
  if page.rest:
    body += [
      f'<h2 id="rest">{markdown.REST}</h2>',
      '<p class="note">C: two CPU cores are enough; G: needs an accelerator.</p>',
      items([f'{s.number}. {s.text} ({s.where})' for s in page.rest]),
    ]
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1">'
    f'<title>{heading}</title><style>{STYLE}</style></head>\n'
    f'<body><main>\n{chr(10).join(body)}\n</main></body></html>\n'
  )


def navigation(page: Page, leading: Sequence[Drawn]) -> str:
  """Return links to the pictures and tables."""
  parts = [(drawn.title, name(drawn)) for drawn in leading]
  parts += [(t.title, exports.slug(t.title)) for t in page.tables]
  parts += [('Verdicts', 'verdicts'), *((missing.TITLE, markdown.LIST) for _ in page.missing.rows[:1])]
  parts += [('Claims', 'claims')]
  parts += [(t.title, exports.slug(t.title)) for t in (page.others, page.architectures, page.models) if t.rows]
  parts += [(markdown.REST, 'rest')] if page.rest else []
  lines = [f'<li><a href="#{anchor}">{escape(title)}</a></li>' for title, anchor in parts]
  return f'<nav aria-label="Contents"><ol class="contents">{"".join(lines)}</ol></nav>'


def claim_links(page: Page) -> str:
  """Return links to the claims by section of the article: number and mark of the verdict."""
  lines = []
  for title, sections in by_section(page).items():
    links = ' '.join(
      f'<a class="{css(s.verdict.here or s.verdict.status)}" href="#claim-{s.claim.number}" title="'
      f'{escape(f"{s.claim.title}: {markdown.plain_status(s.verdict)}")}">{s.claim.number} '
      f'{markdown.MARKS[s.verdict.here or s.verdict.status]}</a>'
      for s in sections
    )
    lines.append(f'<li>{escape(title)}: {links}</li>')
  return f'<nav aria-label="Claims" class="claims"><ol>{"".join(lines)}</ol></nav>'


def name(drawn: Drawn) -> str:
  """Return the name of a figure's file, which is its anchor."""
  return drawn.path.rpartition('/')[2].removesuffix('.svg')


def section_of(drawn: Drawn) -> str:
  return f'<h2>{escape(drawn.title)}</h2>{figure(drawn)}'


def figure(drawn: Drawn) -> str:
  """Return a figure with its title for readers of screens, its caption and a link to its file."""
  if drawn.of is not None:
    return f'<p class="note">{escape(drawn.title)}: <a href="#{name(drawn)}">drawn at claim {drawn.of}</a>.</p>'
  title = escape(drawn.title)
  head, rest = scoped(canvas.on_page(drawn.svg), f'{name(drawn)}-').split('>', 1)
  svg = f'{head.replace("<svg ", f"""<svg role="img" aria-label="{title}" """, 1)}><title>{title}</title>{rest}'
  file = f'<a href="{drawn.path}" download>SVG</a>'
  return f'<figure id="{name(drawn)}">{svg}<figcaption>{escape(drawn.caption)} {file}</figcaption></figure>'


def counts(page: Page) -> str:
  boxes = [f'<div class="{css(status)}"><b>{count}</b>{text}</div>' for status, count, text in tally.boxes(page)]
  return f'<div class="tally">{"".join(boxes)}</div>'


def table(content: Table, page: Page, level: str = 'h2') -> str:
  anchor = f' id="{exports.slug(content.title)}"' if level == 'h2' else ''
  return f'<{level}{anchor}>{escape(content.title)}</{level}>{body(content, page)}'


def body(content: Table, page: Page) -> str:
  """Return a table without its title."""
  note = f'<p class="note">{escape(content.note)}</p>' if content.note else ''
  return f'{note}{take(content, page)}' + grid(
    content.columns, [[escape(cell) for cell in row] for row in content.rows]
  )


def take(content: Table, page: Page, files: Sequence[str] = ()) -> str:
  """Return links that save a table as CSV and LaTeX, and the records behind it."""
  file = exports.slug(content.title)
  kinds = (('CSV', 'csv', exports.as_csv(content)), ('LaTeX', 'tex', exports.as_latex(content, page.header)))
  links = [
    f'<a href="data:text/plain;charset=utf-8,{quote(text)}" download="{file}.{suffix}">{kind}</a>'
    for kind, suffix, text in kinds
  ]
  links += [f'<a href="{escape(path)}" download>{escape(path)}</a>' for path in files]
  return f'<p class="take">Save as {", ".join(links)}</p>'


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """Return a table; cells are HTML already."""
  head = ''.join(f'<th scope="col">{escape(name)}</th>' for name in columns)
  labels = [escape(name) for name in columns]
  lines = ''.join(
    '<tr>' + ''.join(f'<td data-label="{label}">{cell}</td>' for label, cell in zip(labels, row, strict=True)) + '</tr>'
    for row in rows
  )
  return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def verdicts(page: Page) -> str:
  rows = [
    (
      str(s.claim.number),
      f'<a href="#claim-{s.claim.number}">{escape(s.claim.statement)}</a>',
      status(s),
      escape(number(s.verdict)),
      escape(s.verdict.about),
    )
    for s in page.sections
  ]
  return grid(('', 'statement', 'verdict', 'deciding number [95 %]', 'of what'), rows)


def status(section: Section) -> str:
  verdict = section.verdict
  return f'<span class="status {css(verdict.here or verdict.status)}">{escape(markdown.status(verdict))}</span>'


def css(word: str) -> str:
  return word.replace(' ', '-')


def claim(section: Section, figures: Sequence[Drawn], page: Page) -> str:
  about, verdict = section.claim, section.verdict
  ladder = f'<details><summary>Every backend</summary>{items(verdict.ladder)}</details>' if verdict.ladder else ''
  reason = f'<p><b>Why:</b> {escape(verdict.reason)}.</p>' if verdict.reason else ''
  if verdict.reason and len(verdict.points) > 1:
    reason = f'<details><summary>Why: {markdown.sides(verdict)}</summary><p>{escape(verdict.reason)}.</p></details>'
  if section.need:
    absent = f'<p><a href="#{markdown.LIST}">{missing.TITLE}</a>: what it needs.</p>'
    reason = absent if verdict.here is None else reason + absent
  notes = items([f'{note}.' for note in verdict.notes]) if verdict.notes else ''
  beside = items([f'{line[0].upper()}{line[1:]}.' for line in verdict.beside])
  if verdict.beside:
    notes += f'<details><summary>Measured beside it, not in the verdict</summary>{beside}</details>'
  scores = ''.join(table(content, page, 'h4') for content in section.tables)
  scores += ''.join(f'<details><summary>{escape(t.title)}</summary>{body(t, page)}</details>' for t in section.searches)
  words = f'<br><small>The words of the article: {escape(about.words)}.</small>' if about.words else ''
  first, drawn, learning = (
    ''.join(figure(drawn) for drawn in figures if drawn.shows == part) for part in ('regimes', 'plot', 'learning')
  )
  if learning:
    learning = f'<details><summary>Learning curves</summary>{learning}</details>'
  regimes = markdown.points(verdict)
  listed = grid(regimes.columns, [[escape(cell) for cell in row] for row in regimes.rows]) if regimes else ''
  if listed and first:
    listed = f'<details><summary>Numbers of all regimes</summary>{listed}</details>'
  text = f'<p>{escape(verdict.text)}</p>'
  if markdown.is_list(verdict):
    text = f'<details><summary>In words</summary>{text}</details>'
  return (
    f'<article id="claim-{about.number}"><header><h3>{about.number}. '
    f'{escape(about.title)}</h3>{status(section)}</header><blockquote>{escape(about.statement)}{words}</blockquote>'
    f'<p class="number">{escape(number(verdict))} <span class="soft">{escape(verdict.about)}</span></p>'
    f'{first}{listed}{text}{reason}{notes}{scores}{drawn}{learning}{ladder}'
    f'<details><summary>Protocol and thresholds</summary><p>{escape(about.protocol)}</p>'
    f'{items(markdown.rules(section))}</details>'
    f'<pre>{escape(section.command)}</pre></article>'
  )


def items(lines: Sequence[str]) -> str:
  return '<ul>' + ''.join(f'<li>{escape(line)}</li>' for line in lines) + '</ul>'


def scoped(svg: str, prefix: str) -> str:
  """Prefix the ids of a figure, which must be unique on a page, and remove metadata with addresses."""
  svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', svg)
  svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{prefix}\2"', svg)
  svg = re.sub(r'url\(#([^)]+)\)', rf'url(#{prefix}\1)', svg)
  return re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
