"""All figures of a page: those that lead it and those of the claims, each once."""

from comparison.report import capacity, figures, forest, headline
from comparison.report.figures import Drawn
from comparison.report.page import Page

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
  """Return claim → its regimes and its plots. A plot that an earlier claim has drawn refers to it."""
  found: dict[int, list[Drawn]] = {}
  seen: dict[str, Drawn] = {}
  for section in page.sections:
    number, here = section.claim.number, []
    if regimes := forest.regimes(section.verdict):
      words, path = f'{section.verdict.about}, and the other regimes', f'{FOLDER}/claim-{number:02}-verdict.svg'
      here.append(Drawn(regimes, words, forest.caption(section.verdict), path, is_regimes=True))
    for i, plot in enumerate(section.claim.plots, 1):
      svg = figures.draw(plot, page.records)
      if svg is None:
        continue
      if svg in seen:
        here.append(seen[svg])
        continue
      seeds = ' Bands: 95 % intervals of the mean; dots: seeds.' if figures.of_seeds(plot, page.records) else ''
      drawn = Drawn(svg, plot.title, f'{plot.title}.{seeds}', f'{FOLDER}/claim-{number:02}-{i}.svg')
      seen[svg] = drawn._replace(of=number)
      here.append(drawn)
    found[number] = here
  return found
