"""Apply to records the rule that was in force when they were measured; say what the rules written since would say."""

import dataclasses
import datetime
import hashlib
from collections.abc import Iterable, Sequence

from comparison.claims import quality
from comparison.claims.base import DEVICES, Claim, Rule, Status, Verdict, figure, selection
from comparison.claims.points import not_measured
from comparison.records import Row

NUMBERS_ONLY = 'smoke'  # the scale that shows that everything runs, and judges nothing


def judge(claim: Claim, records: Sequence[Row]) -> Verdict:
  """Return the verdict; `not measured here` if an experiment of the claim has no number.

  A statement about one kind of device has no verdict from another: `here` says what it would be there. Records that are
  older than every rule have numbers and no verdict.
  """
  measured = {row['experiment'] for row in records if row.get('value') is not None}
  absent = [not_measured(name, _failure(name, records)) for name in claim.experiments if name not in measured]
  if absent:
    needs = tuple(name for verdict in absent for name in verdict.needs)
    reason = ' and '.join(verdict.reason for verdict in absent)
    return dataclasses.replace(absent[0], reason=reason, needs=needs, rule=claim.rules[-1].version)
  if all(row.get('scale') == NUMBERS_ONLY for row in records):
    verdict = _apply(claim, claim.rules[-1], records)
    reason = f'{NUMBERS_ONLY} shows that the measurement runs; its sizes say nothing about the statement'
    return dataclasses.replace(verdict, status='not judged', reason=reason, rule=claim.rules[-1].version)
  rule = in_force(claim, records)
  verdict = _apply(claim, rule, records)
  notes = (*verdict.notes, *_of_later_rules(claim, rule, records), *_of_marks(claim, records))
  notes = (*notes, *quality.notes(claim, records), *_of_edges(claim, records))
  verdict = dataclasses.replace(verdict, notes=notes, rule=rule.version)
  begun = _begun(claim, records)
  if verdict.status == 'not measured here':
    return verdict
  if begun is not None and seconds(rule.since) > begun:
    reason = (
      f'the rule is younger than these records: it was written {rule.since} UTC, by which they would be '
      f'{verdict.status}, and binds new measurements'
    )
    return dataclasses.replace(verdict, status='not judged', reason=reason)
  device = DEVICES.get(claim.speaks_of)
  if device is None or any(row.get('device') == device.of_records for row in records if row.get('device')):
    return verdict
  return dataclasses.replace(
    verdict,
    status='not measured here',
    here=verdict.status,
    elsewhere=device.where,
  )


def _failure(experiment: str, records: Sequence[Row]) -> str:
  """Return why a cell of an experiment failed; empty where none did."""
  failed = (row for row in records if row['experiment'] == experiment and row['metric'] == 'failed')
  return next((str(row.get('error', '')) for row in failed), '')


def _apply(claim: Claim, rule: Rule, records: Sequence[Row]) -> Verdict:
  if rule.judge is None:
    raise ValueError(f'claim {claim.number}: records are bound by rule {rule.version}, whose judge is not kept')
  verdict = rule.judge(records)
  return dataclasses.replace(verdict, status='fact') if _is_fact(claim, verdict.status) else verdict


def _is_fact(claim: Claim, status: Status) -> bool:
  return claim.definition and status == 'supported'


def in_force(claim: Claim, records: Iterable[Row]) -> Rule:
  """Return the newest rule that is no younger than any record of the claim's experiments; else the oldest."""
  begun = _begun(claim, records)
  if begun is None:
    return claim.rules[-1]
  kept = [rule for rule in claim.rules if rule.judge is not None]
  return next((rule for rule in reversed(kept) if seconds(rule.since) <= begun), kept[0])


def _begun(claim: Claim, records: Iterable[Row]) -> float | None:
  """Return when the first cell of the claim's experiments began, if the records tell. Their time is that of its end."""
  mine = (row for row in records if row['experiment'] in claim.experiments and row.get('time'))
  times = (row['time'] - row.get('seconds', 0.0) for row in mine)
  return min(times, default=None)


def seconds(since: str) -> float:
  """Return the time of a rule in seconds since 1970."""
  return datetime.datetime.fromisoformat(since).replace(tzinfo=datetime.UTC).timestamp()


def _of_later_rules(claim: Claim, rule: Rule, records: Sequence[Row]) -> tuple[str, ...]:
  """Say what the present rule says of records that it does not bind."""
  today = claim.rules[-1]
  if today.version == rule.version:
    return ()
  other = _apply(claim, today, records)
  number = '' if other.number is None else f' ({figure(other.number)} {other.unit}'.rstrip() + f', {other.about})'
  reason = f'; {other.reason}' if other.status in ('mixed', 'undecided') and other.reason else ''
  return (
    f'Rule {rule.version} was in force when this was measured. By rule {today.version}, which was written later '
    f'({today.since} UTC) and binds new measurements: {other.status}{number}{reason}',
  )


def _of_marks(claim: Claim, records: Iterable[Row]) -> tuple[str, ...]:
  """Say which rules the records name that the claim does not list."""
  known = {mark(claim, rule) for rule in claim.rules for mark in (digest, digest_of_thresholds)}
  rows = [row for row in records if row['experiment'] in claim.experiments]
  unknown = {mark for row in rows for mark in _marks(row, claim.number) if mark not in known}
  if not unknown:
    return ()
  return (f'Some records were measured under a rule that is not listed here: {", ".join(sorted(unknown))}',)


def _marks(row: Row, number: int) -> list[str]:
  """Return the digest of the claim's rule in a row, if the row has it."""
  marks = dict(mark.split(':', 1) for mark in str(row.get('rules') or '').split() if ':' in mark)
  return [marks[str(number)]] if str(number) in marks else []


def _of_edges(claim: Claim, records: Iterable[Row]) -> tuple[str, ...]:
  """Say how often the best learning rate is the smallest or the largest that a cell tried."""
  cells: dict[str, list[Row]] = {}
  for row in records:
    is_tried = row.get('cell') and len(row.get('rates') or ()) > 1 and row.get('learning_rate') in row['rates']
    if is_tried and row['experiment'] in claim.experiments:
      cells.setdefault(row['cell'], []).append(row)
  found: dict[str, list[bool]] = {}
  for own in cells.values():
    best = max(own, key=selection)
    ends = min(best['rates']), max(best['rates'])
    found.setdefault(best.get('architecture', ''), []).append(best['learning_rate'] in ends)
  shown = ', '.join(f'{name} {sum(ends)} of {len(ends)}' for name, ends in sorted(found.items()) if any(ends))
  return (
    (f'Cells whose best learning rate ends those tried, so that a better one may lie beyond: {shown}',) if shown else ()
  )


def digest(claim: Claim, rule: Rule) -> str:
  """Return a checksum of a rule: version, thresholds and protocol."""
  if not rule.protocol:
    return digest_of_thresholds(claim, rule)
  return hashlib.sha256('\n'.join([digest_of_thresholds(claim, rule), rule.protocol]).encode()).hexdigest()[:12]


def digest_of_thresholds(claim: Claim, rule: Rule) -> str:
  """Return the checksum that records from before version 0.2 keep: version and thresholds."""
  text = '\n'.join([str(claim.number), str(rule.version), rule.supported_if, rule.contradicted_if])
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def marks_of(experiment: str, claims: Iterable[Claim]) -> str:
  """Return what a record of an experiment keeps of the rules in force: `3:<digest> 25:<digest>`."""
  return ' '.join(f'{c.number}:{digest(c, c.rules[-1])}' for c in claims if experiment in c.experiments)
