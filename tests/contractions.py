"""FLOPs of a traced program, counted from its operations: what `mixing_flops` and `sizing` are held to.

XLA's own count takes the body of a loop once and knows nothing of fused kernels, so the traced program is walked
instead, loops by their trips. Where a program has no loop, `tests/seqmodels/test_sizing.py` holds this count to XLA's.
"""

import math
from typing import Any

import jax


def count(function: Any, *arguments: Any) -> float:
  """FLOPs of everything that is a sum of products in function(*arguments), a multiply-add being two.

  dot_general; a product that is summed, `sum(a * b)`; and an outer product that is added to something,
  `s + a[:, None] * b[None, :]`. Of the branches of a conditional the one with most counts. Arguments may be abstract.
  """
  return _total(jax.make_jaxpr(function)(*arguments).jaxpr)


def _total(jaxpr: Any) -> float:
  made = {variable: equation for equation in jaxpr.eqns for variable in equation.outvars}
  added = {v for e in jaxpr.eqns if e.primitive.name in ('add', 'sub') for v in e.invars if not hasattr(v, 'val')}
  return float(sum(_flops(equation, made, added) for equation in jaxpr.eqns))


def _flops(equation: Any, made: dict[Any, Any], added: set[Any]) -> float:
  name, params, result = equation.primitive.name, equation.params, equation.outvars[0]
  if name == 'dot_general':
    (contracted, _), _ = params['dimension_numbers']
    left = equation.invars[0].aval.shape
    return 2.0 * result.aval.size * math.prod(left[axis] for axis in contracted)
  if name == 'reduce_sum':
    maker = made.get(equation.invars[0])
    return 2.0 * equation.invars[0].aval.size if maker is not None and maker.primitive.name == 'mul' else 0.0
  if name == 'mul':
    if not jax.numpy.issubdtype(result.aval.dtype, jax.numpy.floating):
      return 0.0  # angles of positions
    is_outer = result in added and result.aval.size > max(_own_size(factor, made) for factor in equation.invars)
    return 2.0 * result.aval.size if is_outer else 0.0
  if name == 'conv_general_dilated':  # zeros beyond the edges included
    kernel, spec = equation.invars[1].aval.shape, params['dimension_numbers'].rhs_spec
    return 2.0 * result.aval.size * math.prod(kernel) / kernel[spec[0]]
  inner = [_total(program) for program in _programs(params)]
  if name == 'cond':
    return _of_branches(params, inner)
  assert name != 'while' or not any(inner), 'a loop whose trips are not known'
  return sum(inner) * (params['length'] if name == 'scan' else 1)


def _of_branches(params: Any, inner: list[float]) -> float:
  """The branch with most; of branches for platforms the one for CPUs, unless it is a foreign call (without FLOPs)."""
  on_cpu = [i for i, names in enumerate(params.get('branches_platforms') or ()) if names and 'cpu' in names]
  return max((inner[i] for i in on_cpu if inner[i]), default=max(inner))


def _programs(params: dict[str, Any]) -> list[Any]:
  """The programs inside an operation. The rules of a custom derivative are functions, and not among them."""
  values = [v for value in params.values() for v in (value if isinstance(value, tuple | list) else (value,))]
  return [v if hasattr(v, 'eqns') else v.jaxpr for v in values if hasattr(getattr(v, 'jaxpr', v), 'eqns')]


def _own_size(variable: Any, made: dict[Any, Any]) -> int:
  """The size of an array before it was broadcast."""
  while not hasattr(variable, 'val') and variable in made:
    equation = made[variable]
    if equation.primitive.name not in ('broadcast_in_dim', 'reshape', 'convert_element_type'):
      break
    variable = equation.invars[0]
  return variable.aval.size
