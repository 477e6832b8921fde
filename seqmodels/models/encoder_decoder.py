"""Encoder–decoder: a source is read first, then the decoder writes, with cross-attention or from the last states."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.models.block import Memory
from seqmodels.models.network import Inputs, Network, Source, SourceMask
from seqmodels.notation import Flags, Key, State
from seqmodels.spec import Spec


class EncoderDecoder(nnx.Module):
  """Two networks of one width.

  With cross-attention the encoder reads both ways, and every block of the decoder attends to its outputs (Bahdanau et
  al. 2015 for recurrent decoders, Vaswani et al. 2017). Without, the encoder reads from left to right, and the states
  in which it ends are those in which the decoder starts (Sutskever et al. 2014): the layers must be of one kind, and
  their states of fixed size.
  """

  def __init__(self, config: ModelConfig, spec: Spec, *, rngs: nnx.Rngs) -> None:
    assert spec.source is not None
    self.cross_attention, self.source_length = config.cross_attention, spec.source_length
    reads = Spec('encode' if config.cross_attention else 'causal', spec.source, spec.output, spec.source_length)
    self.encoder = Network(config.encoder(), reads, rngs=rngs, head=False)
    self.decoder = Network(config, dataclasses.replace(spec, readout='every'), rngs=rngs)
    if not config.cross_attention:
      self._check_states_fit(config)

  def _check_states_fit(self, config: ModelConfig) -> None:
    states = [
      jax.eval_shape(lambda stack=network.stack, n=n: stack.init_state(2, n))
      for network in (self.encoder, self.decoder)
      for n in (1, 8, 16)
    ]
    if any(state != states[0] for state in states):
      encoder = config.encoder()
      raise InputError(
        'model.cross_attention=False starts the decoder in the states in which the encoder ends: they must be of one '
        f'shape and fixed size, unlike those of {encoder.depth} × {encoder.pattern} and {config.depth} × '
        f'{config.pattern}'
      )

  def projections(self) -> Float[Array, 'v z'] | None:
    """See `Network.projections`; of the decoder."""
    return self.decoder.projections()

  def init_state(self, batch: int, max_length: int, source_length: int = 0) -> State:
    """The state of a decoder that has read nothing: a source of padding, `source_length` long (0: the spec's)."""
    if not self.cross_attention:
      return {'decoder': self.decoder.init_state(batch, max_length)}
    length = source_length or self.source_length
    state = self.decoder.init_state(batch, max_length, length)
    return {'decoder': state, 'source_mask': jnp.zeros((batch, length), bool)}

  def start(self, source: Source, max_length: int, source_mask: SourceMask | None = None) -> State:
    """The state of a decoder that has read the source and written nothing."""
    batch, length = source.shape[:2]
    if not self.cross_attention:
      return {'decoder': self._bottleneck(source, source_mask, None, max_length)}
    encoded, _ = self.encoder.features(source, None, None, source_mask, None)
    mask = jnp.ones((batch, length), bool) if source_mask is None else source_mask
    return {'decoder': self.decoder.start(batch, max_length, Memory(encoded, mask)), 'source_mask': mask}

  def _bottleneck(self, source: Source, source_mask: SourceMask | None, key: Key | None, max_length: int) -> State:
    batch = source.shape[0]
    _, read = self.encoder.features(source, self.encoder.init_state(batch, 1), None, source_mask, key)
    assert read is not None
    return self.decoder.init_state(batch, max_length) | {'stack': read['stack']}

  def __call__(
    self,
    inputs: Inputs,
    state: State | None,
    reset: Flags | None,
    mask: Flags | None,
    key: Key | None,
    source: Source | None,
    source_mask: SourceMask | None,
    projections: Float[Array, 'v z'] | None = None,
  ) -> tuple[jax.Array, State | None]:
    """projections: of the decoder."""
    if (source is None) == (state is None):
      raise InputError('a seq2seq model needs either a source, or the state that model.start made of one')
    if state is not None:
      memory = Memory(None, state['source_mask']) if self.cross_attention else None
      outputs, after = self.decoder(inputs, state['decoder'], reset, mask, key, memory, projections)
      return outputs, state | {'decoder': after}
    assert source is not None
    keys: tuple[Key | None, ...] = (None, None) if key is None else tuple(jax.random.split(key))
    if self.cross_attention:
      encoded, _ = self.encoder.features(source, None, None, source_mask, keys[0])
      return self.decoder(inputs, None, reset, mask, keys[1], Memory(encoded, source_mask))
    read = self._bottleneck(source, source_mask, keys[0], inputs.shape[1])
    outputs, _ = self.decoder(inputs, read, reset, mask, keys[1])
    return outputs, None
