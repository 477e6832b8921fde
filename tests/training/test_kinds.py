"""A workdir is of one kind, by its files and by the processes that work in it."""

import json

import pytest

from seqmodels.errors import InputError
from training import kinds
from training.files import Lock

FILES = {
  kinds.RUN: ('config.json', '{}'),
  kinds.SWEEP: ('space.json', '{}'),
  kinds.COMPARISON: ('records-0-of-2.jsonl', '{"experiment": "order"}\n'),
}


@pytest.mark.parametrize('kind', FILES)
def test_files_of_another_kind_are_refused(kind, tmp_path):
  name, text = FILES[kind]
  (tmp_path / name).write_text(text)
  for own in FILES:
    if own == kind:
      kinds.check(tmp_path, own)
      continue
    message = f'--workdir={tmp_path} is of {kind} (it holds {name}); {own} needs another workdir'
    with pytest.raises(InputError) as caught:
      kinds.check(tmp_path, own)
    assert str(caught.value) == message
    with pytest.raises(InputError) as caught, Lock(tmp_path, own):
      pass
    assert str(caught.value) == message
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_records_of_a_sweep_are_its_own_without_its_space(tmp_path):
  """Which a damaged one is deleted from."""
  (tmp_path / 'records.jsonl').write_text('{"experiment": "sweep"}\n')
  kinds.check(tmp_path, kinds.SWEEP)
  with pytest.raises(InputError, match='is of a sweep'):
    kinds.check(tmp_path, kinds.COMPARISON)


def test_a_new_folder_and_unreadable_files_are_of_no_kind(tmp_path):
  kinds.check(tmp_path / 'new', kinds.RUN)
  (tmp_path / 'lock').write_bytes(b'\xff')
  (tmp_path / 'records.jsonl.lock').write_text(json.dumps({'host': 'a', 'pid': 1}))  # of an earlier version
  kinds.check(tmp_path, kinds.SWEEP)


def test_a_comparison_at_work_is_seen_before_its_first_row(tmp_path):
  with Lock(tmp_path, kinds.COMPARISON, 'records.jsonl.lock'):
    with Lock(tmp_path, kinds.COMPARISON, 'records-0-of-2.jsonl.lock'):
      pass
    for kind in (kinds.RUN, kinds.SWEEP):
      with pytest.raises(InputError, match=r'is of a comparison \(it holds records\.jsonl\.lock\)'):
        kinds.check(tmp_path, kind)
    left = (tmp_path / 'records.jsonl.lock').read_text()
  (tmp_path / 'records.jsonl.lock').write_text(left)  # by a process that was killed
  with Lock(tmp_path, kinds.RUN):
    pass
