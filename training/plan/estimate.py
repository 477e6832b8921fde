"""Estimate what a training step needs without a compiler: the sizes of its traced program.

The step of one device's rows is traced for the platform. Arrays are counted from the equation that makes them to the
last one that reads them. What elementwise equations make counts only where it outlives a product, a reduction or a
loop, since compilers join the others with what reads them. Arrays in the shape of a parameter lie as the parameter;
arrays with an axis that `tensor` splits, or an axis of all tokens, are divided by the devices that split it.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax

from seqmodels.context import batch_axes
from seqmodels.kernels import dispatch
from seqmodels.models import sizing
from training import mesh as meshes
from training.mesh_settings import MESH_AXES
from training.plan.figures import Figures
from training.plan.topology import GPU
from training.run import Run
from training.settings import TrainSettings
from training.sharding import RULES, map_paths
from training.step import init_train_state, make_step

# Equations whose results are made where they are needed.
ELEMENTWISE = frozenset(
  """
  abs add add_any and broadcast_in_dim clamp concatenate convert_element_type copy copy_p cos div dynamic_slice eq
  erf erf_inv exp exp2 expand_dims expm1 floor ge gt imag integer_pow iota is_finite le log log1p logistic lt max
  min mul ne neg not optimization_barrier or pad pow real reduce_precision rem reshape rev round rsqrt select_n
  sharding_constraint shift_left shift_right_arithmetic shift_right_logical sign sin slice sqrt square squeeze
  stop_gradient sub symbolic_zeros tan tanh transpose xor
  """.split()  # noqa: SIM905
)

_programs: dict[str, Any] = {}  # a search asks for many meshes on which a device has the same rows


class Sizes:
  """The bytes on one device of the arrays of a program.

  shares: shape of a parameter → the share of it that a device holds. splits: pairs (sizes of axes, devices that divide
  an array with such an axis).
  """

  def __init__(self, shares: Mapping[tuple[int, ...], float], *splits: tuple[frozenset[int], int]) -> None:
    self.shares, self.splits = shares, splits

  def of(self, variable: Any) -> float:
    aval = variable.aval
    if not hasattr(aval, 'shape'):
      return 0
    whole = math.prod(aval.shape) * getattr(aval.dtype, 'itemsize', 4)
    if aval.shape in self.shares:
      return whole * self.shares[aval.shape]
    return whole / math.prod(devices for sizes, devices in self.splits if sizes & set(aval.shape))


def estimate(run: Run, platform: str, memory: int) -> Figures:
  """Return the figures of a run's step on each device. platform: of `topology`; memory: bytes of a device."""
  params = local_bytes(run.abstract_state().params, run.layout.params)
  optimizer = local_bytes(run.abstract_state().opt_state, run.layout.opt_state)
  carry = 0 if run.layout.carry is None else local_bytes(run.abstract_state().carry, run.layout.carry)
  batch = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(run.abstract_batch()))
  activations = int(temporaries(run, platform))
  other = carry + batch // meshes.batch_shares(run.mesh)
  return Figures(
    mesh=meshes.words(run.mesh),
    is_estimate=True,
    params=params,
    optimizer=optimizer,
    activations=activations,
    other=other,
    peak=params + optimizer + activations + other,
    memory=memory,
    flops=flops(run),
    collectives=collectives(run),
    lengths=run.task.lengths(),
  )


def flops(run: Run) -> float:
  """Return the FLOPs of a step on each device, by formula."""
  settings = run.settings
  tokens = settings.batch_size * (settings.segment or run.model.spec.length)
  return tokens * sizing.training_flops(run.model, settings.segment, settings.memory) / run.mesh.size


def local_bytes(arrays: Any, shardings: Any) -> int:
  """Return the bytes of arrays on one device."""
  held = lambda leaf, sharding: math.prod(sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
  return sum(jax.tree.leaves(jax.tree.map(held, arrays, shardings)))


def temporaries(run: Run, platform: str) -> float:
  """Return the bytes of what a step makes and drops again, on one device."""
  rows = run.settings.batch_size // meshes.batch_shares(run.mesh)
  settings = dataclasses.replace(run.settings, batch_size=rows)
  key = repr((run.model.config, run.task, settings, platform))
  if key not in _programs:
    _programs[key] = _program(run, settings, platform)
  return peak(_programs[key].jaxpr, _sizes(run))


def _program(run: Run, settings: TrainSettings, platform: str) -> Any:
  """Return the traced step of a run on one device, with the rows of `settings`."""
  model, rows = run.model, settings.batch_size
  states = model.state_spec(rows, settings.memory) if settings.segment else None
  step = make_step(
    model,
    run.task,
    run.optimizer,
    accumulate=settings.accumulate,
    carry_axes=None if states is None else batch_axes(states),
    skip_nonfinite=settings.skip_nonfinite > 0,
    layer_norms=settings.norms_every > 0,
  )

  def initial(seed: Any) -> Any:
    carry = model.init_state(rows, settings.memory) if settings.segment else None
    return init_train_state(model, run.optimizer, seed, carry)

  state = jax.eval_shape(initial, jax.ShapeDtypeStruct((), 'uint32'))
  batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), run.abstract_batch())
  with dispatch.tracing_for('cuda' if platform == GPU else platform):
    return step.trace(state, batch).jaxpr


def _sizes(run: Run) -> Sizes:
  shares: dict[tuple[int, ...], float] = {}
  split: set[int] = set()
  tensor = run.mesh.shape['tensor']
  targets = {name for name, target in RULES if target == 'tensor'}

  def note(names: tuple[str, ...], leaf: Any, sharding: Any) -> None:
    share = math.prod(sharding.shard_shape(leaf.shape)) / max(1, leaf.size)
    if leaf.ndim > 1:
      shares[leaf.shape] = max(share, shares.get(leaf.shape, 0))
    divided = (n for name, n in zip(names, leaf.shape, strict=True) if name in targets)
    split.update(n for n in divided if tensor > 1 and n % tensor == 0 and n != run.model.config.width)

  axes: dict[str, tuple[str, ...]] = {}
  map_paths(
    lambda path, found: axes.update({path: found}), run.model.axes, is_leaf=lambda node: isinstance(node, tuple)
  )
  placed: dict[str, Any] = {}
  map_paths(lambda path, sharding: placed.update({path: sharding}), run.layout.params)
  map_paths(lambda path, leaf: note(axes[path], leaf, placed[path]), run.model.abstract_params)
  settings, length = run.settings, run.settings.segment or run.model.spec.length
  rows = settings.batch_size // meshes.batch_shares(run.mesh) // settings.accumulate
  times = frozenset({length, rows * length} - {run.model.config.width})
  return Sizes(shares, (frozenset(split), tensor), (times, run.mesh.shape['sequence']))


def peak(jaxpr: Any, sizes: Sizes) -> float:
  """Return the most bytes that live at one time in a program, without its arguments."""
  last = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in _variables(eqn.invars)}
  last |= dict.fromkeys(_variables(jaxpr.outvars), len(jaxpr.eqns))
  stored: dict[Any, float] = {}
  fused: dict[Any, float] = {}
  live = most = 0.0
  for i, eqn in enumerate(jaxpr.eqns):
    made = {v: sizes.of(v) for v in eqn.outvars if v in last}
    read = _variables(eqn.invars)
    if _is_elementwise(eqn):
      fused |= made
    else:
      operands = sum(fused[v] for v in read & fused.keys()) if not _inner(eqn) else 0.0
      outliving = {v: size for v, size in fused.items() if last[v] > i}
      within = sum(size for v, size in outliving.items() if v not in read)
      inner = max((peak(body, sizes) for body in _inner(eqn)), default=0.0)
      most = max(most, live + operands + within + inner + sum(made.values()))
      stored |= outliving | made
      live += sum(outliving.values()) + sum(made.values())
      fused = {}
    for v in (v for v in read if last[v] == i):
      live -= stored.pop(v, 0.0)
      fused.pop(v, None)
  return most


def _variables(atoms: Any) -> set[Any]:
  """Return the variables among the arguments of an equation; the others are literals."""
  return {atom for atom in atoms if not hasattr(atom, 'val')}


def _is_elementwise(eqn: Any) -> bool:
  bodies = _inner(eqn)
  if bodies:
    return eqn.primitive.name not in ('scan', 'while', 'cond') and all(
      _is_elementwise(inner) for body in bodies for inner in body.eqns
    )
  return eqn.primitive.name in ELEMENTWISE


def _inner(eqn: Any) -> list[Any]:
  """Return the programs that an equation runs."""
  found = []
  for name, value in eqn.params.items():
    if name in ('jvp_jaxpr_fun', 'fwd_jaxpr_thunk', 'bwd', 'jvp_jaxpr_thunk'):
      continue
    for item in value if isinstance(value, tuple | list) else (value,):
      body = getattr(item, 'jaxpr', item)
      if hasattr(body, 'eqns'):
        found.append(body)
  return found


def collectives(run: Run) -> dict[str, int]:
  """Return the bytes that the collectives of a step move by kind, of each device: by what the mesh is for.

  fsdp: weights are gathered for the forward and the backward pass of every microbatch, their gradients scattered.
  data, sequence: the gradients of a device's part are summed. tensor: four sums of activations a block. sequence: each
  block gathers the keys and values of all tokens, as attention does.
  """
  settings, config = run.settings, run.model.config
  data, fsdp, sequence, tensor = (run.mesh.shape[name] for name in MESH_AXES)
  numbers = sum(leaf.size for leaf in jax.tree.leaves(run.model.abstract_params)) // tensor
  size = 2 if config.dtype == 'bfloat16' else 4
  passes = settings.accumulate * (3 if config.remat != 'none' else 2)
  tokens = settings.batch_size // (data * fsdp) * (settings.segment or run.model.spec.length)
  exchanged = 2 * config.depth * tokens * config.width * size // tensor if sequence > 1 else 0
  found = {
    'all-gather': (numbers * size * passes if fsdp > 1 else 0) + exchanged * (2 if config.remat != 'none' else 1),
    'reduce-scatter': (numbers * 4 * settings.accumulate if fsdp > 1 else 0) + exchanged,
    'all-reduce': (numbers // fsdp * 4 if data * sequence > 1 else 0)
    + (4 * config.depth * tokens // sequence * config.width * size if tensor > 1 else 0),
  }
  return {kind: count for kind, count in found.items() if count}
