"""A block: a mixer and what stands around it, residual (pre-norm), the same without its skips, or plain."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.config import ModelConfig
from seqmodels.context import Context, EncoderOutput
from seqmodels.layers import MLP, CrossAttention, Norm, dropout
from seqmodels.mixers import make_mixer
from seqmodels.mixers.base import DETERMINISTIC, Form, Mixer
from seqmodels.notation import Activations, State


def mlp_hidden(config: ModelConfig) -> int:
  """Return the hidden width of the feed-forward; 0: there is none."""
  return round(config.feedforward * config.width)


class Block(nnx.Module):
  """One mixer and what stands around it. It keeps the mixer contract itself.

  residual: x + mixer(norm(x)), then x + cross(norm(x)) if there is cross-attention, then x + mlp(norm(x)) if there is a
  feed-forward; unskipped: the same without sums; plain: without norms, and with a sum around cross-attention alone,
  beside whose result the decoder's own state must pass.
  """

  def __init__(
    self,
    mixer: str,
    config: ModelConfig,
    *,
    rngs: nnx.Rngs,
    causal: bool,
    length: int,
    cross_attention: bool = False,
    image: tuple[int, int] = (1, 1),
  ) -> None:
    """length, image: see `mixers.base.Form`."""
    d, dtype = config.width, jnp.dtype(config.dtype)
    self.residual, self.cross_residual = config.block == 'residual', config.block != 'unskipped'
    normed = config.block != 'plain'
    self.rate = config.dropout
    form = Form(d, causal=causal, dtype=config.dtype, kernels=config.kernels, length=length, image=image)
    options = dict(config.mixer) | {'heads': config.heads, 'kv_heads': config.kv_heads, 'position': config.position}
    self.mixer = make_mixer(mixer, form, rngs=rngs, options=options)
    self.mixer.check_length(length)
    hidden = mlp_hidden(config)
    # The last layer of each branch starts small, so that the residual stream's variance does not grow with depth
    # (Radford et al. 2019).
    scale = (2 * config.depth) ** -0.5 if self.residual else 1.0
    norm = lambda there: Norm({'embed': d}, config.norm) if normed and there else None
    self.mlp = MLP(d, hidden, rngs=rngs, dtype=dtype, scale=scale, kernels=config.kernels) if hidden else None
    heads: dict[str, Any] = {'heads': config.heads, 'kv_heads': config.kv_heads}
    self.cross = CrossAttention(d, rngs=rngs, dtype=dtype, **heads) if cross_attention else None
    self.norm_mixer, self.norm_cross, self.norm_mlp = norm(True), norm(cross_attention), norm(hidden)

  def state_spec(self, batch: int, max_length: int, source_length: int = 0) -> Any:
    """Return a tree of `StateSpec`s."""
    spec = self.mixer.state_spec(batch, max_length)
    return spec if self.cross is None else {'mixer': spec, 'cross': self.cross.state_spec(batch, source_length)}

  def init_state(self, batch: int, max_length: int, source_length: int = 0) -> State:
    state = self.mixer.init_state(batch, max_length)
    if self.cross is None:
      return state
    cross = jax.tree.map(lambda spec: spec.zeros(), self.cross.state_spec(batch, source_length))
    return {'mixer': state, 'cross': cross}

  def start(self, batch: int, max_length: int, encoder: EncoderOutput) -> State:
    """Return the state before the first token, with the keys and values of the encoder's output."""
    assert self.cross is not None
    assert encoder.features is not None
    return {'mixer': self.mixer.init_state(batch, max_length), 'cross': self.cross.read(encoder.features)}

  def project(self, x: Activations) -> Float[Array, 'b t *z'] | None:
    """Return `Mixer.project` of the mixer's input."""
    return self.mixer.project(x if self.norm_mixer is None else self.norm_mixer(x))

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    context: Context = DETERMINISTIC,
    projected: Float[Array, 'b t *z'] | None = None,
  ) -> tuple[Activations, State | None]:
    """See `Mixer`. projected: `project(x)`, which is then not computed again; it needs a state."""
    mixing, around, feedforward = context.split(3)
    own = state if self.cross is None or state is None else state['mixer']
    with jax.named_scope('mixer'):
      if projected is None:
        y, own = self.mixer(x if self.norm_mixer is None else self.norm_mixer(x), own, mixing)
      else:
        y, own = self.mixer.from_projection(projected, own, mixing)
    x = self._add(x, y, around, skip=self.residual)
    if self.cross is None:
      state = own
    else:
      assert context.encoder is not None
      across = None if state is None else state['cross']
      with jax.named_scope('cross'):
        y = x if self.norm_cross is None else self.norm_cross(x)
        y = self.cross.attend(y, context.encoder, across)
      x = self._add(x, y, around.fold_in(1), skip=self.cross_residual)
      state = None if state is None else {'mixer': own, 'cross': across}
    if self.mlp is not None:
      with jax.named_scope('mlp'):
        y = self.mlp(x if self.norm_mlp is None else self.norm_mlp(x))
      x = self._add(x, y, feedforward, skip=self.residual)
    return x, state

  @property
  def attends(self) -> bool:
    """Whether `attention_maps` has any."""
    return self.cross is not None or type(self.mixer).attention_map is not Mixer.attention_map

  def attention_maps(self, x: Activations, context: Context) -> dict[str, Float[Array, 'b h t _']]:
    """Return the weights of `mixer` and of `cross`, of those that have some, for a deterministic call."""
    y = x if self.norm_mixer is None else self.norm_mixer(x)
    own = self.mixer.attention_map(y, context)
    found = {} if own is None else {'mixer': own}
    if self.cross is None:
      return found
    assert context.encoder is not None
    x = self._add(x, self.mixer(y, None, context)[0], context, skip=self.residual)
    y = x if self.norm_cross is None else self.norm_cross(x)
    return found | {'cross': self.cross.attention_map(y, context.encoder)}

  def _add(self, x: Activations, branch: Activations, context: Context, *, skip: bool) -> Activations:
    branch = dropout(branch, self.rate, context)
    return x + branch if skip else branch
