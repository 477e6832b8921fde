"""Token by token: what a trained model is written with."""

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from seqmodels.context import BATCH, Context
from seqmodels.errors import InputError
from seqmodels.kernels.cache import is_cache
from seqmodels.mixers.base import DETERMINISTIC, grow
from seqmodels.models.encoder_decoder import EncoderDecoder
from seqmodels.models.network import Inputs, Network, Source, SourceMask
from seqmodels.notation import Params, State

if TYPE_CHECKING:
  from seqmodels.models.model import Model

LARGEST_TABLE = 2**24  # floats


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Decoder:
  """A model with its parameters, arranged for one token at a time. A pytree: pass it to compiled functions.

      decoder = model.decoder(params)
      logits, state = decoder.prefill(prompt, max_length=prompt.shape[1] + 20)
      step = jax.jit(Decoder.step, donate_argnames='state')
      for _ in range(20):
        token = logits.argmax(-1)
        logits, state = step(decoder, token, state)

  Every layer has arrays of its own, since a token reads all weights, and a slice of stacked ones would be copied first.
  What the first mixer computes of a token alone (`Mixer.project`) is a table over the vocabulary where that is no more
  work than to compute it for the tokens that are drawn: in a stack of two LSTMs a quarter of the weights is then not
  read. The state is opaque; it is not the carry of training.
  """

  params: Params
  table: Float[Array, ' v *z'] | None
  model: 'Model' = dataclasses.field(metadata={'static': True})

  @classmethod
  def of(cls, model: 'Model', params: Params, tokens: int = 0) -> 'Decoder':
    """Return the decoder for about `tokens` tokens; 0: many. Raise InputError for an encoder."""
    if model.spec.kind == 'encode':
      raise InputError('an encoder sees its whole input at once; it cannot go on from a prompt')
    return _arranged(model, params, _has_table(model, tokens))

  @property
  def _network(self) -> Network | EncoderDecoder:
    return nnx.merge(self.model.decoding_graph, self.params)

  def init_state(self, batch: int, max_length: int, source_length: int = 0) -> State:
    """Return the state before the first token; see `Model.init_state`."""
    return self._network.init_state(batch, max_length, source_length)

  def start(self, source: Source, max_length: int, *, source_mask: SourceMask | None = None) -> State:
    """Return the state of a seq2seq model that has read the source; see `Model.start`."""
    network = self._network
    if not isinstance(network, EncoderDecoder):
      raise InputError(f'a source was given to a model of kind={self.model.spec.kind}; only seq2seq models read one')
    return network.start(source, max_length, source_mask)

  def read(self, inputs: Inputs, state: State, context: Context = DETERMINISTIC) -> tuple[jax.Array, State]:
    """Return float32 outputs [b t n] and the state after a segment."""
    outputs, after = self._network(inputs, state, context)
    return outputs, after

  def prefill(
    self,
    prompt: Int[Array, 'b t'],
    *,
    max_length: int,
    mask: Bool[Array, 'b t'] | None = None,
    source: Source | None = None,
    source_mask: SourceMask | None = None,
  ) -> tuple[Float[Array, 'b n'], State]:
    """Read sources and prompts in one parallel call: the logits after each prompt's last token, and the state.

    max_length: how many tokens the state has room for, the prompt's included. mask: False for padding.
    """
    if source is None:
      state = self.init_state(prompt.shape[0], max_length)
    else:
      state = self.start(source, max_length, source_mask=source_mask)
    context = Context(mask=mask)
    logits, state = self.read(prompt, state, context)
    return context.documents.last(logits), state

  def step(self, token: Int[Array, ' b'], state: State) -> tuple[Float[Array, 'b n'], State]:
    """Return the logits after one token a row, and the state."""
    outputs, state = self._network(token[:, None], state, DETERMINISTIC, self.table)
    return outputs[:, 0], state

  def grow(self, state: State, max_length: int) -> State:
    """Return the state with room for `max_length` tokens; see `Model.grow_state`."""
    return grow(state, self._network.state_spec(1, max_length, 1))

  def take(self, state: State, rows: Int[Array, ' r']) -> State:
    """Return the state of the given rows of the batch, in their order."""

    def move(node: Any, spec: Any) -> Any:
      axis = jax.tree.leaves(spec)[0].axis(BATCH)  # all blocks of a cache have the same axes
      return node if axis is None else jax.tree.map(lambda leaf: jnp.take(leaf, rows, axis=axis), node)

    return jax.tree.map(move, state, self._network.state_spec(1, 1, 1), is_leaf=is_cache)


def _has_table(model: 'Model', tokens: int) -> bool:
  abstract = jax.eval_shape(lambda params: nnx.merge(model.graph, params).projections(), model.abstract_params)
  return abstract is not None and abstract.size <= LARGEST_TABLE and not 0 < tokens < abstract.shape[0]


def _arranged(model: 'Model', params: Params, has_table: bool) -> Decoder:
  table = nnx.merge(model.graph, params).projections() if has_table else None
  return Decoder(model.decoding_params(params), table, model)


_arranged = jax.jit(_arranged, static_argnames=('model', 'has_table'))
