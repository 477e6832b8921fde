"""The gates: no number of a model whose forms disagree, that sees the future, or that padding changes."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from comparison.experiments import program
from comparison.experiments.base import Row
from comparison.experiments.variants import ON_SOME_DEVICES, VOCABULARY, Variant, random_params, token_spec
from seqmodels.context import Context
from seqmodels.errors import InputError
from seqmodels.kernels import dispatch
from seqmodels.models import Model

LENGTH, BATCH, WIDTH = 12, 2, 16
TOLERANCE = {'float32': 1e-4, 'bfloat16': 5e-2}  # largest deviation of an output, of order 1

_found: dict[str, dict[str, float] | Exception] = {}  # of a variant: its deviations, or why it does not run
_one = threading.Lock()  # of threads that prepare cells, one goes through the gates and the others wait for it


def admit(variants: Sequence[Variant], dtype: str = 'float32') -> tuple[list[Variant], list[Row]]:
  """The variants that pass, and one row `gate` with value 0 for each that does not. Once a process and architecture.

  What this machine does not have, or not in `dtype`, or cannot run leaves a row `unavailable` and is passed over.
  """
  reasons = {s.name: unavailable(s, dtype) if s.backend in ON_SOME_DEVICES else '' for s in variants}
  with _one:
    new = [s for s in variants if not reasons[s.name] and s.name not in _found]
    found = program.together([partial(program.attempt, partial(of_variant, variant)) for variant in new])
    _found.update(zip((variant.name for variant in new), found, strict=True))
  admitted: list[Variant] = []
  rows: list[Row] = []
  for variant in variants:
    if reasons[variant.name]:
      rows.append(missing(variant, reasons[variant.name]))
      continue
    result = _found[variant.name]
    if isinstance(result, Exception):
      rows.append(missing(variant, said(result)))
      continue
    broken = {name: value for name, value in result.items() if value > TOLERANCE['float32']}
    if not broken:
      admitted.append(variant)
      continue
    text = ', '.join(f'{name} deviates by {value:.2g}' for name, value in broken.items())
    rows.append(
      {'metric': 'gate', 'value': 0, 'architecture': variant.architecture, 'backend': variant.backend, 'error': text}
    )
  return admitted, rows


def running(variants: Sequence[Variant], made: Sequence[Any]) -> tuple[list[bool], list[Row]]:
  """Return which variants' programs run here, found by one call each; a row `unavailable` for every other.

  made: a compiled program and a call of it, or the exception that says why there is none. Where nothing runs, the first
  reason is raised.
  """
  reasons = [one if isinstance(one, Exception) else program.attempt(partial(_once, one[1])) for one in made]
  if reasons and all(reasons):
    raise reasons[0]
  rows = [missing(variant, said(reason)) for variant, reason in zip(variants, reasons, strict=True) if reason]
  return [reason is None for reason in reasons], rows


def _once(call: Callable[[], Any]) -> None:
  jax.block_until_ready(call())


def said(reason: Exception) -> str:
  """In one line; the words of a program that is too large are whole by themselves."""
  text = ' '.join(str(reason).split())[:300]
  return text if isinstance(reason, program.TooLarge) else f'{type(reason).__name__}: {text}'


def missing(variant: Variant, reason: str) -> Row:
  who: Row = {'architecture': variant.architecture, 'backend': variant.backend}
  return {'metric': 'unavailable', 'value': None, 'error': reason, **who}


def unavailable(variant: Variant, dtype: str) -> str:
  """Why there is no such model here; empty where there is one."""
  platform = 'cuda' if jax.default_backend() == 'gpu' else jax.default_backend()
  try:
    dispatch.check(variant.backend or 'auto', platform)
    variant.build(token_spec(LENGTH), width=WIDTH, depth=1, params=0.0, dtype=dtype)
  except InputError as error:
    return str(error)
  return ''


def of_variant(variant: Variant) -> dict[str, float]:
  """The deviations of a small model, with full float32 products, which are not the default of GPUs and TPUs."""
  with jax.default_matmul_precision('highest'):
    return deviations(variant.build(token_spec(LENGTH), width=WIDTH, depth=1, params=0.0))


def deviations(model: Model) -> dict[str, float]:
  """How far a causal model with random parameters of tokens is from what it must be; every number should be 0.

  recurrent_form: one call against token by token. future: outputs before a changed token. padding: outputs before
  tokens that are masked out, whatever they are.
  """
  tokens = np.random.default_rng(0).integers(0, VOCABULARY, (BATCH, LENGTH), dtype=np.int32)
  half = LENGTH // 2
  other = tokens.copy()
  other[:, half:] = (other[:, half:] + 1) % VOCABULARY
  mask = np.broadcast_to(np.arange(LENGTH)[None, :] < half, tokens.shape)
  params = random_params(model)
  whole = jax.jit(lambda p, x: model.apply(p, x)[0])
  full, changed = (np.asarray(whole(params, x)) for x in (tokens, other))
  padded = np.asarray(jax.jit(lambda p, x, m: model.apply(p, x, context=Context(mask=m))[0])(params, other, mask))
  step = jax.jit(model.apply)
  state, outputs = model.init_state(BATCH, LENGTH), []
  for t in range(LENGTH):
    output, state = step(params, jnp.asarray(tokens[:, t : t + 1]), state)
    outputs.append(np.asarray(output)[:, 0])
  return {
    'recurrent_form': _distance(np.stack(outputs, axis=1), full),
    'future': _distance(changed[:, :half], full[:, :half]),
    'padding': _distance(padded[:, :half], full[:, :half]),
  }


def _distance(a: np.ndarray, b: np.ndarray) -> float:
  """The largest deviation; infinite if either is not finite."""
  distance = float(np.max(np.abs(a - b)))
  return distance if np.isfinite(distance) else float('inf')
