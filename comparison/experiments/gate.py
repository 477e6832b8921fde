"""The gates: no number of a model whose forms disagree, that sees the future, or that padding changes.

A model that reads both ways has no other form and sees everything: only padding is checked there.
"""

import json
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

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
from seqmodels.notation import Params, State
from seqmodels.spec import Spec, Tokens

Kind = Literal['causal', 'encode', 'seq2seq']  # of a model, as in `Spec`
LENGTH, BATCH, WIDTH = 12, 2, 16
TOLERANCE = {'float32': 1e-4, 'bfloat16': 5e-2}  # largest deviation of an output, of order 1

_found: dict[str, dict[str, float] | Exception] = {}  # by `_key`: the deviations, or why it does not run
_one = threading.Lock()  # of threads that prepare cells, one goes through the gates and the others wait for it


def admit(
  variants: Sequence[Variant], dtype: str = 'float32', kind: Kind = 'causal'
) -> tuple[list[Variant], list[Row]]:
  """Return the variants that pass, and one row `gate` with value 0 for each that does not. Once a process and variant.

  What this machine does not have, or not in `dtype`, or cannot run leaves a row `unavailable` and is passed over.
  """
  reasons = {s.name: unavailable(s, dtype) if s.backend in ON_SOME_DEVICES else '' for s in variants}
  with _one:
    new = [s for s in variants if not reasons[s.name] and _key(s, kind) not in _found]
    found = program.together([partial(program.attempt, partial(of_variant, variant, kind)) for variant in new])
    _found.update(zip((_key(variant, kind) for variant in new), found, strict=True))
  admitted: list[Variant] = []
  rows: list[Row] = []
  for variant in variants:
    if reasons[variant.name]:
      rows.append(missing(variant, reasons[variant.name]))
      continue
    result = _found[_key(variant, kind)]
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


def _key(variant: Variant, kind: Kind) -> str:
  """Return what tells apart the variants whose forms may differ: dropout is none of them, since gates do not train."""
  fields = {name: value for name, value in variant.fields.items() if name != 'dropout'}
  return f'{kind} {variant.name} {json.dumps(fields, sort_keys=True)}'


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


def of_variant(variant: Variant, kind: Kind = 'causal') -> dict[str, float]:
  """Return the deviations of a small model, with full float32 products, which are not the default of GPUs and TPUs."""
  with jax.default_matmul_precision('highest'):
    return deviations(variant.build(_spec(kind), width=WIDTH, depth=1, params=0.0))


def _spec(kind: Kind) -> Spec:
  tokens = Tokens(VOCABULARY)
  beside: dict[str, Any] = {'source': tokens, 'source_length': LENGTH} if kind == 'seq2seq' else {}
  return Spec(kind, tokens, tokens, LENGTH, **beside)


def deviations(model: Model) -> dict[str, float]:
  """How far a model with random parameters of tokens is from what it must be; every number should be 0.

  recurrent_form: one call against token by token. future: outputs before a changed token. padding: outputs before
  tokens that are masked out, whatever they are; of a model with a source, all outputs after a source that ends with
  such tokens, against the source without them. A model that reads both ways has the last alone.
  """
  tokens = np.random.default_rng(0).integers(0, VOCABULARY, (BATCH, LENGTH), dtype=np.int32)
  half = LENGTH // 2
  other = tokens.copy()
  other[:, half:] = (other[:, half:] + 1) % VOCABULARY
  mask = np.broadcast_to(np.arange(LENGTH)[None, :] < half, tokens.shape)
  params = random_params(model)
  if model.spec.kind == 'encode':
    alone = np.asarray(jax.jit(lambda p, x: model.apply(p, x)[0])(params, tokens[:, :half]))
    padded = np.asarray(jax.jit(lambda p, x, m: model.apply(p, x, context=Context(mask=m))[0])(params, other, mask))
    return {'padding': _distance(padded[:, :half], alone)}
  if model.spec.kind == 'seq2seq':
    return _with_source(model, params, tokens, other, mask)
  whole = jax.jit(lambda p, x: model.apply(p, x)[0])
  full, changed = (np.asarray(whole(params, x)) for x in (tokens, other))
  padded = np.asarray(jax.jit(lambda p, x, m: model.apply(p, x, context=Context(mask=m))[0])(params, other, mask))
  return {
    'recurrent_form': _distance(_token_by_token(model, params, tokens, model.init_state(BATCH, LENGTH)), full),
    'future': _distance(changed[:, :half], full[:, :half]),
    'padding': _distance(padded[:, :half], full[:, :half]),
  }


def _with_source(
  model: Model, params: Params, tokens: np.ndarray, other: np.ndarray, mask: np.ndarray
) -> dict[str, float]:
  half = LENGTH // 2
  whole = jax.jit(lambda p, x, s, m: model.apply(p, x, source=s, source_mask=m)[0])
  full, changed = (np.asarray(whole(params, x, other, mask)) for x in (tokens, other))
  alone = np.asarray(whole(params, tokens, tokens[:, :half], mask[:, :half]))
  state = jax.jit(lambda p, s, m: model.start(p, s, LENGTH, source_mask=m))(params, other, mask)
  return {
    'recurrent_form': _distance(_token_by_token(model, params, tokens, state), full),
    'future': _distance(changed[:, :half], full[:, :half]),
    'padding': _distance(full, alone),
  }


def _token_by_token(model: Model, params: Params, tokens: np.ndarray, state: State | None) -> np.ndarray:
  step, outputs = jax.jit(model.apply), []
  for t in range(tokens.shape[1]):
    output, state = step(params, jnp.asarray(tokens[:, t : t + 1]), state)
    outputs.append(np.asarray(output)[:, 0])
  return np.stack(outputs, axis=1)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
  """Return the largest deviation; infinite if either is not finite."""
  distance = float(np.max(np.abs(a - b)))
  return distance if np.isfinite(distance) else float('inf')
