"""--mode=list: print all there is to choose from, one line each. Imports no JAX."""

from collections.abc import Mapping

from commands import compare
from comparison import articles
from configs import architectures, catalogue

WIDTH = 120  # of a line


def main(article: str = articles.FIRST) -> None:
  """Print tasks, data sets, architectures, mixers, experiments, articles, and the claims of one article.

  article: its name, or a folder, which is executed as Python.
  """
  chosen = compare.chosen_article(article)
  sections = {
    'Tasks (--config=configs/<task>.py:…)': catalogue.task_summaries(),
    'Data sets (dataset=…)': catalogue.dataset_summaries(),
    'Architectures (--config=…:<architecture>)': {n: architectures.summary(n) for n in architectures.ARCHITECTURES},
    'Mixers (pattern=…)': catalogue.mixer_summaries(),
    'Experiments (--experiments=…)': catalogue.experiment_summaries(),
    'Articles (--article=…)': {name: articles.load(name).reference for name in articles.names()},
    f'Claims (--claims=…{chosen.option})': {str(number): claim.title for number, claim in chosen.claims.items()},
  }
  print('\n\n'.join(section(title, lines) for title, lines in sections.items()))


def section(title: str, lines: Mapping[str, str]) -> str:
  """Return a title and one aligned line an entry, no longer than a terminal is wide."""
  width = max(map(len, lines))
  rows = [f'  {name:<{width}}  {text}'.rstrip() for name, text in lines.items()]
  return '\n'.join([title, *(row if len(row) <= WIDTH else f'{row[: WIDTH - 1]}…' for row in rows)])
