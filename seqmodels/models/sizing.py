"""Count the costs of a model before it is run: parameters, FLOPs per token, bytes of state."""

import itertools
import math
from collections.abc import Sequence
from typing import TypedDict

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.config import ModelConfig
from seqmodels.mixers import MIXERS, parse_entry
from seqmodels.models.layout import block_name
from seqmodels.models.model import Model, count_parameters
from seqmodels.models.network import Network
from seqmodels.notation import Params
from seqmodels.spec import Tokens, Vectors

MOST_ROWS = 24  # about layers, in a table


class Summary(TypedDict):
  parameters: int
  non_embedding: int
  flops_per_token: float
  state_bytes: int


def state_bytes(model: Model, batch: int, length: int) -> int:
  """Bytes that the model must keep to go on after `length` tokens; an encoder, which reads all at once, keeps none."""
  if model.spec.kind == 'encode':
    return 0
  specs = jax.tree.leaves(model.state_spec(batch, length))
  return sum(math.prod(spec.shape) * jnp.dtype(spec.dtype).itemsize for spec in specs)


def flops_per_token(model: Model, length: int, memory: int = 0, *, training: bool = False) -> float:
  """FLOPs (a multiply-add is two) a token, the mean over `length` tokens read in one call.

  memory: 0: from the start. Else how many positions each of them sees, its own included, as in `Mixer.mixing_flops`:
  one decoded token, or a segment of truncated back-propagation.

  2 for each weight that a token passes through, plus what the mixers do between tokens. The embedding is a look-up and
  costs nothing; the output layer counts where there are outputs. Training is three forward passes (one forward, two
  backward), without rematerialised work (Kaplan et al. 2020, section 2.1).
  """
  network, params = list(model.networks().values())[-1]
  outputs = 1 / length if model.spec.readout != 'every' else 1.0
  forward = _stack_flops(network, params, length, memory)
  forward += 2.0 * outputs * model.config.width * _each_place_reads(model.spec.output)
  return (3.0 if training else 1.0) * forward


def encoding_flops(model: Model, source_length: int, *, training: bool = False) -> float:
  """FLOPs to read a source once: the encoder, and the keys and values of the decoder's cross-attention."""
  network, params = model.networks()['encoder']
  forward = source_length * _stack_flops(network, params, source_length)
  stack = model.network().stack
  blocks = [stack.layer(j) for j in range(stack.period)]
  read = sum(block.cross.key_value.kernel.size for block in blocks if block.cross is not None)
  forward += 2.0 * source_length * read * stack.repeats
  return (3.0 if training else 1.0) * forward


def _each_place_reads(side: Tokens | Vectors) -> int:
  """Return how many components belong to one place of an image; all of what is no image."""
  return side.size // side.places if isinstance(side, Vectors) else side.size


def _stack_flops(network: Network, params: Params, length: int, memory: int = 0) -> float:
  """Forward FLOPs a token of everything but the output layer."""
  weights = sum(leaf.size for leaf in jax.tree.leaves(params['stack']))
  if not isinstance(network.spec.input, Tokens):
    weights += network.config.width * _each_place_reads(network.spec.input)
  flops = 0.0
  repeats = network.stack.repeats
  for j in range(network.stack.period):
    block = network.stack.layer(j)
    flops += repeats * block.mixer.mixing_flops(length, memory)
    if block.cross is not None:
      flops += repeats * block.cross.mixing_flops(network.spec.source_length)
      weights -= repeats * block.cross.key_value.kernel.size  # they read the source, not the token
  return flops + 2.0 * weights


def sequence_flops(model: Model, length: int, *, training: bool = False) -> float:
  """FLOPs of a sequence in one call. For seq2seq models the longest source is read too."""
  flops = length * flops_per_token(model, length, training=training)
  if model.spec.kind == 'seq2seq':
    flops += encoding_flops(model, model.spec.source_length, training=training)
  return flops


def training_flops(model: Model, segment: int = 0, memory: int = 0) -> float:
  """FLOPs a token of a training step on whole sequences, or on segments with a memory."""
  if segment:
    return flops_per_token(model, segment, memory, training=True)
  return sequence_flops(model, model.spec.length, training=True) / model.spec.length


def summary(model: Model, segment: int = 0, memory: int = 0) -> Summary:
  """Return the figures printed before every run, which trains on whole sequences, or on segments with a memory."""
  return Summary(
    parameters=count_parameters(model),
    non_embedding=count_parameters(model, embedding=False),
    flops_per_token=training_flops(model, segment, memory),
    state_bytes=state_bytes(model, 1, memory or model.spec.length),
  )


def table(
  model: Model, segment: int = 0, memory: int = 0, positions: Sequence[int] = (1, 100, 1_000, 4_000, 16_000)
) -> list[tuple[str, str]]:
  """Rows (name, value) that describe a model: layers, parameters, FLOPs, state at several positions."""
  config, figures = model.config, summary(model, segment, memory)
  read = f'in segments of {segment}, attention to the last {memory}' if segment else f'at length {model.spec.length}'
  rows = [
    ('kind', model.spec.kind),
    ('can be causal', _causal(config)),
    *_layers(model),
    ('width', f'{config.width}, feed-forward {round(config.feedforward * config.width)}'),
    ('position', config.position),
    ('parameters', f'{figures["parameters"]:,} ({figures["non_embedding"]:,} non-embedding)'),
    ('training FLOPs per token', f'{figures["flops_per_token"]:,.0f} {read}'),
  ]
  if model.spec.kind == 'seq2seq':
    length = model.spec.source_length
    rows.append((f'a source of {length:,}', f'{encoding_flops(model, length):,.0f} FLOPs to read'))
  for position in positions if model.spec.kind != 'encode' else ():
    if model.config.position == 'learned' and position > model.spec.length:
      rows.append((f'at position {position:,}', f'beyond the table of {model.spec.length:,} learned positions'))
      continue
    flops, size = flops_per_token(model, 1, position), state_bytes(model, 1, position)
    rows.append((f'at position {position:,}', f'{flops:,.0f} FLOPs to decode a token, {size:,} bytes of state'))
  return rows


def _layers(model: Model) -> list[tuple[str, str]]:
  rows = []
  for name, (network, _) in model.networks().items():
    pattern = network.config.pattern
    layers = f'{network.config.depth // len(pattern)} × ({", ".join(pattern)}), {model.config.block} block'
    if name == 'decoder':
      layers += ', cross-attention' if model.config.cross_attention else ", starts in the encoder's last states"
    rows.append(('layers' if name == 'model' else f'{name} layers', layers))
    rows += [(f'  {block}', about) for block, about in _blocks(network)]
  return rows


def _blocks(network: Network) -> list[tuple[str, str]]:
  """Return rows (name, mixer and parameters) of the layers under their names in checkpoints, equal neighbours as one.

  Of more than MOST_ROWS the first ones.
  """
  stack = network.stack
  sizes = [sum(leaf.size for leaf in jax.tree.leaves(nnx.state(stack.layer(j)))) for j in range(stack.period)]
  about = list(zip(network.config.pattern, sizes, strict=True))
  rows: list[tuple[str, str]] = []
  for (mixer, size), run in itertools.groupby(range(stack.depth), lambda i: about[i % stack.period]):
    first, *others = run
    if len(rows) == MOST_ROWS:
      return [*rows, ('…', f'to {block_name(stack.depth - 1)}')]
    name = f'{block_name(first)} to {block_name(others[-1])}' if others else block_name(first)
    rows.append((name, f'{mixer}, {size:,} parameters{" each" if others else ""}'))
  return rows


def _causal(config: ModelConfig) -> str:
  barred = sorted({name for name, _ in map(parse_entry, config.pattern) if not MIXERS[name].can_be_causal})
  return f'no: {", ".join(barred)}' if barred else 'yes'
