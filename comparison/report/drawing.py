"""All figures of a page: those that lead it and those of the claims, each once."""

from collections.abc import Iterator, Sequence

from comparison.records import Row
from comparison.report import capacity, figures, forest, headline, learning
from comparison.report.figures import Drawn
from comparison.report.page import Page, Section

FOLDER = 'figures'
NAMES = ('headline', 'forest', 'capacity', 'claim-*')  # of the files in it
WINNERS = 'Who wins by size and length'


def leading(page: Page) -> list[Drawn]:
  """Return who wins by size and length, all verdicts, the capacity map; those that there are numbers for."""
  found = (
    (headline.draw(page.records), WINNERS, f'{headline.TITLE}. {headline.CAPTION}', 'headline'),
    (forest.draw(page), forest.TITLE, forest.CAPTION, 'forest'),
    (capacity.draw(page.records), capacity.TITLE, capacity.caption(page.records), 'capacity'),
  )
  return [Drawn(svg, title, caption, f'{FOLDER}/{name}.svg') for svg, title, caption, name in found if svg]


def of_claims(page: Page) -> dict[int, list[Drawn]]:
  """Return claim → its regimes, plots and learning curves. What an earlier claim has drawn refers to it."""
  found: dict[int, list[Drawn]] = {}
  seen: dict[str, Drawn] = {}
  for section in page.sections:
    here = found[section.claim.number] = []
    for drawn in of_claim(section, page.records):
      here.append(seen.get(drawn.svg, drawn))
      seen.setdefault(drawn.svg, drawn._replace(of=section.claim.number))
  return found


def of_claim(section: Section, records: Sequence[Row]) -> Iterator[Drawn]:
  number = section.claim.number
  path = f'{FOLDER}/claim-{number:02}'
  if regimes := forest.regimes(section.verdict):
    words = f'{section.verdict.about}, and the other regimes'
    yield Drawn(regimes, words, forest.caption(section.verdict), f'{path}-verdict.svg', shows='regimes')
  for i, plot in enumerate(section.claim.plots, 1):
    if svg := figures.draw(plot, records):
      seeds = ' Bands: 95 % intervals of the mean; dots: seeds.' if figures.of_seeds(plot, records) else ''
      yield Drawn(svg, plot.title, f'{plot.title}.{seeds}', f'{path}-{i}.svg')
  for i, (title, svg) in enumerate(learning.draw(section.claim, records), 1):
    yield Drawn(svg, title, f'{title}. {learning.CAPTION}', f'{path}-learning-{i}.svg', shows='learning')
