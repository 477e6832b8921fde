"""What a model costs before it is run: parameters, FLOPs per token, bytes of state."""

from collections.abc import Sequence
from typing import TypedDict

import jax

from seqmodels.config import ModelConfig
from seqmodels.mixers import MIXERS, parse_entry
from seqmodels.models import Model, count_parameters
from seqmodels.network import Network
from seqmodels.notation import Params
from seqmodels.spec import Tokens


class Summary(TypedDict):
  parameters: int
  non_embedding: int
  flops_per_token: float
  state_bytes: int


def state_bytes(model: Model, batch: int, length: int) -> int:
  """Bytes that the model must keep to go on after `length` tokens; an encoder, which reads all at once, keeps none."""
  if model.spec.kind == 'encode':
    return 0
  shapes = jax.eval_shape(lambda: model.init_state(batch, length))
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def flops_per_token(model: Model, context: float, *, training: bool = False) -> float:
  """FLOPs (a multiply-add is two) for one token that has `context` tokens to mix with.

  2 for each weight it passes through, plus what the mixers do between tokens. The embedding is a look-up and costs
  nothing; the output layer counts. Training is three forward passes (one forward, two backward), without rematerialised
  work (Kaplan et al. 2020, section 2.1).
  """
  network, params = list(model.networks().values())[-1]
  forward = _stack_flops(network, params, context) + 2.0 * model.config.width * model.spec.output.size
  return (3.0 if training else 1.0) * forward


def encoding_flops(model: Model, source_length: int, *, training: bool = False) -> float:
  """FLOPs to read a source once: the encoder, and the keys and values of the decoder's cross-attention."""
  network, params = model.networks()['encoder']
  context = float(source_length) if model.config.cross_attention else (source_length + 1) / 2
  forward = source_length * _stack_flops(network, params, context)
  blocks = (model.network().stack.block(i) for i in range(model.config.depth))
  forward += sum(2.0 * source_length * block.cross.key_value.weight.size for block in blocks if block.cross is not None)
  return (3.0 if training else 1.0) * forward


def _stack_flops(network: Network, params: Params, context: float) -> float:
  """Forward FLOPs a token of everything but the output layer."""
  weights = sum(leaf.size for leaf in jax.tree.leaves(params['stack']))
  if not isinstance(network.spec.input, Tokens):
    weights += network.config.width * network.spec.input.size
  flops = 0.0
  for i in range(network.config.depth):
    block = network.stack.block(i)
    flops += block.mixer.mixing_flops(context)
    if block.cross is not None:
      flops += block.cross.mixing_flops(network.spec.source_length)
      weights -= block.cross.key_value.weight.size  # they read the source, not the token
  return flops + 2.0 * weights


def sequence_flops(model: Model, length: int, *, training: bool = False) -> float:
  """FLOPs of a sequence in parallel: a causal token mixes with half of it on average, a bidirectional with all.

  For seq2seq models the longest source is read too.
  """
  context = float(length) if model.spec.kind == 'encode' else (length + 1) / 2
  flops = length * flops_per_token(model, context, training=training)
  if model.spec.kind == 'seq2seq':
    flops += encoding_flops(model, model.spec.source_length, training=training)
  return flops


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
    ('can be causal', _causal(config)),
    *_layers(model),
    ('width', f'{config.width}, feed-forward {round(config.feedforward * config.width)}'),
    ('position', config.position),
    ('parameters', f'{figures["parameters"]:,} ({figures["non_embedding"]:,} non-embedding)'),
    ('training FLOPs per token', f'{figures["flops_per_token"]:,.0f} at length {model.spec.length}'),
  ]
  if model.spec.kind == 'seq2seq':
    length = model.spec.source_length
    rows.append((f'a source of {length:,}', f'{encoding_flops(model, length):,.0f} FLOPs to read'))
  for position in positions if model.spec.kind != 'encode' else ():
    if model.config.position == 'learned' and position > model.spec.length:
      rows.append((f'at position {position:,}', f'beyond the table of {model.spec.length:,} learned positions'))
      continue
    flops, size = flops_per_token(model, position), state_bytes(model, 1, position)
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
  return rows


def _causal(config: ModelConfig) -> str:
  barred = sorted({name for name, _ in map(parse_entry, config.pattern) if not MIXERS[name].can_be_causal})
  return f'no: {", ".join(barred)}' if barred else 'yes'
