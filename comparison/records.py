"""Read, append and select records: flat rows of JSON Lines, one measured number each. Imports no JAX."""

import collections
import fcntl
import hashlib
import json
import logging
import math
import os
import pathlib
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]

# Suffix of the metric of models trained with the FLOPs of another, to keep them apart from those trained with as many
# updates.
AT_EQUAL_FLOPS = '_at_equal_flops'

# Names of kernel backends in records from before version 0.2, which stay on disk as they were written.
BACKENDS_BEFORE_0_2 = {
  'scan': 'reference',
  'materialised': 'reference',
  'fused': 'xla',
  'blockwise': 'xla',
  'chunked': 'xla',
  'native': 'cpu',
  'vendor': 'cudnn',
}
FUSED_ATTENTION = 'dot_product_attention'  # of jax.nn: `fused` attention where that was not cuDNN's

COLUMNS: dict[str, str] = {
  'experiment': 'name of the experiment',
  'version': 'its version; a higher one replaces the rows of a lower one',
  'cell': 'key of the cell on this device and these versions of packages; a cell that is here is never run again',
  'content': "hash of the experiment's name, the scale and the cell's content: the same cell on any device",
  'rows': 'how many rows the cell wrote: fewer in the file means that the write was cut short',
  'scale': 'smoke, laptop, overnight or accelerator',
  'device': 'platform: cpu, gpu or tpu',
  'device_kind': 'model of the device',
  'devices': 'number of devices that the process saw',
  'host': 'short hash of the name of the machine, so that machines can be told apart without being named',
  'versions': 'versions of Python, of the packages that decide the numbers, and of the C++ kernels (a hash of their '
  'sources) where they are in use',
  'flags': 'compiler and allocator settings of the process',
  'commit': 'commit of this code, with + for uncommitted changes',
  'article': 'name of the article that it was measured for; without it: transformer_vs_rnn',
  'rules': 'checksums of the rules of claims that were in force: 3:<checksum> 25:<checksum>',
  'time': 'end of the cell, seconds since the epoch (UTC)',
  'seconds': 'wall-clock time of the cell',
  'metric': 'what was measured; `failed`, `gate` and `unavailable` tell why there is no number',
  'value': 'the number',
  'unit': 'its unit',
  'low': 'lower end of its 95 % interval',
  'high': 'upper end of its 95 % interval',
  'samples': 'the repeats behind it in the order measured, so that ratios can be formed pair by pair',
  'error': 'the text of the error of a failed cell',
  'architecture': 'rnn, lstm, gru, transformer …',
  'backend': 'kernels of the mixer: reference, xla, cpu, cudnn …; or how a state is used: cached, multi-head …',
  'block': 'plain (classical) or residual',
  'parameters': 'non-embedding parameters',
  'flops_per_token': 'forward floating-point operations a token',
  'state_bytes': 'bytes of the state of one sequence',
  'updates': 'optimiser steps of a trained model',
  'length': 'tokens in a sequence',
  'batch': 'sequences in a batch',
  'of': 'of a baseline: the experiment that it stands beside',
  'baseline': 'its name: unigram, any value shown …',
  'rates': 'of a row `trials`: the learning rates that every model was trained with',
  'curve': 'means of the training loss over equal parts of the updates',
  'stopped': 'the update after which the validation loss was the lowest: its score is that of the row',
  'checkpoints': 'the test loss after each part of `curve`',
  'parts': 'the score on equal parts of the test examples, in their order, the same for every model',
  'resampled': 'the score on fixed resamples of the test examples, in the same order for every model',
  'seed': 'seed of the initial parameters and of the data',
  'dtype': 'computation type',
}


# The types of columns; others hold a text, a number, a truth value or nothing.
TEXTS = ('experiment', 'cell', 'content', 'scale', 'device', 'device_kind', 'host', 'flags', 'commit', 'article',
  'rules', 'metric', 'unit', 'error', 'architecture', 'backend', 'block', 'of', 'baseline', 'dtype')  # fmt: skip
NUMBERS = ('version', 'rows', 'devices', 'time', 'seconds', 'value', 'low', 'high', 'parameters', 'flops_per_token',
  'state_bytes', 'updates', 'length', 'batch', 'seed', 'learning_rate', 'lag', 'pairs', 'index', 'size')  # fmt: skip
NULLABLE = ('value', 'low', 'high')
ADDED = ('article', 'rules')  # columns that rows of earlier programs do not have
OPEN = ('selection',)  # columns that say nothing where a trial has diverged
LISTS = ('samples', 'rates', 'curve', 'checkpoints', 'parts', 'resampled')
# What every row of a comparison has.
COMPARED = ('experiment', 'version', 'cell', 'content', 'scale', 'device_kind', 'time', 'metric', 'value')
EVENTS = ('failed', 'gate', 'unavailable')  # metrics whose rows hold what their cell does
LAST = 2e11  # seconds since the epoch: the year 8307
log = logging.getLogger('seqmodels')


def cell_key(
  experiment: str, version: int, cell: Mapping[str, Any], device_kind: str, versions: Mapping[str, str]
) -> str:
  """Return the key of a cell: a hash of everything that can change its result."""
  return digest([experiment, version, dict(cell), device_kind, dict(versions)])


def digest(content: Any) -> str:
  """Return a short hash of JSON-able content that does not depend on the order of keys."""
  text = json.dumps(content, sort_keys=True, separators=(',', ':'), allow_nan=False)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def append(path: pathlib.Path, rows: Sequence[Row]) -> None:
  """Append the rows of one cell in a single write, synchronised to disk.

  A partial last line, left by a full disk or a power cut, is removed first: it would be joined to the new one.
  """
  whole = [_finite({**row, 'rows': len(rows)}) for row in rows]
  block = ''.join(json.dumps(row, separators=(',', ':'), allow_nan=False) + '\n' for row in whole).encode()
  path.parent.mkdir(parents=True, exist_ok=True)
  with open(path, 'ab+') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    _cut_partial_line(file)
    file.write(block)
    file.flush()
    os.fsync(file.fileno())


def _finite(value: Any) -> Any:
  """Replace numbers that JSON does not have (a diverged loss) by None."""
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if isinstance(value, dict):
    return {name: _finite(item) for name, item in value.items()}
  return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _cut_partial_line(file: Any) -> None:
  size = file.seek(0, os.SEEK_END)
  end = size
  while end > 0:
    start = max(0, end - 4096)
    file.seek(start)
    newline = file.read(end - start).rfind(b'\n')
    if newline >= 0:
      end = start + newline + 1
      break
    end = start
  if end < size:
    file.truncate(end)


def read(path: pathlib.Path) -> list[Row]:
  """Return the rows of all whole cells of a file; none where there is no file. What is left out is logged."""
  rows, left_out = parse(path)
  say(path, left_out)
  return rows


def read_all(workdir: pathlib.Path, *, quiet: bool = False) -> list[Row]:
  """Return the records of a comparison: `records.jsonl` and the files of its shards.

  Rows that are not of a comparison, or not in the form of their metric's other rows, are left out with their cells;
  unless `quiet`, how many and why is logged. Raises OSError.
  """
  found = []
  for path in sorted(workdir.glob('records*.jsonl')):
    rows, left_out = parse(path, COMPARED)
    if not quiet:
      say(path, left_out)
    found += rows
  return found


def parse(path: pathlib.Path, required: Sequence[str] = ('metric',)) -> tuple[list[Row], dict[str, int]]:
  """Return the whole cells of a records file, and how many rows are left out for which reason.

  required: columns that a row must have. A row that is left out takes its cell with it. Raises OSError.
  """
  try:
    data = path.read_bytes()
  except FileNotFoundError:
    return [], {}
  rows: list[Row] = []
  left_out: dict[str, int] = collections.Counter()
  for line in filter(bytes.strip, data.split(b'\n')):
    try:
      row = json.loads(line)
    except (ValueError, RecursionError):
      left_out['not JSON'] += 1
      continue
    if (problem := check(row, required)) is None:
      rows.append(_with_present_names(row))
    else:
      left_out[problem] += 1
  if required != ('metric',):
    rows = _of_one_form(rows, left_out)
  return _whole_cells(rows, left_out), left_out


def check(row: Any, required: Sequence[str]) -> str | None:
  """Return what is wrong with a row, if anything: a column that is missing or of another type."""
  if not isinstance(row, dict):
    return 'not an object'
  for name in required:
    if row.get(name) is None and name != 'value':
      return f'without {name}'
  for name, value in row.items():
    if not _fits(name, value):
      return f'{name} is not {"a text" if name in TEXTS else "a number" if name in NUMBERS else "of its type"}'
  if not 0 <= row.get('time', 0) < LAST:
    return 'time is not one'
  return None


def _fits(name: str, value: Any) -> bool:
  if name in TEXTS:
    return isinstance(value, str)
  if name in NUMBERS:
    return _is_number(value) or (value is None and name in NULLABLE)
  if name in LISTS:
    return isinstance(value, list) and all(item is None or _is_number(item) for item in value)
  if name == 'versions':
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
  return value is None or isinstance(value, str | bool) or _is_number(value)


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _of_one_form(rows: list[Row], left_out: dict[str, int]) -> list[Row]:
  """Leave out rows without a column, or with another type in it, that nine in ten of their metric's rows share.

  An experiment of one version writes one form; `failed` and `gate` rows hold what their cell does, and columns with a
  dot in their name, of a sweep, what the field of a config may be.
  """
  groups: dict[tuple[Any, ...], list[Row]] = {}
  for row in rows:
    groups.setdefault((row['experiment'], row['version'], row.get('of'), row['metric']), []).append(row)
  whole = []
  for (*_, metric), group in groups.items():
    counts = collections.Counter((name, _kind(value)) for row in group for name, value in row.items())
    most = 0.9 * len(group) if len(group) > 10 else max(len(group) - 1, 2)  # one row of a few may be foreign
    usual = [column for column, count in counts.items() if count >= most]
    for row in group:
      problem = next((name for name, kind in usual if name not in row or _kind(row[name]) != kind), None)
      is_open = problem is not None and ((problem in OPEN and row.get(problem) is None) or '.' in problem)
      if problem is None or is_open or metric in EVENTS or problem in (*NULLABLE, *ADDED):
        whole.append(row)
      else:
        left_out[f'{problem} is not as in other rows of {metric}'] += 1
  return whole


def _kind(value: Any) -> str:
  return 'number' if _is_number(value) else type(value).__name__


def say(path: pathlib.Path, left_out: Mapping[str, int]) -> None:
  """Log what was left out of a records file, if anything."""
  if left_out:
    reasons = ', '.join(f'{reason} ({count})' for reason, count in left_out.items())
    log.warning('%s: %d rows are left out: %s', path, sum(left_out.values()), reasons)


def _with_present_names(row: Row) -> Row:
  """Return the row with the present name of its backend. No present name is an earlier name of another backend."""
  backend = row.get('backend')
  if backend not in BACKENDS_BEFORE_0_2:
    return row
  name = BACKENDS_BEFORE_0_2[backend]
  if row.get('architecture') == 'transformer' and backend == 'fused':
    name = 'cudnn' if row.get('device') == 'gpu' and row.get('dtype') != 'float32' else FUSED_ATTENTION
  return {**row, 'backend': name}


def file_name(shard: int, count: int) -> str:
  """Return the file of a shard; appending to one file from several machines is not atomic on every file system."""
  return 'records.jsonl' if count == 1 else f'records-{shard}-of-{count}.jsonl'


def _whole_cells(rows: Iterable[Row], left_out: dict[str, int]) -> list[Row]:
  """Leave out cells with fewer rows than they were written with."""
  writes: dict[tuple[Any, Any], list[Row]] = {}
  for row in rows:
    writes.setdefault((row.get('cell'), row.get('time')), []).append(row)
  whole = []
  for write in writes.values():
    if len(write) >= write[0].get('rows', 0):
      whole += write
    else:
      left_out['of a cell that is not whole'] += len(write)
  return whole


def finished(rows: Iterable[Row]) -> set[str]:
  """Return the keys of the cells that are finished; failed cells are not."""
  done: dict[str, bool] = {}
  for row in rows:
    if 'cell' in row:
      done[row['cell']] = done.get(row['cell'], False) or row['metric'] != 'failed'
  return {key for key, whole in done.items() if whole}


def of_article(rows: Iterable[Row], name: str, experiments: Collection[str], brings: Collection[str] = ()) -> list[Row]:
  """Return the rows that an article judges: those measured for it, and those of the experiments that it shares.

  name: empty for the first article, whose rows have no such column. brings: experiments of its own, whose names other
  articles may give to theirs. What rows keep of the rules of another article is left out.
  """
  found = []
  for row in rows:
    if row.get('article', '') == name:
      found.append(row)
    elif row['experiment'] in experiments and row['experiment'] not in brings:
      found.append({**row, 'rules': ''})
  return found


def select(rows: Sequence[Row], scale: str | None = None, device_kind: str | None = None) -> list[Row]:
  """Return the rows of one comparison: one scale, one device kind, the newest version and run of every cell.

  Scale and device kind default to those of the newest row: numbers of two devices are never mixed.
  """
  if scale is not None:
    rows = [row for row in rows if row.get('scale') == scale]
  if device_kind is not None:
    rows = [row for row in rows if row.get('device_kind') == device_kind]
  if not rows:
    return []
  newest = max(rows, key=lambda row: row.get('time', 0))
  rows = [row for row in rows if all(row.get(name) == newest.get(name) for name in ('scale', 'device_kind'))]
  version: dict[str, int] = {}
  last: dict[str, float] = {}
  for row in rows:
    version[row['experiment']] = max(version.get(row['experiment'], 0), row.get('version', 0))
  rows = [row for row in rows if row.get('version', 0) == version[row['experiment']]]
  for row in rows:
    last[row['content']] = max(last.get(row['content'], 0.0), row.get('time', 0))
  return [row for row in rows if row.get('time', 0) == last[row['content']]]
