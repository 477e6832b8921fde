"""Time of one decoded token against its position, and of whole generations beside PyTorch's eager loop.

  python -m benchmarks.decoding [--positions=100,1000,4000,16000] [--seconds=60] [--load=0]
                                [--out=results/<device>/decoding]

Every architecture has 2 layers of width 256 and decodes greedily at batch 1 in float32 with a state made for the last
position. All positions of all architectures are interleaved in one process. The folder gets records.jsonl and
decoding.md. PyTorch's loops are left out where it is not installed.

With --load so many other processes keep cores busy all the while. Attention in C++, whose threads must then not wait
for each other in vain, stands beside XLA's.
"""

import importlib.util
import os
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from absl import flags

from benchmarks import load
from benchmarks.arguments import read_flags
from seqmodels.errors import InputError
from training import runtime

GENERATED = 512
FIELDS = {'depth': 2, 'width': 256}
# Name → architecture and further fields of the model.
SUBJECTS: dict[str, tuple[str, dict[str, Any]]] = {
  'attention, prefix of the cache': ('transformer', {'mixer': {'decode': 'prefix'}}),
  "attention, prefix of the cache, XLA's kernels": ('transformer', {'mixer': {'decode': 'prefix'}, 'kernels': 'xla'}),
  'attention, full cache': ('transformer', {'mixer': {'decode': 'full'}}),
  'sliding window': ('sliding_window', {}),
  'sparse attention': ('sparse', {}),
  'Transformer-XL': ('transformer_xl', {}),
  'LSTM': ('lstm', {}),
  'linear attention': ('linear_attention', {}),
  'ssd': ('ssd', {}),
}


class Arguments(NamedTuple):
  positions: list[int]
  seconds: float
  load: int
  out: pathlib.Path | None


def parse(argv: Sequence[str]) -> Arguments:
  values = flags.FlagValues()
  flags.DEFINE_list('positions', ['100', '1000', '4000', '16000'], 'positions to measure at', flag_values=values)
  flags.DEFINE_float('seconds', 60.0, 'time for all positions together', 0.0, flag_values=values)
  flags.DEFINE_integer('load', 0, 'other processes that keep cores busy', 0, 1024, flag_values=values)
  flags.DEFINE_string('out', None, 'folder of the results; default: print only', flag_values=values)
  read_flags(values, argv)
  if not all(text.isdecimal() and int(text) > 0 for text in values.positions):
    raise InputError(f'--positions={",".join(values.positions)} must be whole numbers above 0')
  positions = sorted({int(text) for text in values.positions})
  return Arguments(positions, values.seconds, values.load, None if values.out is None else pathlib.Path(values.out))


def latencies(positions: list[int], seconds: float) -> list[dict[str, Any]]:
  """Return a row for each variant and position: seconds a token."""
  import jax.numpy as jnp

  from comparison.experiments import decoding, timing
  from comparison.experiments.variants import Variant, token_spec
  from seqmodels.decoding import sampling as generate

  calls: dict[str, Callable[..., Any]] = {}
  setups: dict[str, Callable[[], Any]] = {}
  beside: dict[str, dict[str, Any]] = {}
  length = max(positions) + decoding.STEPS
  for name, (architecture, changes) in SUBJECTS.items():
    model = Variant(architecture).build(token_spec(length), **FIELDS, **changes)
    decoder = decoding.Decoder(model, 1, length)
    for position in positions:
      label = f'{name} {position}'
      prompt = jnp.zeros((1, position), jnp.int32)
      _, state = generate.prefill(decoder.decoder, prompt, max_length=length)
      saved = state, jnp.zeros((1,), jnp.int32)
      calls[label], setups[label] = decoder.advance, decoding.copier(saved)
      beside[label] = {'side': name, 'position': position, **FIELDS, 'batch': 1, 'dtype': 'float32'}
  measured = timing.interleave(calls, setups=setups, repeats=200, seconds=seconds)
  return [
    timing.timing_row([s / decoding.STEPS for s in samples], metric='token_seconds', **beside[label])
    for label, samples in measured.items()
  ]


def generations() -> list[dict[str, Any]]:
  """Measure how many tokens a second are generated from nothing, GENERATED of them, beside PyTorch where it is."""
  from benchmarks import work
  from comparison.experiments import timing
  from comparison.experiments.variants import Variant, random_params, token_spec

  calls: dict[str, Callable[..., Any]] = {}
  # With learned positions and layer norms, as the PyTorch model of `torch_models.py` has them.
  gpt = {**FIELDS, 'norm': 'layer', 'position': 'learned', 'heads': 4}
  for name, (architecture, changes) in SUBJECTS.items():
    fields = gpt if architecture == 'transformer' else FIELDS
    model = Variant(architecture).build(token_spec(GENERATED + 1), **fields, **changes)
    params = random_params(model)
    calls[name] = partial(greedy, model, params)
    if importlib.util.find_spec('torch') and name in ('attention, prefix of the cache', 'LSTM'):
      calls[f'PyTorch, {architecture}'] = torch_loop(architecture, params)
  measured = timing.interleave(calls, repeats=20, seconds=30.0, rest=work.REST, wait=work.wait)
  beside = {'length': GENERATED, **FIELDS, 'batch': 1, 'dtype': 'float32'}
  return [timing.timing_row(s, metric='generation_seconds', side=name, **beside) for name, s in measured.items()]


def greedy(model: Any, params: Any) -> Any:
  import jax
  import jax.numpy as jnp

  from seqmodels.decoding import sampling as generate

  prompt, sampling = jnp.zeros((1, 1), jnp.int32), generate.Sampling(temperature=0)
  return next(generate.generate(model, params, prompt, GENERATED, key=jax.random.key(0), sampling=sampling))


def torch_loop(architecture: str, params: Any) -> Callable[[], Any]:
  from benchmarks import torch_models, work

  work.torch()
  if architecture == 'transformer':
    gpt = torch_models.GPT(params, 4).to(work.torch_device())
    return partial(torch_models.generate_gpt, gpt, 0, GENERATED)
  return partial(torch_models.generate_lstm, torch_models.LanguageLSTM(params).to(work.torch_device()), 0, GENERATED)


def table(rows: list[dict[str, Any]]) -> str:
  from comparison.report import markdown

  tokens = [row for row in rows if row['metric'] == 'token_seconds']
  positions = sorted({row['position'] for row in tokens})
  lines = []
  for name in dict.fromkeys(row['side'] for row in tokens):
    found = {row['position']: row for row in tokens if row['side'] == name}
    lines.append([name, *(bounded(found[p], lambda seconds: seconds * 1e6) for p in positions)])
  speed = [
    [row['side'], bounded(row, lambda seconds: GENERATED / seconds)]
    for row in rows
    if row['metric'] == 'generation_seconds'
  ]
  beside = f' {rows[0]["load"]} other processes kept cores busy.' if rows[0]['load'] else ''
  return (
    f'# Decoding on {rows[0]["device_kind"]}\n\n2 layers of width 256, batch 1, float32, greedy.{beside}\n\n'
    f'Microseconds a token at a position, medians with their 95 % intervals:\n\n'
    f'{markdown.grid(("", *(f"{p:,}" for p in positions)), lines)}\n\n'
    f'Tokens a second over {GENERATED} tokens from nothing:\n\n{markdown.grid(("", "tokens/s"), speed)}\n'
  )


def bounded(row: dict[str, Any], shown: Callable[[float], float]) -> str:
  """`499 [490, 512]`: a row's median and interval of seconds, as `shown`."""
  low, high = sorted(shown(row[end]) for end in ('low', 'high'))
  return f'{shown(row["value"]):,.0f} [{low:,.0f}, {high:,.0f}]'


def main(argv: Sequence[str]) -> int:
  """Return the exit code: 2 for bad input, with one line on stderr."""
  os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
  try:
    arguments = parse(argv)
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  settings = runtime.prepare()
  from comparison import records
  from comparison.experiments import runner

  print(f'{runtime.device_line()}, malloc {settings["malloc"]}')
  identity = {'experiment': 'decoding_beside_peers', 'cell': 'all', **runner.machine_identity(), 'time': time.time()}
  identity |= {'malloc': settings['malloc'], 'load': arguments.load}
  with load.busy(arguments.load):
    measured = *latencies(arguments.positions, arguments.seconds), *generations()
  rows = [{**identity, **row} for row in measured]
  print(table(rows))
  if (out := arguments.out) is not None:
    (out / 'records.jsonl').unlink(missing_ok=True)
    records.append(out / 'records.jsonl', rows)
    (out / 'decoding.md').write_text(table(rows))
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
