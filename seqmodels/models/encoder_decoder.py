"""Encoder–decoder: a source is read first, then the decoder writes, with cross-attention or from the last states."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.config import ModelConfig
from seqmodels.context import BATCH, Context, Documents, EncoderOutput, StateSpec
from seqmodels.errors import InputError
from seqmodels.layers.draws import Draws
from seqmodels.mixers.base import DETERMINISTIC
from seqmodels.models import layout
from seqmodels.models.network import Inputs, Network, Source, SourceMask
from seqmodels.notation import State
from seqmodels.spec import Spec


class EncoderDecoder(nnx.Module):
  """Two networks of one width.

  With cross-attention the encoder reads both ways, and every block of the decoder attends to its output (Bahdanau et
  al. 2015 for recurrent decoders, Vaswani et al. 2017). Without, the encoder reads from left to right, and its last
  states are the decoder's first (Sutskever et al. 2014): the layers must be of one kind, and their states of fixed
  size.
  """

  def __init__(self, config: ModelConfig, spec: Spec, *, rngs: Draws) -> None:
    assert spec.source is not None
    self.cross_attention, self.source_length = config.cross_attention, spec.source_length
    reads = Spec('encode' if config.cross_attention else 'causal', spec.source, spec.output, spec.source_length)
    self.encoder = Network(config.encoder(), reads, rngs=rngs, head=False)
    self.decoder = Network(config, dataclasses.replace(spec, readout='every'), rngs=rngs)
    if not config.cross_attention:
      self._check_states_fit(config)

  def _check_states_fit(self, config: ModelConfig) -> None:
    def layers(network: Network, max_length: int) -> list[Any]:
      stack = network.stack
      return [stack.layer(i % stack.period).state_spec(2, max_length) for i in range(stack.depth)]

    states = [layers(network, n) for network in (self.encoder, self.decoder) for n in (1, 8, 16)]
    if any(state != states[0] for state in states):
      encoder = config.encoder()
      raise InputError(
        'model.cross_attention=False starts the decoder in the states in which the encoder ends: they must be of one '
        f'shape and fixed size, unlike those of {encoder.depth} × {encoder.pattern} and {config.depth} × '
        f'{config.pattern}'
      )

  def projections(self) -> Float[Array, ' v *z'] | None:
    """Return `Network.projections` of the decoder."""
    return self.decoder.projections()

  def state_spec(self, batch: int, max_length: int, source_length: int = 0) -> Any:
    """Return a tree of `StateSpec`s for a source of `source_length` padded tokens (0: the spec's)."""
    if not self.cross_attention:
      return {'decoder': self.decoder.state_spec(batch, max_length)}
    length = source_length or self.source_length
    mask = StateSpec((batch, length), (BATCH, 'source'), jnp.bool_)
    return {'decoder': self.decoder.state_spec(batch, max_length, length), 'source_mask': mask}

  def init_state(self, batch: int, max_length: int, source_length: int = 0) -> State:
    """Return the state after a source of padding, `source_length` long (0: the spec's)."""
    if not self.cross_attention:
      return {'decoder': self.decoder.init_state(batch, max_length)}
    length = source_length or self.source_length
    state = self.decoder.init_state(batch, max_length, length)
    return {'decoder': state, 'source_mask': jnp.zeros((batch, length), bool)}

  def start(self, source: Source, max_length: int, source_mask: SourceMask | None = None) -> State:
    """Return the state of a decoder that has read the source and written nothing."""
    batch, length = source.shape[:2]
    if not self.cross_attention:
      return {'decoder': self._bottleneck(source, Context(mask=source_mask), max_length)}
    features = self._encode(source, Context(mask=source_mask))
    mask = jnp.ones((batch, length), bool) if source_mask is None else source_mask
    return {'decoder': self.decoder.start(batch, max_length, EncoderOutput(features, mask)), 'source_mask': mask}

  def _encode(self, source: Source, context: Context) -> Float[Array, 'b s d']:
    """Return the encoder's output, zero on padding: NaN would pass through weights of zero."""
    with jax.named_scope('encoder'):
      features, _ = self.encoder.features(source, None, context)
    return context.documents.keep(features)

  def _bottleneck(self, source: Source, context: Context, max_length: int) -> State:
    batch = source.shape[0]
    with jax.named_scope('encoder'):
      _, read = self.encoder.features(source, self.encoder.init_state(batch, 1), context)
    assert read is not None
    layers = layout.split_layers(read['stack'], self.encoder.stack.depth)
    stack = self.decoder.stack
    state = layout.join_layers(layers, stack.period) if stack.stacked else layout.name_layers(layers)
    return self.decoder.init_state(batch, max_length) | {'stack': state}

  def attention_maps(
    self, inputs: Inputs, context: Context, source: Source, source_mask: SourceMask | None = None
  ) -> dict[str, Float[Array, 'b h _ _']]:
    """Return those of `Network`, under `encoder/` and `decoder/`."""
    if not self.cross_attention:
      return {}  # layers whose states are of fixed size
    reading = Context(mask=source_mask)
    found = {'encoder': self.encoder.attention_maps(source, reading)}
    encoder = EncoderOutput(self._encode(source, reading), source_mask)
    found['decoder'] = self.decoder.attention_maps(inputs, context._replace(encoder=encoder))
    return {f'{part}/{name}': map_ for part, maps in found.items() for name, map_ in maps.items()}

  def __call__(
    self,
    inputs: Inputs,
    state: State | None = None,
    context: Context = DETERMINISTIC,
    table: Float[Array, ' v *z'] | None = None,
    *,
    source: Source | None = None,
    source_mask: SourceMask | None = None,
  ) -> tuple[jax.Array, State | None]:
    """See `Network`. Either a source or the state that `start` made of one is needed; table: of the decoder."""
    if (source is None) == (state is None):
      raise InputError('a seq2seq model needs either a source, or the state that model.start made of one')
    if state is not None:
      encoder = EncoderOutput(None, state['source_mask']) if self.cross_attention else None
      with jax.named_scope('decoder'):
        outputs, after = self.decoder(inputs, state['decoder'], context._replace(encoder=encoder), table)
      return outputs, state | {'decoder': after}
    assert source is not None
    reading, writing = context.split(2)
    reading = reading.with_documents(Documents(mask=source_mask))
    if self.cross_attention:
      features = self._encode(source, reading)
      with jax.named_scope('decoder'):
        return self.decoder(inputs, None, writing._replace(encoder=EncoderOutput(features, source_mask)))
    read = self._bottleneck(source, reading, inputs.shape[1])
    with jax.named_scope('decoder'):
      outputs, _ = self.decoder(inputs, read, writing)
    return outputs, None
