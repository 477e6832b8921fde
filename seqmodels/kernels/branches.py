"""Run and differentiate a function that has another form on another platform.

Differentiating `jax.lax.platform_dependent` keeps what the backward pass of every branch needs, that of the branches
not taken as zeros of its own. Here each branch saves into shared slots: arrays of one type and shape serve all of them,
and the zeros in a slot that a branch does not use are removed by the compiler, since nothing reads them.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import mlir

from seqmodels.errors import InputError

Function = Callable[..., Any]


class Branches(NamedTuple):
  """Functions with their options, and the platforms of each.

  refusal: what is said of other platforms; empty: there are no others
  """

  functions: tuple[tuple[Function, tuple[tuple[str, Any], ...]], ...]
  platforms: tuple[tuple[str, ...], ...]
  refusal: str = ''

  def bound(self) -> list[Function]:
    return [functools.partial(function, **dict(options)) for function, options in self.functions]


def group(by_platform: Mapping[str, tuple[Function, tuple[tuple[str, Any], ...]]], refusal: str = '') -> Branches:
  """Join the platforms that have the same function and options."""
  functions = tuple(dict.fromkeys(by_platform.values()))
  platforms = tuple(tuple(p for p, other in by_platform.items() if other == f) for f in functions)
  return Branches(functions, platforms, refusal)


def call(forward_only: Branches, training: Branches, arrays: tuple[Any, ...]) -> Any:
  """Return f(*arrays): by `forward_only`, and by `training` where JAX differentiates the call."""
  if forward_only == training and len(training.functions) == 1 and not training.refusal:
    return select(training, training.bound(), *arrays)
  return _call(forward_only, training, arrays)


def select(branches: Branches, functions: list[Function], *arrays: Any) -> Any:
  """Call one of the functions, which belong to the branches, for the platform that is lowered for."""
  if len(functions) == 1 and not branches.refusal:
    return functions[0](*arrays)
  by_platform = {name: f for f, names in zip(functions, branches.platforms, strict=True) for name in names}
  refuse = functools.partial(_refuse, functions[0], branches.refusal) if branches.refusal else None
  return jax.lax.platform_dependent(*arrays, default=refuse, **by_platform)


def _refuse(function: Function, refusal: str, *arrays: Any) -> Any:
  """Stand for a function on platforms that it is not for: lowering raises InputError."""
  leaves, tree = jax.tree.flatten(jax.eval_shape(function, *arrays))
  shapes = tuple(jax.core.ShapedArray(a.shape, a.dtype) for a in leaves)
  return jax.tree.unflatten(tree, _refused.bind(shapes=shapes, refusal=refusal))


def _raise(context: Any, *, shapes: Any, refusal: str) -> Any:
  del shapes
  raise InputError(f'{refusal}; the program is lowered for {", ".join(context.module_context.platforms)}')


_refused = Primitive('refused')
_refused.multiple_results = True
_refused.def_abstract_eval(lambda *, shapes, refusal: shapes)
mlir.register_lowering(_refused, _raise)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _call(forward_only: Branches, training: Branches, arrays: tuple[Any, ...]) -> Any:
  del training
  return select(forward_only, forward_only.bound(), *arrays)


class Recipe(NamedTuple):
  """How a branch's backward pass is put together again: a slot (≥ 0) or an argument (-1 - i) for each saved array."""

  tree: Any
  sources: tuple[int, ...]
  shapes: tuple[tuple[int, ...], ...]


@jax.tree_util.register_static
class Recipes(tuple[Recipe, ...]):
  """Those of all branches, beside the arrays that custom_vjp carries."""

  __hash__ = object.__hash__

  def __eq__(self, other: object) -> bool:
    return self is other


def _forward(forward_only: Branches, training: Branches, arrays: tuple[Any, ...]) -> tuple[Any, Any]:
  del forward_only
  leaves, tree = jax.tree.flatten(arrays)
  is_float = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]
  slots: list[jax.ShapeDtypeStruct] = []
  recipes, functions = [], []
  for function in training.bound():
    traced, recipe = _trace(function, leaves, tree, is_float, slots)
    recipes.append(recipe)
    functions.append(traced)

  def padded(function: Function, recipe: Recipe) -> Function:
    def branch(*leaves: Any) -> tuple[Any, list[Any]]:
      out, saved = function(*leaves)
      found = {source: a for source, a in zip(recipe.sources, saved, strict=True) if source >= 0}
      fill = lambda i, slot: found[i].reshape(slot.shape) if i in found else jnp.zeros(slot.shape, slot.dtype)
      return out, [fill(i, slot) for i, slot in enumerate(slots)]

    return branch

  out, saved = select(training, [padded(*pair) for pair in zip(functions, recipes, strict=True)], *leaves)
  return out, (arrays, saved, Recipes(recipes))


def _trace(
  function: Function, leaves: list[Any], tree: Any, is_float: list[bool], slots: list[jax.ShapeDtypeStruct]
) -> tuple[Function, Recipe]:
  """Return a function of the leaves that gives (outputs, what its backward pass needs), and the recipe of that pass.

  New slots are appended where those that are there do not suffice.
  """
  found: dict[str, Any] = {}

  def both(*leaves: Any) -> tuple[Any, list[Any]]:
    floats = [leaf for leaf, differentiable in zip(leaves, is_float, strict=True) if differentiable]

    def of_floats(floats: list[Any]) -> Any:
      given = iter(floats)
      merged = [next(given) if differentiable else a for a, differentiable in zip(leaves, is_float, strict=True)]
      return function(*jax.tree.unflatten(tree, merged))

    out, pull = jax.vjp(of_floats, floats)
    saved, found['tree'] = jax.tree.flatten(pull)
    numbers = {id(leaf): i for i, leaf in enumerate(leaves)}
    found['arguments'] = [numbers.get(id(a)) for a in saved]
    return out, saved

  program, shapes = jax.make_jaxpr(both, return_shape=True)(*leaves)
  free: list[int] = list(range(len(slots)))
  sources = []
  for a, argument in zip(shapes[1], found['arguments'], strict=True):
    if argument is not None:
      sources.append(-1 - argument)
      continue
    fitting = [i for i in free if (slots[i].size, slots[i].dtype) == (a.size, a.dtype)]
    exact = [i for i in fitting if slots[i].shape == a.shape]
    if not fitting:
      slots.append(jax.ShapeDtypeStruct(a.shape, a.dtype))
      sources.append(len(slots) - 1)
      continue
    sources.append((exact or fitting)[0])
    free.remove(sources[-1])
  recipe = Recipe(found['tree'], tuple(sources), tuple(a.shape for a in shapes[1]))
  out_tree = jax.tree.structure(shapes)

  def run(*leaves: Any) -> Any:
    return jax.tree.unflatten(out_tree, jax.core.eval_jaxpr(program.jaxpr, program.consts, *leaves))

  return run, recipe


def _backward(forward_only: Branches, training: Branches, kept: Any, cotangents: Any) -> tuple[Any]:
  del forward_only
  arrays, saved, recipes = kept
  leaves, tree = jax.tree.flatten(arrays)

  def branch(recipe: Recipe) -> Function:
    def pull(leaves: list[Any], saved: list[Any], cotangents: Any) -> list[Any]:
      arrays = [
        saved[source].reshape(shape) if source >= 0 else leaves[-1 - source]
        for source, shape in zip(recipe.sources, recipe.shapes, strict=True)
      ]
      return jax.tree.unflatten(recipe.tree, arrays)(cotangents)[0]

    return pull

  gradients = iter(select(training, [branch(recipe) for recipe in recipes], leaves, saved, cotangents))
  found = [next(gradients) if jnp.issubdtype(leaf.dtype, jnp.inexact) else None for leaf in leaves]
  return (jax.tree.unflatten(tree, found),)


_call.defvjp(_forward, _backward)
