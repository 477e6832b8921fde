"""Regimes of a claim, and the one status that they make together."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.independent.verdicts.estimates import Estimate, exact, holm, median, p_value
from tests.independent.verdicts.reading import Row


class Regime(NamedTuple):
  """A number, and whether its whole interval meets the threshold of support or of contradiction.

  p_for, p_against: the p-values of "it is not above the threshold" and "it is not below the limit". size: of the
  models, where sizes weigh the same. test: direction, threshold and limit.
  """

  label: str
  estimate: Estimate
  supports: bool
  contradicts: bool
  p_for: float | None = None
  p_against: float | None = None
  size: float | None = None
  test: tuple[float, ...] = ()


class Outcome(NamedTuple):
  """A status, and the number that decided it. here: the status on this device, of a statement about another."""

  status: str
  number: Estimate | None = None
  regimes: tuple[Regime, ...] = ()
  here: str | None = None
  rule: int = 0


Rule = Callable[[Sequence[Row]], Outcome]
UNDECIDED, ABSENT = Outcome('undecided'), Outcome('not measured here')


def at_least(
  label: str,
  estimate: Estimate,
  threshold: float,
  limit: float | None = None,
  rounds: Sequence[float] = (),
  noise: float = 0.0,
) -> Regime:
  """Return a regime that supports from `threshold` on and contradicts below `limit`, by default the same number."""
  limit = threshold if limit is None else limit
  tests: tuple[float | None, float | None] = None, None
  if len(rounds):
    tests = p_value(rounds, threshold, above=True, noise=noise), p_value(rounds, limit, above=False, noise=noise)
  regime = Regime(label, estimate, bool(estimate.low >= threshold), bool(estimate.high < limit), *tests)
  return regime._replace(test=(1, threshold, limit))


def at_most(label: str, estimate: Estimate, threshold: float, limit: float | None = None) -> Regime:
  """Return a regime that supports up to `threshold` and contradicts above `limit`, by default the same number."""
  limit = threshold if limit is None else limit
  regime = Regime(label, estimate, bool(estimate.high <= threshold), bool(estimate.low > limit))
  return regime._replace(test=(-1, threshold, limit))


def ratio(label: str, rounds: Sequence[float], threshold: float = 1.0, limit: float | None = None) -> Regime:
  """Return a regime of the median of the ratios of rounds."""
  return at_least(label, median(rounds), threshold, limit, rounds)


def number(label: str, value: float, supports: bool, contradicts: bool) -> Regime:
  return Regime(label, exact(value), bool(supports), bool(contradicts))


def each(regimes: Sequence[Regime]) -> Outcome:
  """Return support or contradiction by all regimes, `mixed` if there are some of both kinds, else `undecided`."""
  return _outcome('each', regimes, _having(regimes, 'supports'), _having(regimes, 'contradicts'))


def always(regimes: Sequence[Regime]) -> Outcome:
  """Return what a statement about all regimes is, which one contradicts after Holm's correction for all of them."""
  return _outcome('always', regimes, _having(regimes, 'supports'), _firm(regimes, 'contradicts', 'p_against'))


def often(regimes: Sequence[Regime]) -> Outcome:
  """Return what a statement of tendency is, by the majority of the regimes; each size has as many votes."""
  count = {size: sum(regime.size == size for regime in regimes) for size in {regime.size for regime in regimes}}
  votes = [math.lcm(*count.values()) // count[regime.size] for regime in regimes]
  return _outcome('often', regimes, _having(regimes, 'supports'), _having(regimes, 'contradicts'), votes)


def often_counted(regimes: Sequence[Regime]) -> Outcome:
  """Return the same by the majority of all regimes: each has one vote."""
  return often([regime._replace(size=None) for regime in regimes])


def can(regimes: Sequence[Regime]) -> Outcome:
  """Return what a statement of existence is, which one regime supports after Holm's correction for all of them."""
  return _outcome('can', regimes, _firm(regimes, 'supports', 'p_for'), _having(regimes, 'contradicts'))


def _having(regimes: Sequence[Regime], side: str) -> list[int]:
  return [place for place, regime in enumerate(regimes) if getattr(regime, side)]


def _firm(regimes: Sequence[Regime], side: str, p: str) -> list[int]:
  tested = [place for place, regime in enumerate(regimes) if getattr(regime, p) is not None]
  rejected = dict(zip(tested, holm([getattr(regimes[place], p) for place in tested]), strict=True))
  return [place for place in _having(regimes, side) if rejected.get(place, True)]


def _outcome(
  kind: str, regimes: Sequence[Regime], favour: list[int], against: list[int], votes: Sequence[int] = ()
) -> Outcome:
  if not regimes:
    return UNDECIDED
  votes = votes or [1] * len(regimes)
  status = _status(kind, sum(votes), *(sum(votes[place] for place in side) for side in (favour, against)))
  unclear = [
    place for place, regime in enumerate(regimes) if not regime.supports and not regime.contradicts
  ] or [place for place in range(len(regimes)) if place not in (*favour, *against)]  # fmt: skip
  deciding = {'supported': favour, 'undecided': unclear}.get(status) or against or unclear or favour
  # Numbers with another test than the first are of another kind.
  ordered = sorted(regimes[i].estimate for i in deciding if regimes[i].test == regimes[deciding[0]].test)
  return Outcome(status, ordered[math.ceil(len(ordered) / 2) - 1], tuple(regimes))


def _status(kind: str, count: int, favour: int, against: int) -> str:
  if kind == 'can' and favour:
    return 'supported'
  if against == count or (kind == 'always' and against):
    return 'contradicted'
  if favour == count:
    return 'supported'
  if kind == 'can':
    return 'undecided'
  if kind == 'often' and max(favour, against) * 2 > count:
    return 'supported' if favour * 2 > count else 'contradicted'
  return 'mixed' if favour and against else 'undecided'
