"""The page as one HTML file: styles and figures inside, no script, no network."""

import re
from collections.abc import Mapping, Sequence
from html import escape

from comparison.claims.base import STATUSES
from comparison.claims.tables import Table
from comparison.report import markdown
from comparison.report.headline import TITLE
from comparison.report.markdown import number
from comparison.report.page import Page, Section

STYLE = """
:root{--ink:#1c2128;--soft:#57606a;--line:#d8dee4;--paper:#fff;--tint:#f6f8fa;
--supported:#1a7f4b;--contradicted:#b3382c;--mixed:#8a6100;--undecided:#57606a;--none:#6e7781}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4b0;--line:#343b44;--paper:#0f1319;--tint:#171c23;
--supported:#4fc285;--contradicted:#f0857a;--mixed:#e0b04c;--undecided:#9aa4b0;--none:#6e7681}}
*{box-sizing:border-box}html{scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:60rem;margin:0 auto;padding:2.5rem 1.25rem 5rem}
h1{font-size:1.9rem;line-height:1.2;letter-spacing:-.015em;margin:0 0 .4rem}
h2{font-size:1.3rem;margin:3rem 0 .6rem}h3{font-size:1.1rem;margin:0}h4{margin:1.4rem 0 .2rem}
p{margin:.6rem 0}.note,.soft{color:var(--soft)}.note{font-size:.9rem;max-width:48rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;font-size:.88rem;margin:1.2rem 0;
padding:.9rem 1.1rem;background:var(--tint);border-radius:.5rem}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.88rem;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--soft);font-weight:600;border-bottom:2px solid var(--ink);padding:.4rem .7rem .4rem 0}
td{border-bottom:1px solid var(--line);padding:.45rem .7rem .45rem 0;vertical-align:top}
tr:last-child td{border-bottom:2px solid var(--ink)}
.tally{display:flex;flex-wrap:wrap;gap:.6rem;margin:1.2rem 0}
.tally div{border:1px solid var(--line);border-radius:.5rem;padding:.5rem .9rem;min-width:7rem}
.tally b{display:block;font-size:1.5rem;line-height:1.1}
.status{display:inline-block;font-weight:600;min-width:8rem}
.supported{color:var(--supported)}.contradicted{color:var(--contradicted)}.mixed{color:var(--mixed)}
.undecided,.fact{color:var(--undecided)}.not-measured-here,.not-judged{color:var(--none)}
article{border-top:1px solid var(--line);padding:1.6rem 0 .6rem;margin-top:1.6rem}
article header{display:flex;gap:1rem;justify-content:space-between;align-items:baseline;flex-wrap:wrap}
blockquote{margin:.4rem 0 .8rem;padding-left:.9rem;border-left:3px solid var(--line);color:var(--soft)}
.number{font-size:1.15rem;font-weight:600;margin:.4rem 0}.number .soft{font-size:.92rem;font-weight:400}
figure{margin:1rem 0;border:1px solid var(--line);border-radius:.5rem;padding:.6rem}
figure svg{display:block;max-width:100%;height:auto;margin:0 auto}
figcaption{color:var(--soft);font-size:.85rem;text-align:center}
code,pre{font:.82rem/1.5 ui-monospace,"SF Mono",Menlo,monospace}
pre{background:var(--tint);border-radius:.4rem;padding:.6rem .8rem;overflow-x:auto;margin:.6rem 0}
a{color:inherit;text-decoration-color:var(--line);text-underline-offset:.2em}
details{margin:.5rem 0;font-size:.92rem}summary{cursor:pointer;color:var(--soft)}
li{margin:.2rem 0}
"""


def render(page: Page, figures: Mapping[int, Sequence[str]], headline: str | None = None) -> str:
  """Return the whole page. figures: claim → SVG elements; headline: an SVG element."""
  body = [
    f'<h1>{escape(page.article.title)}</h1>',
    '<p class="soft">Every statement with its threshold, its number and its verdict on this device.</p>',
    '<dl>' + ''.join(f'<dt>{escape(k)}</dt><dd>{escape(v)}</dd>' for k, v in page.header) + '</dl>',
    tally(page),
    *(
      [f'<figure>{scoped(headline, "headline-")}<figcaption>{escape(TITLE)}</figcaption></figure>'] if headline else []
    ),
    *(table(t) for t in page.tables),
    '<h2>Verdicts</h2>',
    verdicts(page),
    '<h2>Claims</h2>',
    *(claim(section, figures.get(section.claim.number, ())) for section in page.sections),
  ]
  body += [table(t) for t in (page.others, page.architectures, page.models) if t.rows]
  if page.failures:
    body += ['<h2>What failed</h2>', items(page.failures)]
  if page.rest:
    body += [
      '<h2>Not measured yet</h2>',
      '<p class="note">C: two CPU cores are enough; G: needs an accelerator.</p>',
      items([f'{s.number}. {s.text} ({s.where})' for s in page.rest]),
    ]
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1">'
    f'<title>{escape(page.article.title)}</title><style>{STYLE}</style></head>\n'
    f'<body><main>\n{chr(10).join(body)}\n</main></body></html>\n'
  )


def tally(page: Page) -> str:
  counts = [(status, sum(s.verdict.status == status for s in page.sections)) for status in STATUSES]
  boxes = [f'<div class="{css(status)}"><b>{count}</b>{status}</div>' for status, count in counts if count]
  return f'<div class="tally">{"".join(boxes)}</div>'


def table(content: Table, level: str = 'h2') -> str:
  return f'<{level}>{escape(content.title)}</{level}><p class="note">{escape(content.note)}</p>' + grid(
    content.columns, [[escape(cell) for cell in row] for row in content.rows]
  )


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """Return a table; cells are HTML already."""
  head = ''.join(f'<th>{escape(name)}</th>' for name in columns)
  lines = ''.join('<tr>' + ''.join(f'<td>{cell}</td>' for cell in row) + '</tr>' for row in rows)
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


def claim(section: Section, figures: Sequence[str]) -> str:
  about, verdict = section.claim, section.verdict
  ladder = f'<details><summary>Every backend</summary>{items(verdict.ladder)}</details>' if verdict.ladder else ''
  reason = f'<p><b>Why:</b> {escape(verdict.reason)}.</p>' if verdict.reason else ''
  notes = items([f'{note}.' for note in verdict.notes]) if verdict.notes else ''
  scores = ''.join(table(content, 'h4') for content in section.tables)
  words = f'<br><small>The words of the article: {escape(about.words)}.</small>' if about.words else ''
  captions = [plot.title for plot in about.plots]
  drawn = ''.join(
    f'<figure>{scoped(svg, f"c{about.number}-{i}-")}<figcaption>{escape(caption)}</figcaption></figure>'
    for i, (svg, caption) in enumerate(zip(figures, captions, strict=False))
  )
  return (
    f'<article id="claim-{about.number}"><header><h3>{about.number}. '
    f'{escape(about.title)}</h3>{status(section)}</header><blockquote>{escape(about.statement)}{words}</blockquote>'
    f'<p class="number">{escape(number(verdict))} <span class="soft">{escape(verdict.about)}</span></p>'
    f'<p>{escape(verdict.text)}</p>{reason}{notes}{scores}{drawn}{ladder}'
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
