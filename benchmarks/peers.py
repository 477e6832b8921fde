"""The speed of this project beside its peers, in one process, interleaved, with the same number of threads.

  python -m benchmarks.peers [--work=matmul,lstm,gru,rnn,flax,attention,linear,diagonal,gpt,lm,decode,…] [--seconds=10]
                             [--out=results/<device>/peers] [--busy=0.15]

Ratios are time here ÷ time there: medians of pairs with an interval of 95 %. Forward and backward, float32,
unless a row says otherwise. Rounds in which other processes used more than `busy` cores are left out. The folder gets
records.jsonl, peers.md and peers.svg; rows measured again replace the old ones. PyTorch: requirements-peers.txt.
"""

import importlib.util
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from benchmarks.arguments import read_flags
from seqmodels.errors import InputError, unknown
from training import runtime

if TYPE_CHECKING:
  from benchmarks.work import Work

GROUPS = ('matmul', 'lstm', 'gru', 'rnn', 'flax', 'attention', 'linear', 'diagonal', 'gpt', 'lm', 'decode')
ON_GPUS = ('attention_gpu', 'fla', 'gpt_gpu')


def parse(argv: Sequence[str]) -> tuple[list[str], float, pathlib.Path | None, float]:
  values = flags.FlagValues()
  flags.DEFINE_list('work', [], 'groups of rows, in this order; default: all that suit the device', flag_values=values)
  flags.DEFINE_float('seconds', 10.0, 'time for each row, without compiling', 0.0, flag_values=values)
  flags.DEFINE_string('out', None, 'folder of the results; default: print only', flag_values=values)
  flags.DEFINE_float('busy', 0.15, 'cores that other processes may use in a round', 0.0, flag_values=values)
  read_flags(values, argv)
  for group in values.work:
    if group not in (*GROUPS, *ON_GPUS):
      raise unknown('--work', group, (*GROUPS, *ON_GPUS))
  out = None if values.out is None else pathlib.Path(values.out)
  return values.work, values.seconds, out, values.busy


def check_peers() -> None:
  if importlib.util.find_spec('torch') is None:
    raise InputError('PyTorch is not installed; pip install -r requirements-peers.txt')


def run(groups: Sequence[str], seconds: float, out: pathlib.Path | None, busy: float, settings: dict[str, Any]) -> int:
  """Return how many rows failed; the others are measured all the same."""
  from benchmarks import attention, fla, layers, summary, whole_models, work

  torch = work.torch()
  print(f'{runtime.device_line()}, {torch.get_num_threads()} threads, malloc {settings["malloc"]}')
  groups = groups or (GROUPS if work.torch_device() == 'cpu' else (*GROUPS, *ON_GPUS))
  failed = 0
  works = (*layers.works(), *attention.works(), *whole_models.works(), *fla.works())
  for item in in_order(works, groups):
    try:
      rows = work.measure(item, seconds, busy)
    except work.Absent as reason:
      print(f'{item.name}: not measured: {reason}', flush=True)
      continue
    except Exception as error:
      print(f'{item.name}: failed: {type(error).__name__}: {str(error)[:300]}', file=sys.stderr, flush=True)
      failed += 1
      continue
    print(summary.line(rows), flush=True)
    if out is not None:
      about = identity(item.name, settings)
      summary.replace(out / 'records.jsonl', item.name, [{**about, **row} for row in rows])
  if out is not None and (out / 'records.jsonl').exists():
    summary.write(out)
  return failed


def in_order(works: Iterable['Work'], groups: Sequence[str]) -> list['Work']:
  """Those of the groups, in their order: a run that is stopped has measured what was named first."""
  return sorted((item for item in works if item.group in groups), key=lambda item: groups.index(item.group))


def identity(name: str, settings: dict[str, Any]) -> dict[str, Any]:
  """Return the columns of every row that describe this process."""
  from benchmarks import work
  from comparison.experiments import runner

  torch = work.torch()
  machine = runner.machine_identity()
  versions = {**machine['versions'], 'torch': torch.__version__}
  process = {'malloc': settings['malloc'], 'threads': torch.get_num_threads(), 'time': time.time()}
  return {'experiment': 'peers', 'cell': name, **machine, 'versions': versions, **process}


def main(argv: Sequence[str]) -> int:
  """Return the exit code: 2 for bad input, with one line on stderr; 1 if a row failed."""
  os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')  # its threads go on spinning after a call
  try:
    arguments = parse(argv)
    check_peers()
    settings = runtime.prepare()
    return 1 if run(*arguments, settings) else 0
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2


if __name__ == '__main__':
  sys.exit(main(sys.argv))
