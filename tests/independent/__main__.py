"""Run all independent checks and write their table: `python -m tests.independent docs/independent-checks.md`."""

import pathlib
import sys

import jax

from seqmodels.kernels.cpu import library
from tests.independent import verdict_table
from tests.independent.everything import ALL


def main(path: str) -> None:
  form = 'C++' if library.load() else 'JAX'
  lines = [
    '# Independent checks',
    '',
    'Every mixer and position encoding beside a formulation that shares no code with it. Deviations are the largest',
    f'absolute ones, outputs being of order 1, in float32 on {jax.default_backend()} with JAX {jax.__version__},',
    f'in the forms that `auto` stands for here: {form} wherever there is a choice.',
    '`tests/independent/` holds the references; `python -m tests.independent docs/independent-checks.md` writes this.',
    '',
    '| What | Checked against | Largest deviation | Allowed |',
    '|---|---|---|---|',
  ]
  for check in ALL:
    what = f'`{check.name}`' if check.kind == 'mixer' else f'position `{check.name}`'
    lines.append(f'| {what} | {check.against} | {check.deviation():.1e} | {check.tolerance:.0e} |')
  lines += verdict_table.lines()
  pathlib.Path(path).write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
  if len(sys.argv) != 2 or not sys.argv[1].endswith('.md'):
    sys.exit(f'error: the only argument is the .md file that is written; given: {" ".join(sys.argv[1:]) or "none"}')
  main(sys.argv[1])
