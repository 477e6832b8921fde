"""--mode=list: print all there is to choose from, one line each. Imports no JAX."""

from collections.abc import Mapping

from comparison.claims import CLAIMS
from configs import architectures, catalogue

WIDTH = 120  # of a line


def main() -> None:
  """Print tasks, data sets, architectures, mixers, experiments and claims."""
  sections = {
    'Tasks (--config=configs/<task>.py:…)': catalogue.task_summaries(),
    'Data sets (dataset=…)': catalogue.dataset_summaries(),
    'Architectures (--config=…:<architecture>)': {n: architectures.summary(n) for n in architectures.ARCHITECTURES},
    'Mixers (pattern=…)': catalogue.mixer_summaries(),
    'Experiments (--experiments=…)': catalogue.experiment_summaries(),
    'Claims (--claims=…)': {str(number): claim.title for number, claim in CLAIMS.items()},
  }
  print('\n\n'.join(section(title, lines) for title, lines in sections.items()))


def section(title: str, lines: Mapping[str, str]) -> str:
  """Return a title and one aligned line an entry, no longer than a terminal is wide."""
  width = max(map(len, lines))
  rows = [f'  {name:<{width}}  {text}'.rstrip() for name, text in lines.items()]
  return '\n'.join([title, *(row if len(row) <= WIDTH else f'{row[: WIDTH - 1]}…' for row in rows)])
