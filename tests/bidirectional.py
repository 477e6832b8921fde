"""What every bidirectional mixer must do with documents and padding, in values and in gradients.

All of it is read from one program a mixer: outputs, and the gradients of one cotangent for each token of a row.
"""

import functools
from typing import Any

import jax
import numpy as np

from seqmodels.context import Context
from seqmodels.mixers import MIXERS
from tests.cases import B, Case, D, draw_input
from tests.contract import close

LENGTH, WINDOW = 6, 2
# Small enough for LENGTH, and what only a model sets.
SMALL: dict[str, dict[str, Any]] = {
  'linformer': {'length': LENGTH, 'rank': 3},
  'sliding_window': {'window': WINDOW},
  'sparse': {'stride': WINDOW},
  'ssd': {'state_width': 4},
}
# A document of three tokens among padding (`.`; `!` with a reset on it) and tokens of other documents (`c`).
LAYOUTS = ('012...', '.0.12.', '0!12cc', 'cc012.', 'c.01.2', 'c!012c')


def form(causal: Case, position: str = 'none') -> Case:
  """Return the bidirectional form, with the parameters of a causal one where there is one."""
  options = SMALL.get(causal.name, {}) | ({} if position == 'none' else {'position': position})
  changes: dict[str, Any] = {'causal': False, 'options': tuple(options.items())}
  return causal.fitted(**changes) if MIXERS[causal.name].can_be_causal else Case(causal.name, **changes)


@functools.partial(jax.jit, static_argnums=0)
def _everything(case: Case, params, x, weights, reset, mask):
  y, pullback = jax.vjp(lambda params, x: case.apply(params, x, None, Context(reset, mask))[0], params, x)
  return y, jax.vmap(pullback)(weights)


def everything(case: Case, x: np.ndarray, weights: np.ndarray, reset: np.ndarray, mask: np.ndarray) -> Any:
  """Return y [b t d], and for each of the n `weights` [n b t d] the gradients of Σ y · weight by parameters and x."""
  return jax.device_get(_everything(case, case.params, x, weights.astype(np.float32), reset, mask))


def influence(case: Case, reset: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Return whether the first row's outputs depend on its inputs, [output position, input position].

  They depend on no other row.
  """
  weights = np.zeros((LENGTH, B, LENGTH, D))
  weights[np.arange(LENGTH), 0, np.arange(LENGTH)] = np.random.default_rng(0).normal(size=(LENGTH, D))
  _, (_, of_x) = everything(case, draw_input(12, LENGTH), weights, reset, mask)
  assert (of_x[:, 1:] == 0).all()
  return np.abs(of_x[:, 0]).max(-1) > 0


def sees(name: str, i: int, j: int) -> bool:
  """Return whether token i of a document sees token j."""
  if name in ('sliding_window', 'sparse'):
    return abs(i - j) < WINDOW or (name == 'sparse' and (j + 1) % WINDOW == 0)
  return True


def check_influence(case: Case) -> None:
  """Every output sees what it should of its document, before and after it; nothing of other documents, no padding."""
  reset, mask = np.zeros((B, LENGTH), bool), np.ones((B, LENGTH), bool)
  for starts, padding in (((), ()), ((3,), (1, 2))):
    reset[:, list(starts)], mask[:, list(padding)] = True, False
    expected = np.zeros((LENGTH, LENGTH), bool)
    for document in set(np.cumsum(reset[0])):
      tokens = np.flatnonzero((np.cumsum(reset[0]) == document) & mask[0])
      for i, j in np.ndindex(len(tokens), len(tokens)):
        expected[tokens[i], tokens[j]] = sees(case.name, i, j)
    np.testing.assert_array_equal(influence(case, reset, mask)[mask[0]], expected[mask[0]])


def lay(
  tokens: np.ndarray, layout: str, seed: int, padding: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
  """Return (x, reset, mask, where the tokens [b 3 d] stand) of a layout, with `padding` in its padding.

  Other documents are drawn.
  """
  random, kinds, place = np.random.default_rng(seed), np.array(list(layout)), [layout.index(digit) for digit in '012']
  real = np.isin(kinds, list('.!'), invert=True)
  x = np.where(real[None, :, None], random.normal(size=(B, LENGTH, D)), padding)
  x[:, place] = tokens
  reset, before = kinds == '!', None
  for t in np.flatnonzero(real):
    document = kinds[t] == 'c'
    reset[t] = before is not None and before != document
    before = document
  wide = lambda flags: np.tile(flags, (B, 1))
  return x.astype(np.float32), wide(reset), wide(real), place


def check_documents(case: Case) -> None:
  """A document's outputs and gradients are the same wherever it stands, whatever stands in padding and in other rows.

  NaN, infinity and 1e30 stand there too. Padding, other documents and other rows get no gradient from it, and its
  outputs are those of the document alone, without flags.
  """
  tokens = draw_input(17, 3)
  row, token = np.repeat(np.arange(B), 3), np.tile(np.arange(3), B)
  drawn, first = np.random.default_rng(18).normal(size=(B * 3, D)), None
  alone = np.asarray(case.run(tokens)[0])
  for seed, layout in enumerate(LAYOUTS):
    found = []
    for draw, padding in ((seed, 100.0), (seed + 100, (1e30, np.inf, np.nan)[seed % 3])):
      x, reset, mask, place = lay(tokens, layout, draw, padding)
      weights = np.zeros((B * 3, B, LENGTH, D))
      weights[np.arange(B * 3), row, np.array(place)[token]] = drawn
      y, (of_params, of_x) = everything(case, x, weights, reset, mask)
      assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(of_params))
      own = of_x[np.arange(B * 3), row][:, place]
      of_x = np.array(of_x)
      of_x[np.arange(B * 3)[:, None], row[:, None], place] = 0
      assert (of_x == 0).all()
      assert (np.abs(own).max((1, 2)) > 1e-4).all()
      found.append((y[:, place], of_params, own))
    jax.tree.map(np.testing.assert_array_equal, *found)
    first = first or found[0]
    close(found[0][0], alone)
    close(found[0], first, atol=1e-4)


CHECKS = (check_influence, check_documents)
