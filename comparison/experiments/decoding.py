"""Time of one decoded token against its position, and of whole generations."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from comparison.experiments import gate, program, timing
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.forward_latency import forward
from comparison.experiments.training_time import ladder
from comparison.experiments.variants import OTHER_MODELS, Variant, columns, depth, random_params, token_spec
from seqmodels import models
from seqmodels.models import Model

STEPS = 16  # tokens a compiled call, so that the dispatch is shared; a position stands for the 16 that begin there
CACHED = (Variant('lstm', 'auto'), Variant('gru', 'auto'), Variant('transformer', 'auto'))


class Decoding(Experiment):
  """Greedy decoding token by token, every position of every architecture interleaved in one cell.

  The Transformer decodes from its key/value cache (`cached`), and by running the whole prefix again (`uncached`). On a
  CPU the C++ kernel reads fewer than 32,768 keys and values (39 tokens of 416 channels) with one thread, more with all.
  That may be why position 100 took 0.94 of the time of position 1 with 4M parameters on an AMD EPYC (2 cores).
  """

  name = 'decoding'
  version = 6
  takes_architectures = True

  @staticmethod
  def adds(cell: Cell) -> bool:
    return 'architectures' in cell

  def cells(self, scale: Scale) -> list[Cell]:
    grids: dict[str, list[tuple[float, int, tuple[int, ...], tuple[int, ...], str, float]]] = {
      'smoke': [(6e3, 1, (1, 100), (32,), 'float32', 1.0)],
      'laptop': [(2e5, 1, (1, 100, 500, 1000, 2000), (64, 256, 1024, 2000), 'float32', 10.0)],
      'overnight': [
        (2e5, 1, (1, 100, 500, 1000, 2000, 4000, 8000), (64, 256, 1024, 4000, 8000), 'float32', 60.0),
        (4e6, 1, (1, 100, 500, 1000, 2000), (64, 256, 1024, 2000), 'float32', 60.0),
        (2e5, 32, (1, 100, 500, 1000, 2000), (64, 256, 1024, 2000), 'float32', 60.0),
      ],
      'accelerator': [
        (1e7, 1, (1, 100, 1000, 4000, 16000), (64, 256, 1024, 4096, 16000), 'bfloat16', 20.0),
        (1e7, 32, (1, 100, 1000, 4000, 16000), (64, 256, 1024, 4096), 'bfloat16', 20.0),
        (1e7, 256, (1, 100, 1000, 4000), (64, 256, 1024), 'bfloat16', 20.0),
      ],
    }
    cells = [
      {
        'depth': depth(scale),
        'ladder': 'ends' if scale == 'smoke' else 'full',
        'size': s,
        'batch': b,
        'positions': list(p),
        'generated': list(g),
        'dtype': d,
        'seconds': seconds,
      }
      for s, b, p, g, d, seconds in grids[scale]
    ]
    if scale in ('smoke', 'laptop'):
      return cells
    return [*cells, {**cells[0], 'ladder': 'named', 'architectures': list(OTHER_MODELS)}]

  def cost(self, cell: Cell) -> float:
    return 10 + 3 * len(cell['positions']) + 2 * cell['seconds']

  def run(self, cell: Cell) -> Iterable[Row]:
    cached = CACHED[::2] if cell['ladder'] == 'ends' else CACHED
    variants, refused = gate.admit(ladder(cell) if 'architectures' in cell else cached)
    yield from refused
    calls: dict[str, Callable[..., Any]] = {}
    setups: dict[str, Callable[[], Any]] = {}
    beside: dict[str, Row] = {}
    decoders: dict[str, tuple[Variant, Decoder]] = {}
    reach = max(*cell['positions'], *cell['generated']) + STEPS
    for variant in variants:
      decoder = Decoder(build(variant, cell, reach), cell['batch'], reach)
      decoders[variant.name] = variant, decoder
      saved = decoder.walk(cell['positions'])
      for position in cell['positions']:
        name = f'{variant.name} {position}'
        calls[name], setups[name] = decoder.advance, copier(saved[position])
        beside[name] = {**point(variant, decoder.model, cell), 'position': position}
      if variant.architecture == 'transformer':
        for position in cell['positions']:
          name = f'uncached {position}'
          model = build(variant, cell, position)
          try:
            calls[name] = forward(model, position, cell['batch'])[1]
          except program.TooLarge as reason:
            yield {**gate.missing(variant, str(reason)), 'backend': 'uncached', 'position': position}
            continue
          beside[name] = {**point(variant, model, cell), 'backend': 'uncached', 'position': position}
    # Recomputation takes up to a thousand times longer: rounds of its own leave time for many rounds of the others.
    for repeats, tokens in ((150, STEPS), (15, 1)):
      chosen = {name: call for name, call in calls.items() if (name in setups) == (tokens == STEPS)}
      if not chosen:  # no Transformer, nothing to recompute
        continue
      measured = timing.interleave(chosen, setups=setups, repeats=repeats, seconds=cell['seconds'] / 2)
      for name, samples in measured.items():
        yield timing.timing_row([s / tokens for s in samples], metric='token_seconds', **beside[name])
    for length in cell['generated']:
      yield from generation(decoders, cell, length)


def generation(decoders: dict[str, tuple[Variant, 'Decoder']], cell: Cell, length: int) -> Iterable[Row]:
  """Seconds to generate `length` tokens from nothing."""
  calls = {name: partial(decoder.generate, length=length) for name, (_, decoder) in decoders.items()}
  setups = {name: decoder.start for name, (_, decoder) in decoders.items()}
  measured = timing.interleave(calls, setups=setups, repeats=10, seconds=cell['seconds'] / len(cell['generated']))
  for variant, decoder in decoders.values():
    row = {**point(variant, decoder.model, cell), 'length': length}
    yield timing.timing_row(measured[variant.name], metric='generation_seconds', **row)


def build(variant: Variant, cell: Cell, length: int) -> Model:
  return variant.build(token_spec(length), params=cell['size'], depth=cell['depth'], dtype=cell['dtype'])


def point(variant: Variant, model: Model, cell: Cell) -> Row:
  backend = 'cached' if variant.architecture == 'transformer' else variant.backend
  length = max(cell['positions'])
  return {**columns(variant, model, length), 'backend': backend, 'size': cell['size'], 'batch': cell['batch']}


def copier(tree: Any) -> Callable[[], Any]:
  """Fresh buffers for each sample, since the decoder consumes them; made outside of the timed part."""
  return lambda: jax.block_until_ready(jax.tree.map(jnp.copy, tree))


class Decoder:
  """A compiled loop of STEPS greedy tokens that consumes its state, as a server would keep one cache a user."""

  def __init__(self, model: Model, batch: int, max_length: int):
    self.model, self.batch, self.max_length = model, batch, max_length
    self.params = random_params(model)
    self.decoder = model.decoder(self.params, max_length)
    self.loop = jax.jit(self._loop, donate_argnums=1).lower(self.decoder, self.start()).compile()

  def start(self) -> Any:
    """State and first token, before anything was decoded."""
    state = self.decoder.init_state(self.batch, self.max_length)
    return jax.block_until_ready(jax.tree.map(jnp.copy, (state, jnp.zeros((self.batch,), jnp.int32))))

  def _loop(self, decoder: models.Decoder, carry: Any) -> Any:
    def step(carry: Any, _: None) -> tuple[Any, None]:
      state, token = carry
      logits, state = decoder.step(token, state)
      return (state, jnp.argmax(logits, axis=-1).astype(jnp.int32)), None

    return jax.lax.scan(step, carry, None, length=STEPS)[0]

  def advance(self, carry: Any) -> Any:
    return self.loop(self.decoder, carry)

  def generate(self, carry: Any, length: int) -> Any:
    for _ in range(-(-length // STEPS)):
      carry = self.advance(carry)
    return carry

  def walk(self, positions: Iterable[int]) -> dict[int, Any]:
    """Position → a copy of the state just before it, rounded down to a multiple of STEPS."""
    saved, carry, at = {}, self.start(), 0
    for position in sorted(positions):
      while at + STEPS <= position - 1:
        carry, at = self.advance(carry), at + STEPS
      saved[position] = jax.block_until_ready(jax.tree.map(jnp.copy, carry))
    return saved
