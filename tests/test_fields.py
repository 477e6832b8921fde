"""One checker for all fields: the same rules for text and for values."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from seqmodels import fields
from seqmodels.errors import InputError, cut, one_line, shown, unknown


@pytest.mark.parametrize(
  ('kind', 'text', 'value'),
  [
    (int, '1000', 1000),
    (int, '1e3', 1000),
    (int, '1_000', 1000),
    (int, '-5', -5),
    (float, '1', 1.0),
    (float, '1e-3', 0.001),
    (bool, 'TRUE', True),
    (bool, '0', False),
    (str, 'None', 'None'),
    (tuple, 'lstm*2+conv:dilation=2', ('lstm', 'lstm', 'conv:dilation=2')),
    (tuple, "('lstm', 'gru')", ('lstm', 'gru')),
    (tuple[str, ...], "['lstm']", ('lstm',)),
    (type(None), '3', 3),
    (type(None), 'x', 'x'),
  ],
)
def test_text_is_read_as_the_type_of_the_field(kind, text, value):
  found = fields.read('f', text, kind)
  assert found == value
  assert type(found) is type(value)
  assert fields.check('f', found, kind) == value  # what was read passes the check


@pytest.mark.parametrize('text', ['0x10', '1.5', '1M', '', 'inf', 'nan', '1e12', '9' * 5000, '1e999', '²', 'None'])
def test_what_is_no_whole_number_is_refused(text):
  with pytest.raises(InputError, match=r'^f=.* must be a whole number'):
    fields.read('f', text, int)


@pytest.mark.parametrize('text', ['inf', 'nan', '-inf', '1e39', '9' * 5000, '', 'x'])
def test_what_float32_cannot_hold_is_refused(text):
  with pytest.raises(InputError, match=r'^f=.* must be a finite number'):
    fields.read('f', text, float)


@pytest.mark.parametrize(
  ('kind', 'value'),
  [
    (int, True), (int, '3'), (int, None), (float, True), (float, 1e39), (float, '1'), (bool, 1), (str, 3),
    (tuple, 3), (tuple, ('a', 3)), (dict, ()), (float, float('nan')),
  ],
)  # fmt: skip
def test_values_of_another_type_are_refused(kind, value):
  with pytest.raises(InputError, match=r'^f=') as caught:
    fields.check('f', value, kind)
  assert len(str(caught.value)) < 200


@pytest.mark.parametrize('kind', [int, float])
def test_numbers_of_very_many_digits_are_refused(kind):
  with pytest.raises(InputError, match=r'^f=a number of more than 4,300 digits must be'):
    fields.check('f', 10**5000, kind)


def test_whole_floats_are_ints_and_ints_are_floats():
  assert fields.check('f', 1e5, int) == 100_000
  assert type(fields.check('f', 1e5, int)) is int
  assert type(fields.check('f', 1, float)) is float


def test_seeds_have_one_bit_more():
  assert fields.read('train.seed', str(2**32 - 1), int) == 2**32 - 1
  with pytest.raises(InputError, match=r'train\.steps'):
    fields.read('train.steps', str(2**32 - 1), int)


def test_patterns_are_bounded_before_they_are_repeated():
  for text in ('lstm*999999999', 'lstm*9999+gru*9999', 'lstm+' * 20_000):
    with pytest.raises(InputError, match='at most 10,000 entries'):
      fields.parse_pattern(text)
  with pytest.raises(InputError, match='at most 10,000 are allowed'):
    fields.check('f', ['lstm'] * 20_000, tuple)
  assert len(fields.parse_pattern('lstm*10000')) == 10_000


def test_fields_of_a_dataclass():
  @dataclass
  class Settings:
    steps: int = 1
    names: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)

  found = fields.checked_fields(Settings, {'steps': 1e3, 'names': 'a+b', 'more': {'x': 1}}, 'train')
  assert found == {'steps': 1000, 'names': ('a', 'b'), 'more': {'x': 1}}
  with pytest.raises(InputError, match="train field='stepz' is not known; nearest: steps"):
    fields.checked_fields(Settings, {'stepz': 1}, 'train')


def test_options_of_an_entry_have_the_types_of_their_defaults():
  defaults = {'heads': 0, 'rate': 0.5, 'position': 'none', 'redraw': False, 'feature_seed': 0}
  found = fields.read_entry('m:heads=1e1:rate=1:position=rotary:redraw=true:feature_seed=0', defaults)
  assert found == {'heads': 10, 'rate': 1.0, 'position': 'rotary', 'redraw': True, 'feature_seed': 0}
  for entry in ('m:heads=abc', 'm:heads=0.5', 'm:heads=0', 'm:heads', 'm:=3', 'm:head=3', 'm:heads=1:heads=2'):
    with pytest.raises(InputError):
      fields.read_entry(entry, defaults)


def test_messages_cut_what_is_long():
  assert cut('x' * 80) == 'x' * 80
  assert len(cut('x' * 81)) == 80
  assert shown('ab') == "'ab'"
  assert len(shown('x' * 10_000)) == 80
  assert shown(10**5000) == 'a number of more than 4,300 digits'
  assert len(str(unknown('f', 'x' * 10_000, ['a', 'b']))) < 150
  assert one_line('a\n  b\tc') == 'a b c'
  assert len(one_line('x' * 10_000)) == 320


def test_hints_know_the_names_of_other_projects():
  assert 'nearest: learning_rate' in str(unknown('f', 'lr', ['layers', 'learning_rate']))
  assert 'nearest: layers' in str(unknown('f', 'layer', ['layers', 'learning_rate']))
  assert 'learning_rate' not in str(unknown('f', 'lr', ['layers']))
