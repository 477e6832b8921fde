"""Tokens a second that a memory of fixed size can decode for many users at once."""

from collections.abc import Iterable
from typing import Any

from comparison.experiments import gate, timing
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.decoding import STEPS, Decoder, build, copier
from comparison.experiments.variants import Variant, columns, depth
from seqmodels.models import sizing

SERVED = (
  Variant('lstm', 'auto'),
  Variant('gru', 'auto'),
  Variant('transformer', 'auto'),
  Variant('transformer', 'auto', fields={'kv_heads': 1}),
  Variant('sliding_window', 'auto'),
)
MOST = 4096  # users


class Serving(Experiment):
  """As many users as their states leave room for, each after `context` tokens, one token for all at a time.

  The largest batch is the largest power of two whose states fit `memory`, but for MOST users. Backends `multi-head` and
  `multi-query` are the Transformer with a cache for each head, and with one for all.
  """

  name = 'serving'
  version = 2

  def cells(self, scale: Scale) -> list[Cell]:
    grids: dict[str, list[tuple[float, int, float, str, float]]] = {
      'smoke': [(6e3, 32, 1e5, 'float32', 0.5)],
      'laptop': [(2e5, 512, 3e7, 'float32', 6.0)],
      'overnight': [(2e5, 512, 2.5e8, 'float32', 60.0), (4e6, 512, 2.5e8, 'float32', 60.0)],
      'accelerator': [(1e7, 1024, 2e10, 'bfloat16', 10.0), (5e7, 1024, 2e10, 'bfloat16', 10.0)],
    }
    names = ('size', 'context', 'memory', 'dtype', 'seconds')
    return [{'depth': depth(scale), **dict(zip(names, grid, strict=True))} for grid in grids[scale]]

  def cost(self, cell: Cell) -> float:
    return 20 + 2 * cell['seconds']

  def run(self, cell: Cell) -> Iterable[Row]:
    variants, refused = gate.admit(SERVED, cell['dtype'])
    yield from refused
    calls: dict[str, Any] = {}
    setups: dict[str, Any] = {}
    beside: dict[str, Row] = {}
    for variant in variants:
      model = build(variant, cell, cell['context'])
      users = largest_batch(sizing.state_bytes(model, 1, cell['context']), cell['memory'])
      decoder = Decoder(model, users, cell['context'])
      backend = form(variant)
      name = f'{variant.architecture} {backend}'
      last = max(1, cell['context'] - STEPS + 1)
      calls[name], setups[name] = decoder.advance, copier(decoder.walk([last])[last])
      beside[name] = {
        **columns(variant, model, cell['context']), 'backend': backend, 'size': cell['size'], 'batch': users,
        'length': cell['context'], 'memory': cell['memory'],
      }  # fmt: skip
    measured = timing.interleave(calls, setups=setups, repeats=30, seconds=cell['seconds'])
    for name, samples in measured.items():
      # Seconds a token of any user: the reciprocal of the throughput.
      seconds = [s / (STEPS * beside[name]['batch']) for s in samples]
      yield timing.timing_row(seconds, metric='served_token_seconds', **beside[name])


def form(variant: Variant) -> str:
  if variant.architecture != 'transformer':
    return variant.backend
  return 'multi-query' if variant.fields.get('kv_heads') == 1 else 'multi-head'


def largest_batch(state: int, memory: float) -> int:
  """Return the largest power of two of states that fit the memory: at least 1, at most MOST."""
  users = 1
  while 2 * users <= MOST and 2 * users * state <= memory:
    users *= 2
  return users
