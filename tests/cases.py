"""A mixer as a `Case`, on which the checks of the contract run, and random inputs, documents, padding and segments."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from flax import nnx

from seqmodels.context import Context
from seqmodels.mixers import make_mixer
from seqmodels.mixers.base import Form, Mixer

B, T, D = 2, 12, 8
NO_RESET, NO_PADDING = np.zeros((B, T), bool), np.ones((B, T), bool)
# Options without which no gradient flows from segment to segment.
FULL_GRADIENT = {'transformer_xl': (('stop_gradient', False),)}
# Modules and parameters that outputs are linear in, where it is not `output` alone.
LAST = {'lru': ('output', 'skip'), 'slstm': ('norm',)}


def make(name: str, width: int = D, *, options: dict[str, Any] | None = None, **form: Any) -> Mixer:
  """Return a mixer with parameters from key 0; form: fields of `Form`."""
  return make_mixer(name, Form(width, **form), rngs=nnx.Rngs(0), options=options)


def of_both_signs(params: Any) -> Any:
  """Return parameters with which decays are about ½, so that 2a - 1 is negative for one half of the tokens."""
  half = np.log(2)

  def change(node: Any) -> Any:
    if not isinstance(node, dict):
      return node
    node = {name: change(child) for name, child in node.items()}
    if 'log_rate' in node:  # of ssd and gated_delta: rate · softplus(bias)
      node['bias'] = np.log(np.expm1(half / np.exp(node['log_rate']))).astype(np.float32)
    if 'decay_logit' in node:  # of rg_lru: 8 · softplus(-Λ) · ½
      node['decay_logit'] = np.full_like(node['decay_logit'], -np.log(np.expm1(half / 4)))
    return node

  return change(params)


@dataclasses.dataclass(frozen=True)
class Case:
  """A mixer with options, built once; its compiled functions are shared by the checks."""

  name: str
  options: tuple[tuple[str, Any], ...] = ()
  causal: bool = True
  dtype: str = 'float32'
  kernels: str = 'auto'

  def __str__(self) -> str:
    return '-'.join([self.name, *(str(value) for _, value in self.options)])

  def variant(self, **changes: Any) -> 'Case':
    """Return another form of the same mixer, with the same parameters."""
    form = dataclasses.replace(self, **changes)
    form.__dict__['params'] = self.params
    return form

  def build(self, key: jax.Array) -> tuple[nnx.GraphDef, Any]:
    graph, params = nnx.split(self.module(nnx.Rngs(params=key)))
    return graph, nnx.to_pure_dict(params)

  def module(self, rngs: nnx.Rngs) -> Mixer:
    form = Form(D, causal=self.causal, dtype=self.dtype, kernels=self.kernels)
    return make_mixer(self.name, form, rngs=rngs, options=dict(self.options))

  @functools.cached_property
  def abstract(self) -> Mixer:
    """The mixer with shapes in place of arrays."""
    return nnx.eval_shape(lambda: self.module(nnx.Rngs(0)))

  @functools.cached_property
  def graph(self) -> nnx.GraphDef:
    graphs = []
    jax.eval_shape(lambda key: graphs.append(self.build(key)[0]), jax.random.key(0))
    return graphs[0]

  @functools.cached_property
  def params(self) -> Any:
    """Drawn from a fixed key, and moved so that no bias is zero and nothing is near linear."""
    # This generator compiles in a tenth of the default's time.
    params = jax.jit(lambda key: self.build(key)[1])(jax.random.key(0, impl='unsafe_rbg'))
    random = np.random.default_rng(0)
    move = lambda a: (1.5 * a + 0.1 * random.normal(size=a.shape)).astype(a.dtype)
    params = jax.tree.map(move, jax.device_get(params))
    return of_both_signs(params) if ('negative_eigenvalues', True) in self.options else params

  def fitted(self, **changes: Any) -> 'Case':
    """Return another mixer with the values of this one's parameters in its own shapes; what is missing is drawn.

    That spares compiling an initialisation.
    """
    other = dataclasses.replace(self, **changes)
    values = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(self.params)}
    random = np.random.default_rng(1)

    def fit(path, leaf):
      name = jax.tree_util.keystr(path)
      forward = name.replace('backward', 'forward')
      if forward not in values or values[forward].size < leaf.size:
        return (0.5 * random.normal(size=leaf.shape)).astype(leaf.dtype)
      return np.resize(values[name] if name in values else values[forward].ravel()[::-1], leaf.shape)

    shapes = jax.eval_shape(lambda key: other.build(key)[1], jax.random.key(0))
    other.__dict__['params'] = jax.tree_util.tree_map_with_path(fit, shapes)
    return other

  def of_order_one(self, outputs: np.ndarray) -> 'Case':
    """Return the mixer with its last weights divided so that `outputs` have a root mean square of 1.

    Mixers that have none end in a tanh or a mean of their inputs, of order 1 as they are.
    """
    scale, last = np.float32(1 / np.sqrt(np.mean(outputs**2))), LAST.get(self.name, ('output',))
    divided = lambda path, leaf: leaf * scale if any(part.key in last for part in path) else leaf
    form = dataclasses.replace(self)
    form.__dict__.update(self.__dict__ | {'params': jax.tree_util.tree_map_with_path(divided, self.params)})
    return form

  @functools.cached_property
  def apply(self) -> Any:
    """apply(params, x, state, context) -> (y, state), jitted."""
    graph = self.graph
    return jax.jit(lambda params, x, state, context: nnx.merge(graph, params)(x, state, context))

  @functools.cached_property
  def apply_projection(self) -> Any:
    """apply_projection(params, x, state, context) -> (y, state) by way of `project`, jitted; None if there is none."""
    graph, x = self.graph, jax.ShapeDtypeStruct((B, 1, D), self.dtype)
    if jax.eval_shape(lambda params, x: nnx.merge(graph, params).project(x), self.params, x) is None:
      return None

    def apply(params, x, state, context):
      mixer = nnx.merge(graph, params)
      return mixer.from_projection(mixer.project(x), state, context)

    return jax.jit(apply)

  @property
  def chunk(self) -> int:
    """The length of a call that is one chunk; without chunks, one that is compiled anyway."""
    return dict(self.options).get('chunk', 5)

  @functools.cached_property
  def differentiable(self) -> 'Case':
    """The form whose gradient flows through the state."""
    more = FULL_GRADIENT.get(self.name, ())
    return self.variant(options=(*self.options, *more)) if more else self

  @functools.cached_property
  def gradient(self) -> Any:
    """gradient(params, x, weight, context) -> (y, d Σ(y · weight) / d(params, x)), from no state; jitted."""

    def loss(params, x, weight, context):
      y, _ = self.apply(params, x, None, context)
      return (y * weight).sum(), y

    def values(*inputs):
      (_, y), gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(*inputs)
      return y, gradients

    return jax.jit(values)

  def in_one_call(self, x, reset=NO_RESET, mask=NO_PADDING):
    """Return the outputs from no state."""
    return np.asarray(self.gradient(self.params, x, np.ones_like(x), Context(reset, mask))[0])

  def run(self, x, state=None, reset=None, mask=None):
    return self.apply(self.params, x, state, Context(reset, mask))

  def state_spec(self, max_length: int = T, batch: int = B) -> Any:
    return self.abstract.state_spec(batch, max_length)

  def init_state(self, max_length: int = T, batch: int = B) -> Any:
    return nnx.merge(self.graph, self.params).init_state(batch, max_length)

  def run_segments(self, x, lengths, reset=None, mask=None, max_length: int = T):
    """Return the outputs joined, and the last state."""
    state, start, ys = self.init_state(max_length), 0, []
    for length in lengths:
      here = slice(start, start + length)
      flags = (None if f is None else f[:, here] for f in (reset, mask))
      y, state = self.run(x[:, here], state, *flags)
      ys.append(y)
      start += length
    return np.concatenate(ys, axis=1), state


def draw_input(seed: int = 0, length: int = T) -> np.ndarray:
  return np.random.default_rng(seed).normal(size=(B, length, D)).astype(np.float32)


def draw_flags(
  seed: int = 0, reset: float = 0.25, padding: float = 0.25, length: int = T
) -> tuple[np.ndarray, np.ndarray]:
  """Return (reset, mask): a few documents a row, some starting on padding; a row may begin with padding."""
  random = np.random.default_rng(seed)
  return random.random((B, length)) < reset, random.random((B, length)) >= padding


def draw_lengths(seed: int) -> tuple[int, ...]:
  """Return the lengths of segments of T tokens, each a length that is compiled anyway."""
  random = np.random.default_rng(seed)
  lengths: list[int] = []
  while sum(lengths) < T:
    lengths.append(int(random.choice([length for length in (1, 5) if sum(lengths) + length <= T])))
  return tuple(lengths)
