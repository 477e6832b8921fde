"""Both pages of invented records, written once: complete, without another file, each figure drawn once."""

import html
import json
import re
import shutil
import subprocess

import pytest

from comparison import report
from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.articles.transformer_vs_rnn.ledger import STATEMENTS
from comparison.claims.base import STATUSES
from comparison.report import drawing, forest, markdown
from comparison.report.html import name
from comparison.report.page import by_section
from tests.comparison.claims.test_judges import ALL
from tests.comparison.report.test_report import IDENTITY

FAILED = {'experiment': 'order', 'metric': 'failed', 'value': None, 'error': 'no <memory>'}


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  """Return page, paths, folder, and the figures of claims. Drawing takes seconds: it is done once."""
  folder = tmp_path_factory.mktemp('report')
  page = report.assemble([{**IDENTITY, **row} for row in [*ALL, FAILED]])
  drawn = drawing.of_claims(page)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(drawing, 'of_claims', lambda page: drawn)
    return page, report.write(page, folder), folder, drawn


def test_the_page_shows_everything_without_another_file(written):
  text = written[1].html.read_text()
  assert text.count('<svg') > len(CLAIMS)
  assert not re.findall(r'<(?:script|link|img|iframe|object)\b', text)
  assert not re.findall(r'\bsrc\s*=', text)
  links = set(re.findall(r'href\s*=\s*"(?!#)([^"]*)"', text))  # what is taken away: tables in themselves, and files
  assert all((written[2] / link).is_file() for link in links if not link.startswith('data:text/plain'))
  assert {'figures/headline.svg', 'figures/forest.svg'} <= links
  assert '@import' not in text
  assert not re.findall(r'url\((?!#)', text)
  ids = re.findall(r'\bid="([^"]+)"', text)
  assert len(ids) == len(set(ids))
  assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)


def test_every_claim_has_its_anchor_verdict_and_command(written):
  page, paths, *_ = written
  page_html, text = paths.html.read_text(), paths.markdown.read_text()
  for section in page.sections:
    number = section.claim.number
    assert f'id="claim-{number}"' in page_html
    assert f'--claims={number} ' in page_html
    assert f'## {number}. {section.claim.title}: {markdown.plain_status(section.verdict)}' in text
  assert [s.claim.number for s in page.sections] == list(CLAIMS)
  assert {s.number for s in page.rest} == set(STATEMENTS) - set(CLAIMS)
  assert 'a &lt;device&gt;' in page_html
  assert 'no &lt;memory&gt;' in page_html


def test_rules_changed_after_a_look_at_records_are_told_on_both_pages(written):
  paths = written[1]
  revised = [claim.revised for claim in CLAIMS.values() if claim.revised]
  assert revised
  for text in (html.unescape(paths.html.read_text()), paths.markdown.read_text()):
    assert text.count('Why it was changed: ') == len(revised)
    assert all(f'Why it was changed: {reason}.' in text for reason in revised)
    assert text.count('(in force here)') == len(CLAIMS)


def test_the_markdown_page_finds_its_figures(written):
  _, paths, folder, _ = written
  names = re.findall(r'!\[[^\]]*\]\(([^)]+)\)', paths.markdown.read_text())
  assert names
  assert all((folder / name).read_text().startswith('<svg') for name in names)


def test_the_forest_has_every_claim_with_its_verdict_in_words(written):
  page, _, folder, _ = written
  text = (folder / 'figures' / 'forest.svg').read_text()
  for title, sections in by_section(page).items():
    assert title in text
    for section in sections:
      assert re.search(rf'>{section.claim.number}\. ', text)
  for section in page.sections:
    verdict = section.verdict
    assert (f'here: {verdict.here}' if verdict.here else f'>{verdict.status}') in text
  assert set(forest.LOOKS) == set(STATUSES)
  shapes = [marker for marker, _ in forest.LOOKS.values()]
  assert len(shapes) == len(set(shapes))  # a status is told by its shape, not by its colour alone


def test_each_figure_is_drawn_once_and_can_be_taken_away(written):
  page, paths, folder, found = written
  text = paths.html.read_text()
  first = [drawn for shown in found.values() for drawn in shown if drawn.of is None]
  again = [drawn for shown in found.values() for drawn in shown if drawn.of is not None]
  assert len({drawn.svg for drawn in first}) == len(first)
  assert again
  assert text.count('<figure ') == text.count('<svg role="img" aria-label="') == len(first) + 2
  assert text.count('<figcaption>') == text.count('</title>') - 1 == len(first) + 2  # and the title of the page
  assert {path.name for path in (folder / 'figures').iterdir()} == {
    drawn.path.rpartition('/')[2] for drawn in (*first, *drawing.leading(page))
  }
  for drawn in again:
    assert f'<a href="#{name(drawn)}">drawn at claim {drawn.of}</a>' in text


def test_pictures_of_earlier_records_are_removed(tmp_path):
  earlier = [tmp_path / 'figures' / f'{name}.svg' for name in ('headline', 'forest', 'capacity', 'claim-01-1')]
  own = tmp_path / 'figures' / 'mine.svg'
  own.parent.mkdir()
  for path in (*earlier, own):
    path.write_text('<svg/>')
  report.write(report.assemble([]), tmp_path)
  assert list(own.parent.iterdir()) == [own]


needs_browser = pytest.mark.skipif(shutil.which('chromium') is None, reason='chromium is not installed')
SCHEMES = {
  'dark': (0, 'rgb(15, 19, 25)'),
  'light': (1, 'rgb(255, 255, 255)'),
}  # number in Chromium, --paper of the page


def shown(folder, file, width, scheme):
  """Return what a browser says of a page in a frame of that width, what it requests over the network, and its log."""
  (folder / 'frame.html').write_text(
    f'<iframe src="{file}" style="border:0;width:{width}px;height:900px"></iframe><script>addEventListener("load",'
    '() => {const page = document.querySelector("iframe").contentDocument, root = page.documentElement;'
    'const cut = [...page.querySelectorAll("td")].filter(cell => cell.getBoundingClientRect().right > innerWidth);'
    'const paper = getComputedStyle(page.body).backgroundColor;'
    'document.title = [root.scrollWidth, cut.length, paper].join("|")})</script>'
  )
  requests = folder / 'requests.json'
  command = [
    'chromium', '--headless', '--no-sandbox', '--disable-gpu', '--allow-file-access-from-files',
    '--enable-logging=stderr', f'--user-data-dir={folder}/profile', f'--window-size={max(width, 600) + 40},1000',
    f'--blink-settings=preferredColorScheme={SCHEMES[scheme][0]}', '--host-resolver-rules=MAP * ~NOTFOUND',
    f'--log-net-log={requests}', '--virtual-time-budget=5000', '--dump-dom', f'file://{folder}/frame.html',
  ]  # fmt: skip
  done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
  found = re.search(r'<title>(\d+)\|(\d+)\|(.*)</title>', done.stdout).groups()
  events = [event.get('params', {}) for event in json.loads(requests.read_text())['events']]
  # The browser has requests of its own, which no origin began.
  asked = {event['url'] for event in events if 'url' in event and event.get('initiator', '').startswith('file:')}
  return (int(found[0]), int(found[1]), found[2]), asked, done.stderr


@needs_browser
@pytest.mark.parametrize('scheme', list(SCHEMES))
@pytest.mark.parametrize('width', [1280, 390])
def test_a_browser_shows_the_page_without_requests_or_scrolling_sideways(written, width, scheme):
  (scroll, cut, paper), asked, log = shown(written[2], 'report.html', width, scheme)
  assert 'CONSOLE' not in log
  assert scroll <= width
  if width < 600:
    assert cut == 0
  assert paper == SCHEMES[scheme][1]
  assert asked == set()


@needs_browser
def test_the_log_of_a_browser_has_what_a_page_requests(tmp_path):
  (tmp_path / 'page.html').write_text('<img src="http://example.invalid/a.png">')
  _, asked, _ = shown(tmp_path, 'page.html', 390, 'light')
  assert asked == {'http://example.invalid/a.png'}
