"""Recurrent layers, forward and backward, against PyTorch's and (LSTM) against Flax's own cell under `nnx.RNN`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.work import OURS, Sides, Work, check, deviation, to_torch, torch
from comparison.experiments.program import compile_program
from seqmodels.kernels import recurrent
from training import mesh as meshes
from training.mesh_settings import MeshSettings

SHAPES = ((32, 128, 256), (32, 128, 512), (16, 512, 512))  # batch, length, width (of input and carry)
PRODUCT = (4096, 256, 1024)  # what bounds every layer: how fast the libraries' matmuls are on this machine
GATES = {'lstm': 4, 'gru': 3, 'rnn': 1}
LARGEST_DEVIATION = 2e-3  # of gradients summed over batch × length in float32, in different orders

Arrays = tuple[np.ndarray, ...]


def works() -> list[Work]:
  limits = {'lstm': (1.25, 1.0), 'gru': (0.7, 0.5), 'rnn': (0.6, 0.45)}
  found = [Work('matmul {}×{}×{}'.format(*PRODUCT), 'matmul', None, None, product)]
  for cell, (at_most, aim) in limits.items():
    for shape in SHAPES:
      build = partial(against_torch, cell, *shape)
      found.append(Work(f'{cell} {label(shape)}', cell, at_most, aim, build))
  found += [
    Work(f'lstm {label(shape)} against Flax', 'flax', 0.6, 0.45, partial(against_flax, *shape)) for shape in SHAPES
  ]
  return found


def label(shape: tuple[int, int, int]) -> str:
  return 'b{} t{} e{}'.format(*shape)


def draw(cell: str, batch: int, length: int, width: int) -> tuple[np.ndarray, Arrays, np.ndarray]:
  """Return inputs [b t d], weights (input, recurrent, bias, and the GRU's second bias) and the output's gradient."""
  random = np.random.default_rng(0)
  normal: Callable[..., np.ndarray] = lambda *shape: random.standard_normal(shape, np.float32)
  gates = GATES[cell] * width
  scale = np.float32(width**-0.5)
  weights: Arrays = (normal(width, gates) * scale, normal(width, gates) * scale, normal(gates) * scale)
  if cell == 'gru':
    weights = (*weights, normal(width) * scale)
  return normal(batch, length, width), weights, normal(batch, length, width)


def ours(
  cell: str, x: np.ndarray, weights: Arrays, dy: np.ndarray, devices: int = 1, backend: str = 'auto'
) -> Callable[[], Any]:
  """Return a compiled call: (outputs, gradients of inputs and weights). The batch is split over `devices`."""
  kernel = partial(getattr(recurrent, cell), kernels=backend)

  def layer(x: jax.Array, weights: Any, carry: Any) -> jax.Array:
    by_gate = [a.reshape(*a.shape[:-1], GATES[cell], -1) for a in weights[:3]]
    return kernel(x, *carry, *by_gate, *weights[3:])[0]

  def both(x: jax.Array, weights: Any, carry: Any, dy: jax.Array) -> Any:
    y, back = jax.vjp(lambda x, weights: layer(x, weights, carry), x, weights)
    return y, *back(dy)

  mesh = meshes.make_mesh(MeshSettings(data=devices))
  carry = tuple(np.zeros((x.shape[0], x.shape[2]), np.float32) for _ in range(2 if cell == 'lstm' else 1))
  split = lambda tree: meshes.put_batch(tree, mesh)
  arguments = (split(x), jax.device_put(weights, meshes.replicated(mesh)), split(carry), split(dy))
  compiled = compile_program(both, *arguments).call
  return lambda: compiled(*arguments)


def product() -> Sides:
  """One matmul, forward only."""
  rows, inner, across = PRODUCT
  random = np.random.default_rng(0)
  a, b = random.standard_normal((rows, inner), np.float32), random.standard_normal((inner, across), np.float32)
  arguments, tensors = jax.device_put((a, b)), (to_torch(a), to_torch(b))
  compiled = compile_program(lambda a, b: (a @ b,), *arguments).call
  calls = {OURS: lambda: compiled(*arguments), 'PyTorch': lambda: (tensors[0] @ tensors[1],)}
  off = check(deviation(calls[OURS](), calls['PyTorch']()), LARGEST_DEVIATION, 'matmul')
  return Sides(calls, off, columns={'width': inner, 'dtype': 'float32'})


def against_torch(cell: str, batch: int, length: int, width: int) -> Sides:
  x, weights, dy = draw(cell, batch, length, width)
  calls = {OURS: ours(cell, x, weights, dy), 'PyTorch': torch_layer(cell, x, weights, dy)}
  if jax.device_count() > 1 and jax.default_backend() == 'cpu':
    calls[f'{OURS}, {jax.device_count()} devices'] = ours(cell, x, weights, dy, jax.device_count())
  if jax.default_backend() == 'gpu':
    for other in ('reference', 'xla', *(['cudnn'] if cell == 'lstm' else [])):
      calls[f'{OURS}, {other}'] = ours(cell, x, weights, dy, backend=other)
  y, dx, (dw, du, *_) = calls[OURS]()
  off = deviation((y, dx, dw, du), calls['PyTorch']())
  check(off, LARGEST_DEVIATION, cell)
  return Sides(calls, off, columns=columns(batch, length, width))


def columns(batch: int, length: int, width: int) -> dict[str, Any]:
  return {'batch': batch, 'length': length, 'width': width, 'dtype': 'float32'}


def torch_layer(cell: str, x: np.ndarray, weights: Arrays, dy: np.ndarray) -> Callable[[], Any]:
  """`torch.nn.LSTM`, `GRU` or `RNN` (cuDNN on a GPU), batch first: (outputs, gradients of x, W and U)."""
  width = x.shape[-1]
  module = getattr(torch().nn, cell.upper())(width, width, batch_first=True).to(to_torch(x[:1]).device)
  w, u, bias, *more = weights
  recurrent_bias = np.zeros_like(bias)
  if more:
    recurrent_bias[-width:] = more[0]
  with torch().no_grad():
    values = {'weight_ih_l0': w.T, 'weight_hh_l0': u.T, 'bias_ih_l0': bias, 'bias_hh_l0': recurrent_bias}
    for name, value in values.items():
      getattr(module, name).copy_(to_torch(value))
  inputs, gradient = to_torch(x, requires_grad=True), to_torch(dy)

  def call() -> Any:
    inputs.grad = None
    module.zero_grad(set_to_none=True)
    y, _ = module(inputs)
    y.backward(gradient)
    of = module.weight_ih_l0.grad, module.weight_hh_l0.grad
    return y.detach(), inputs.grad, of[0].T, of[1].T

  return call


def against_flax(batch: int, length: int, width: int) -> Sides:
  x, weights, dy = draw('lstm', batch, length, width)
  calls = {OURS: ours('lstm', x, weights, dy), 'Flax nnx.RNN(LSTMCell)': flax_layer(x, weights, dy)}
  y, dx, _ = calls[OURS]()
  off = check(deviation((y, dx), calls['Flax nnx.RNN(LSTMCell)']()[:2]), LARGEST_DEVIATION, 'lstm')
  return Sides(calls, off, columns=columns(batch, length, width))


def flax_layer(x: np.ndarray, weights: Arrays, dy: np.ndarray) -> Callable[[], Any]:
  """Return (outputs, gradients of inputs and parameters) of Flax's cell with the same weights."""
  width = x.shape[-1]
  cell = nnx.LSTMCell(width, width, rngs=nnx.Rngs(0))
  w, u, bias = (np.split(a, 4, axis=-1) for a in weights)
  for i, gate in enumerate('ifgo'):
    getattr(cell, 'if_' if gate == 'f' else f'i{gate}').kernel[...] = jnp.asarray(w[i])
    getattr(cell, f'h{gate}').kernel[...] = jnp.asarray(u[i])
    getattr(cell, f'h{gate}').bias[...] = jnp.asarray(bias[i])
  module: Any = nnx.RNN(cell)
  split: Any = nnx.split(module, nnx.Param, ...)
  graph, params, rest = split
  start = (jnp.zeros((x.shape[0], width)),) * 2  # given, for the cell would draw it from its random numbers

  def both(x: jax.Array, params: Any, dy: jax.Array) -> Any:
    y, back = jax.vjp(lambda x, params: nnx.merge(graph, params, rest)(x, initial_carry=start), x, params)
    return y, *back(dy)

  arguments = jax.device_put((x, params, dy))
  compiled = compile_program(both, *arguments).call
  return lambda: compiled(*arguments)
