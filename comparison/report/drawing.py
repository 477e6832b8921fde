"""All figures of a page: those that lead it and those of the claims, each once."""

import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from comparison.records import Row
from comparison.report import capacity, figures, forest, headline, learning
from comparison.report.canvas import Picture
from comparison.report.figures import Drawn, Shows
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
  return [drawn(picture, title, caption, name) for picture, title, caption, name in found if picture]


def of_claims(page: Page) -> dict[int, list[Drawn]]:
  """Return claim → its regimes, plots and learning curves. What an earlier claim has drawn refers to it."""
  found: dict[int, list[Drawn]] = {}
  seen: dict[str, Drawn] = {}
  for section in page.sections:
    here = found[section.claim.number] = []
    for shown in of_claim(section, page.records):
      here.append(seen.get(shown.svg, shown))
      seen.setdefault(shown.svg, shown._replace(of=section.claim.number))
  return found


def own(leading: Iterable[Drawn], of_claims: Mapping[int, Sequence[Drawn]]) -> list[Drawn]:
  """Return each figure once, without those that refer to another claim."""
  return [*leading, *(shown for figures in of_claims.values() for shown in figures if shown.of is None)]


def of_claim(section: Section, records: Sequence[Row]) -> Iterator[Drawn]:
  name = f'claim-{section.claim.number:02}'
  if regimes := forest.regimes(section.verdict):
    words = f'{section.verdict.about}, and the other regimes'
    yield drawn(regimes, words, forest.caption(section.verdict), f'{name}-verdict', shows='regimes')
  for i, plot in enumerate(section.claim.plots, 1):
    if picture := figures.draw(plot, records):
      seeds = ' Bands: 95 % intervals of the mean; dots: seeds.' if figures.of_seeds(plot, records) else ''
      yield drawn(picture, plot.title, f'{plot.title}.{seeds}', f'{name}-{i}')
  for i, (title, picture) in enumerate(learning.draw(section.claim, records), 1):
    yield drawn(picture, title, f'{title}. {learning.CAPTION}', f'{name}-learning-{i}', shows='learning')


def drawn(picture: Picture, title: str, caption: str, name: str, shows: Shows = 'plot') -> Drawn:
  return Drawn(picture, picture.svg(), title, caption, f'{FOLDER}/{name}.svg', shows=shows)


def clear(place: pathlib.Path, *suffixes: str) -> None:
  """Remove the figures of earlier records from their folder."""
  for path in (path for name in NAMES for suffix in suffixes for path in place.glob(f'{name}.{suffix}')):
    path.unlink()
