"""Time of LSTM and GRU layers that Newton's method solves in parallel over time, beside the sequential scan.

  python -m benchmarks.newton [--cells=lstm,gru] [--widths=8,16,32,64] [--lengths=64,128,256,512,1024,2048] [--batch=4]
                              [--scale=1] [--seconds=3] [--busy=0.15] [--out=results/<device>/newton]

Sides: the scan (`kernels=xla`), `newton` with whole Jacobians, and `quasi_newton`; forward, and forward with backward,
interleaved in one process. Recurrent weights are orthogonal gate by gate, as in a new model, times `scale`. Beside the
ratios stand the iterations that were made and the largest residual that they left. Where they did not converge, the
scan has computed the results after all, and the time is that of both. On CPUs all matmuls are float32. On GPUs the
sides are not equally precise: the matmuls of `kernels=xla` are TF32, the recurrent products of the methods float32.

A side whose call takes longer than LONGEST seconds is not repeated. Rounds in which other processes used more than
`busy` cores are left out. The folder gets records.jsonl and newton.md; layers measured again replace the old ones.
"""

import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from absl import flags

from benchmarks.arguments import read_flags
from seqmodels.errors import InputError
from training import runtime

Row = dict[str, Any]
GATES = {'lstm': 4, 'gru': 3}
SCAN, METHODS = 'xla', ('newton', 'quasi_newton')
PASSES = ('forward', 'forward and backward')
LONGEST = 5.0  # seconds of a call that is worth repeating
DISTURBED = 'disturbed'  # by other processes: no number


class Arguments(NamedTuple):
  cells: list[str]
  widths: list[int]
  lengths: list[int]
  batch: int
  scale: float
  seconds: float
  busy: float
  out: pathlib.Path | None


class Layer(NamedTuple):
  """A layer to measure; the input is as wide as the state."""

  cell: str
  width: int
  length: int
  batch: int
  scale: float

  @property
  def name(self) -> str:
    return f'{self.cell} b{self.batch} t{self.length} e{self.width} scale {self.scale:g}'


def parse(argv: Sequence[str]) -> Arguments:
  values = flags.FlagValues()
  flags.DEFINE_list('cells', list(GATES), 'lstm, gru', flag_values=values)
  flags.DEFINE_list('widths', ['8', '16', '32', '64'], 'widths of the layer', flag_values=values)
  flags.DEFINE_list('lengths', ['64', '128', '256', '512', '1024', '2048'], 'time steps', flag_values=values)
  flags.DEFINE_integer('batch', 4, 'rows', 1, flag_values=values)
  flags.DEFINE_float('scale', 1.0, 'factor of the recurrent weights', 0.0, flag_values=values)
  flags.DEFINE_float('seconds', 3.0, 'time for each layer', 0.0, flag_values=values)
  flags.DEFINE_float('busy', 0.15, 'cores that other processes may use in a round', 0.0, flag_values=values)
  flags.DEFINE_string('out', None, 'folder of the results; default: print only', flag_values=values)
  read_flags(values, argv)
  if not values.cells or not set(values.cells) <= set(GATES):
    raise InputError(f'--cells={",".join(values.cells)} must be of {", ".join(GATES)}')
  numbers = {}
  for name in ('widths', 'lengths'):
    texts: list[str] = getattr(values, name)
    if not texts or not all(text.isdecimal() and int(text) > 1 for text in texts):
      raise InputError(f'--{name}={",".join(texts)} must be whole numbers above 1')
    numbers[name] = sorted({int(text) for text in texts})
  out = None if values.out is None else pathlib.Path(values.out)
  found = values.batch, values.scale, values.seconds, values.busy, out
  return Arguments(list(dict.fromkeys(values.cells)), numbers['widths'], numbers['lengths'], *found)


def draw(layer: Layer) -> tuple[Any, Any, Any]:
  """Return inputs, carry and weights (with all gates in one axis)."""
  import numpy as np

  random = np.random.default_rng(0)
  normal: Callable[..., Any] = lambda *shape: random.standard_normal(shape, np.float32)
  gates, e = GATES[layer.cell], layer.width
  orthogonal = np.concatenate([np.linalg.qr(normal(e, e))[0] for _ in range(gates)], axis=1)
  bias = np.zeros(gates * e, np.float32)
  if layer.cell == 'lstm':
    bias[e : 2 * e] = 1.0
  weights: tuple[Any, ...] = (normal(e, gates * e) * np.float32(e**-0.5), np.float32(layer.scale) * orthogonal, bias)
  weights += (np.zeros(e, np.float32),) if layer.cell == 'gru' else ()
  carry = tuple(np.zeros((layer.batch, e), np.float32) for _ in range(2 if layer.cell == 'lstm' else 1))
  return normal(layer.batch, layer.length, e), carry, weights


def compile_call(layer: Layer, backend: str, passes: str) -> Callable[[], Any]:
  """Return a compiled call of a layer. Raises InputError where the backend does not have it."""
  import jax

  from comparison.experiments.program import compile_program
  from seqmodels.kernels import recurrent

  def run(x: Any, carry: Any, weights: Any) -> Any:
    by_gate = [a.reshape(*a.shape[:-1], GATES[layer.cell], -1) for a in weights[:3]]
    return getattr(recurrent, layer.cell)(x, *carry, *by_gate, *weights[3:], kernels=backend)[0]

  def both(x: Any, carry: Any, weights: Any) -> Any:
    y, back = jax.vjp(run, x, carry, weights)
    return y, back(y)

  arguments = jax.device_put(draw(layer))
  compiled = compile_program(run if passes == PASSES[0] else both, *arguments).call
  return lambda: compiled(*arguments)


def convergence(layer: Layer, methods: Sequence[str]) -> list[Row]:
  """Return rows with the iterations of each method, and with the largest residual that they left."""
  import jax

  from seqmodels.kernels.newton import recurrent as newton

  rows = []
  for backend in methods:
    progress = jax.jit(lambda *arrays, whole=backend == 'newton': newton.progress(layer.cell, *arrays, whole=whole))
    found = progress(*draw(layer))
    iterations, residual = int(found.iterations), float(found.residuals.max())
    columns = {'unit': '', 'side': backend, 'has_converged': bool(found.has_converged)}
    rows.append({'metric': 'iterations', 'value': iterations, **columns})
    rows.append({'metric': 'residual', 'value': residual, **columns})
  return rows


def measure(layer: Layer, seconds: float, busy: float) -> list[Row]:
  """Return rows of times, of ratios to the scan, of what converged, and of what is left out."""
  import jax

  from benchmarks import work
  from benchmarks.load import Neighbours
  from comparison import statistics
  from comparison.experiments import timing

  calls: dict[str, Callable[[], Any]] = {}
  rows: list[Row] = []
  for passes in PASSES:
    for side in (SCAN, *METHODS):
      try:
        call = compile_call(layer, side, passes)
      except InputError as error:
        rows.append({'metric': 'unavailable', 'value': None, 'side': side, 'passes': passes, 'error': str(error)})
        continue
      jax.block_until_ready(call())
      start = time.perf_counter()
      jax.block_until_ready(call())
      once = time.perf_counter() - start
      if side != SCAN and once > LONGEST:
        rows.append({'metric': 'too_slow', 'value': once, 'unit': 's', 'side': side, 'passes': passes})
        continue
      calls[f'{passes}: {side}'] = call
  left_out = {row['side'] for row in rows if row['metric'] == 'unavailable'}
  rows += convergence(layer, [side for side in METHODS if side not in left_out])
  watch = Neighbours(busy)
  found = timing.interleave(calls, repeats=1000, seconds=seconds, watch=watch)
  if watch.rounds - watch.rejected < work.ENOUGH:
    return [{**row, 'rejected': watch.rejected} for row in rows]
  for label, samples in found.items():
    passes, _, side = label.partition(': ')
    columns = {'side': side, 'passes': passes, 'rounds': watch.rounds, 'rejected': watch.rejected}
    rows.append(timing.timing_row(samples, metric='seconds', **columns))
    if side != SCAN:
      ratio = statistics.ratio(samples, found[f'{passes}: {SCAN}'])
      interval = {'value': ratio.value, 'low': ratio.low, 'high': ratio.high, 'unit': '×'}
      rows.append({'metric': 'ratio', **interval, **columns})
  return rows


def table(rows: Sequence[Row]) -> str:
  """Return a line a layer, and in how many of them either method is faster than the scan."""
  from comparison.report import markdown

  lines = [line([row for row in rows if row['work'] == work]) for work in dict.fromkeys(row['work'] for row in rows)]
  head = ['layer']
  for passes in PASSES:
    head += [f'{passes}: scan, ms', *(f'{method} ÷ scan' for method in METHODS)]
  head += [f'{method}: iterations (residual)' for method in METHODS]
  first = rows[0]
  versions = ', '.join(f'{name} {version}' for name, version in first['versions'].items())
  return (
    f"# Newton's method beside the scan on {first['device_kind']}\n\nFloat32; medians of pairs with their 95 % "
    'intervals; above 1 the scan is faster. Matmuls are float32 on CPUs; on GPUs those of the scan are TF32, and the '
    'recurrent products of the methods are float32. Recurrent weights: orthogonal, times `scale`. An asterisk: the '
    'iterations did not converge, and the scan computed the results after them.\n\n'
    f'{markdown.grid(head, lines)}\n\n{faster(rows)}\n\n{versions}; malloc {first["malloc"]}.\n\n'
    '```\npython -m benchmarks.newton --out=results/<device>/newton\n```\n'
  )


def line(rows: Sequence[Row]) -> list[str]:
  """Return the cells of one layer."""

  def of(metric: str, side: str, passes: str | None = None) -> Row | None:
    same = (row for row in rows if (row['metric'], row['side'], row.get('passes')) == (metric, side, passes))
    return next(same, None)

  cells = [rows[0]['work']]
  for passes in PASSES:
    scan = of('seconds', SCAN, passes)
    cells.append(DISTURBED if scan is None else f'{scan["value"] * 1e3:.3g}')
    for side in METHODS:
      ratio, slow = of('ratio', side, passes), of('too_slow', side, passes)
      if ratio is not None:
        cells.append(f'{ratio["value"]:.3g} [{ratio["low"]:.3g}, {ratio["high"]:.3g}]')
      elif of('unavailable', side, passes):
        cells.append('–')
      elif slow is not None and scan is not None:
        cells.append(f'about {slow["value"] / scan["value"]:,.0f}')
      else:
        cells.append(DISTURBED)
  for side in METHODS:
    iterations, residual = of('iterations', side), of('residual', side)
    if iterations is None or residual is None:
      cells.append('–')
      continue
    mark = '' if iterations['has_converged'] else '*'
    cells.append(f'{iterations["value"]} ({residual["value"]:.1e}){mark}')
  return cells


def faster(rows: Sequence[Row]) -> str:
  """Return a sentence for each method and pass."""
  found = []
  for passes in PASSES:
    for side in METHODS:
      ratios = [row for row in rows if (row['metric'], row['side'], row.get('passes')) == ('ratio', side, passes)]
      wins = [row['work'] for row in ratios if row['high'] < 1]
      losses = sum(row['low'] > 1 for row in ratios)
      text = f'{side}, {passes}: faster than the scan in {len(wins)} of {len(ratios)} layers, slower in {losses}'
      found.append(f'{text} ({", ".join(wins)}).' if wins else f'{text}.')
  return '\n'.join(f'- {text}' for text in found)


def layers(arguments: Arguments) -> Iterator[Layer]:
  for cell in arguments.cells:
    for width in arguments.widths:
      for length in arguments.lengths:
        yield Layer(cell, width, length, arguments.batch, arguments.scale)


def main(argv: Sequence[str]) -> int:
  """Return the exit code: 2 for bad input, with one line on stderr."""
  os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
  try:
    arguments = parse(argv)
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  settings = runtime.prepare()
  from benchmarks import summary
  from comparison import records
  from comparison.experiments import runner

  everything: list[Row] = []
  for layer in layers(arguments):
    # Of a record, `cell` is what was measured together.
    about: Row = {'experiment': 'newton', 'cell': layer.name, 'work': layer.name, 'architecture': layer.cell}
    about |= {name: getattr(layer, name) for name in ('width', 'length', 'batch')} | {'weight_scale': layer.scale}
    about |= {'dtype': 'float32', **runner.machine_identity()}
    about |= {'malloc': settings['malloc'], 'time': time.time()}
    named = [{**about, **row} for row in measure(layer, arguments.seconds, arguments.busy)]
    everything += named
    if arguments.out is not None:
      summary.replace(arguments.out / 'records.jsonl', layer.name, named)
    print(' | '.join(line(named)), file=sys.stderr)
  print(table(everything))
  if arguments.out is not None:
    (arguments.out / 'newton.md').write_text(table(records.read(arguments.out / 'records.jsonl')))
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
