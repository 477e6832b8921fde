"""What a model costs before it is run: parameters, FLOPs per token, bytes of state."""

from collections.abc import Sequence
from typing import TypedDict

import jax

from seqmodels.models import Model, count_parameters
from seqmodels.spec import Tokens


class Summary(TypedDict):
  parameters: int
  non_embedding: int
  flops_per_token: float
  state_bytes: int


def state_bytes(model: Model, batch: int, length: int) -> int:
  """Bytes that the model must keep to go on after `length` tokens."""
  shapes = jax.eval_shape(lambda: model.init_state(batch, length))
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def flops_per_token(model: Model, context: float, *, training: bool = False) -> float:
  """FLOPs (a multiply-add is two) for one token that has `context` tokens to mix with.

  2 for each weight it passes through, plus what the mixers do between tokens. The embedding is a look-up and costs
  nothing; the output layer counts. Training is three forward passes (one forward, two backward), without rematerialised
  work (Kaplan et al. 2020, section 2.1).
  """
  network = model.network()
  weights = sum(leaf.size for leaf in jax.tree.leaves(model.abstract_params['stack']))
  tied = model.config.tie_embeddings
  weights += model.config.width * model.spec.output.size
  if not isinstance(model.spec.input, Tokens) and not tied:
    weights += model.config.width * model.spec.input.size
  mixing = sum(network.stack.block(i).mixer.mixing_flops(context) for i in range(model.config.depth))
  return (3.0 if training else 1.0) * (2.0 * weights + mixing)


def sequence_flops(model: Model, length: int, *, training: bool = False) -> float:
  """FLOPs of a sequence in parallel: a causal token mixes with half of it on average, a bidirectional with all."""
  context = (length + 1) / 2 if model.spec.kind == 'causal' else float(length)
  return length * flops_per_token(model, context, training=training)


def summary(model: Model, length: int | None = None) -> Summary:
  """The figures printed before every run, at `length` tokens (default: the spec's)."""
  length = length or model.spec.length
  return Summary(
    parameters=count_parameters(model),
    non_embedding=count_parameters(model, embedding=False),
    flops_per_token=sequence_flops(model, length, training=True) / length,
    state_bytes=state_bytes(model, 1, length),
  )


def table(model: Model, positions: Sequence[int] = (1, 100, 1_000, 4_000, 16_000)) -> list[tuple[str, str]]:
  """Rows (name, value) that describe a model: layers, parameters, FLOPs, state at several positions."""
  config, figures = model.config, summary(model)
  rows = [
    ('kind', model.spec.kind),
    ('layers', f'{config.depth} × ({", ".join(config.pattern)}), {config.block} block'),
    ('width', f'{config.width}, feed-forward {round(config.feedforward * config.width)}'),
    ('position', config.position),
    ('parameters', f'{figures["parameters"]:,} ({figures["non_embedding"]:,} non-embedding)'),
    ('training FLOPs per token', f'{figures["flops_per_token"]:,.0f} at length {model.spec.length}'),
  ]
  for position in positions:
    flops, size = flops_per_token(model, position), state_bytes(model, 1, position)
    rows.append((f'at position {position:,}', f'{flops:,.0f} FLOPs to decode a token, {size:,} bytes of state'))
  return rows
