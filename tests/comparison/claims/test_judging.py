"""Which rule judges which records: the one in force; no verdict of a smoke run, or of a GPU from a CPU."""

import dataclasses
import re

import pytest

from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.claims import judging
from comparison.claims.base import FIRST, Claim, Rule, Verdict
from comparison.report import html, markdown, tally
from comparison.report.page import Section

OLD, MIDDLE, NEW = '2026-01-01 10:00', '2026-02-01 10:00', '2026-03-01 10:00'


def judge_of(status, number):
  return lambda records: Verdict(status, number, '×', number, number, about=f'rule with {number:g}')


CLAIM = Claim(
  999, 'Title', 'A statement.', 'A protocol.', 'above 3', 'below 3', ('timing',), judge_of('contradicted', 3.0),
  revised='it was too kind', since=NEW,
  earlier=(Rule(1, OLD, 'above 1', 'below 1', judge_of('supported', 1.0)), Rule(2, MIDDLE, 'above 2', 'below 2')),
)  # fmt: skip


def row(when, **columns):
  return {
    'experiment': 'timing', 'metric': 'seconds', 'value': 1.0, 'scale': 'laptop', 'device': 'cpu',
    'time': judging.seconds(when) + 1, **columns,
  }  # fmt: skip


def test_a_rule_that_was_written_while_a_cell_ran_does_not_bind_it():
  hours = {**row(NEW), 'seconds': 3600.0}  # which ended a second after the rule was written
  assert judging.judge(CLAIM, [hours]).rule == 1  # the second has no judge
  assert judging.judge(CLAIM, [{**hours, 'seconds': 0.5}]).rule == 3


def test_the_rule_in_force_when_the_first_record_was_measured_judges():
  verdict = judging.judge(CLAIM, [row(OLD), row(NEW)])
  assert (verdict.status, verdict.rule, verdict.number) == ('supported', 1, 1.0)
  (note,) = verdict.notes
  assert 'Rule 1 was in force' in note
  assert f'By rule 3, which was written later ({NEW} UTC)' in note
  assert 'contradicted (3 ×, rule with 3)' in note
  fresh = judging.judge(CLAIM, [row(NEW)])
  assert (fresh.status, fresh.rule, fresh.notes) == ('contradicted', 3, ())


def test_a_rule_without_a_judge_passes_its_records_to_the_one_before():
  assert judging.in_force(CLAIM, [row(MIDDLE)]).version == 1


def test_records_older_than_every_rule_say_so():
  verdict = judging.judge(CLAIM, [{**row(OLD), 'time': judging.seconds(OLD) - 5}])
  assert (verdict.status, verdict.rule, verdict.number) == ('not judged', 1, 1.0)
  assert f'the rule is younger than these records: it was written {OLD} UTC' in verdict.reason
  assert 'would be supported' in verdict.reason


def test_records_tell_when_their_rule_is_not_listed():
  marks = judging.marks_of('timing', [CLAIM])
  assert re.fullmatch('999:[0-9a-f]{12}', marks)
  assert judging.marks_of('another', [CLAIM]) == ''
  assert judging.judge(CLAIM, [row(NEW, rules=marks)]).notes == ()
  before = ' '.join(f'999:{judging.digest_of_thresholds(CLAIM, rule)}' for rule in CLAIM.rules[-1:])
  assert before != marks
  assert judging.judge(CLAIM, [row(NEW, rules=before)]).notes == ()
  other = dataclasses.replace(CLAIM, protocol='Another protocol.')
  (note,) = judging.judge(other, [row(NEW, rules=marks)]).notes
  assert 'not listed here' in note
  kept = dataclasses.replace(CLAIM.rules[-1], since=MIDDLE)
  listed = dataclasses.replace(other, earlier=(*CLAIM.earlier[:1], CLAIM.earlier[1], kept))
  assert not any('not listed' in note for note in judging.judge(listed, [row(NEW, rules=marks)]).notes)
  changed = dataclasses.replace(CLAIM, supported_if='above 2.9')
  (note,) = judging.judge(changed, [row(NEW, rules=f'7:abc {marks}')]).notes
  assert 'measured under a rule that is not listed here' in note
  assert judging.judge(changed, [row(NEW, rules='damaged 7: 999')]).notes == ()


def test_smoke_has_numbers_and_no_verdict():
  verdict = judging.judge(CLAIM, [row(NEW, scale='smoke')])
  assert (verdict.status, verdict.number) == ('not judged', 3.0)
  for text in words(CLAIM, verdict):
    assert not re.search('supported(?! if)|contradicted(?! if)|undecided|mixed', text.lower())


def test_a_cell_that_failed_says_why_nothing_was_measured():
  failed = {'metric': 'failed', 'value': None, 'error': 'InputError: x.csv is in no folder'}
  verdict = judging.judge(CLAIM, [row(NEW, **failed)])
  assert verdict.status == 'not measured here'
  assert verdict.reason == 'needs the experiment timing (InputError: x.csv is in no folder)'


def test_a_statement_about_gpus_has_no_verdict_from_a_cpu():
  claim = dataclasses.replace(CLAIM, speaks_of='GPUs')
  verdict = judging.judge(claim, [row(NEW)])
  assert (verdict.status, verdict.here, verdict.number) == ('not measured here', 'contradicted', 3.0)
  for text in words(claim, verdict):
    assert 'here: ✘ contradicted; on a GPU: not measured' in text
  assert judging.judge(claim, [row(NEW, device='gpu')]).status == 'contradicted'


def test_a_statement_about_phones_has_no_verdict_from_any_device():
  claim = dataclasses.replace(CLAIM, speaks_of='phones')
  for device in ('cpu', 'gpu', None):
    verdict = judging.judge(claim, [row(NEW, device=device)])
    assert (verdict.status, verdict.here, verdict.number) == ('not measured here', 'contradicted', 3.0)
    assert verdict.notes == ()
    for text in words(claim, verdict):
      assert 'here: ✘ contradicted; on a phone: not measured' in text


def test_the_sentence_on_all_verdicts_names_the_devices_that_were_not_there():
  found = Verdict('not measured here', here='supported', elsewhere='somewhere')
  about = [Section(dataclasses.replace(CLAIM, speaks_of=of), found, '') for of in ('phones', 'GPUs', 'GPUs')]
  page = type('Page', (), {'sections': about, 'rest': ()})
  assert '3 more speak of GPUs or phones, with a number from this device alone' in tally.sentence(page)
  page.sections, page.rest = about[:1], (1, 2)
  text = tally.sentence(page)
  assert '1 more speaks of phones, with' in text
  assert text.endswith('2 have no measurement here.')


def test_the_sentence_on_all_verdicts_adds_up_to_the_statements():
  statuses = ('fact', 'fact', 'mixed', 'not judged', 'not measured here')
  found = [Section(CLAIM, Verdict(status), '') for status in statuses]
  page = type('Page', (), {'sections': found, 'rest': range(4)})
  assert tally.sentence(page) == (
    '3 of the 9 statements have a verdict here: 1 mixed, 2 facts. 1 more has numbers that were measured before their '
    'rule was written. 5 have no measurement here.'
  )


def test_what_follows_from_a_definition_is_a_fact():
  claim = dataclasses.replace(CLAIM, definition=True)
  assert judging.judge(claim, [row(OLD)]).status == 'fact'
  assert judging.judge(claim, [row(NEW)]).status == 'contradicted'
  assert {number for number, claim in CLAIMS.items() if claim.definition} == {29, 50}


def words(claim, verdict):
  """Return the text of both pages on one claim."""
  section = Section(claim, verdict, 'python main.py')
  page = type('Page', (), {'sections': (section,)})
  return [
    '\n'.join([*markdown.claim(section, ()), markdown.verdicts(page)]),
    re.sub('<[^>]*>', '', html.claim(section, (), page) + html.verdicts(page)),
  ]


def test_learning_rates_at_the_edge_are_counted_by_cells():
  cell = lambda name, architecture, best: [
    row(NEW, architecture=architecture, cell=name, learning_rate=rate, rates=[1e-3, 3e-3, 1e-2], seed=seed,
        selection=None if rate == 1e-2 and best != 1e-2 else -abs(rate - best))
    for rate in (1e-3, 3e-3, 1e-2) for seed in (0, 1)
  ]  # fmt: skip
  records = cell('a', 'lstm', 1e-2) + cell('b', 'lstm', 3e-3) + cell('c', 'transformer', 3e-3) + cell('d', 'gru', 1e-3)
  (note,) = (note for note in judging.judge(CLAIM, records).notes if 'learning rate' in note)
  assert note.endswith(': gru 1 of 1, lstm 1 of 2')
  alone = [{**r, 'rates': [r['learning_rate']]} for r in records]
  assert not any('learning rate' in note for note in judging.judge(CLAIM, alone).notes)


# A rule that changes gets a new version, and a checksum here. Records keep that of the rule they were measured under.
RULES = {
  1: {1: '57ce9cd494e6', 2: '25e8148d5d1b', 3: 'bd09a9830af2', 4: 'd4aa2f8e9ca7'},
  2: {1: 'f5d9c3316fb8', 2: '886a4b75cfc9'},
  3: {1: '6c0cd40f19c4', 2: '4c57250abfe8', 3: '27008b560794'},
  4: {1: 'b7b3d6dab23b', 2: '1c025281a280'},
  5: {1: '8fe93da5c135', 2: 'bed34ac82016'},
  6: {1: '28d92cb7a624', 2: '13bcecbf497a'},
  7: {1: '31ebfffddc39', 2: '789f69b43fe9', 3: '3ab76ed7d485'},
  8: {1: 'b921815f728f', 2: 'b061b078557c'},
  9: {1: '5af1b1de2a72', 2: 'af45cbfbdbe5', 3: '5da3549d6f2a'},
  10: {1: '49225bca0d68', 2: '1a9b112d0097', 3: '48c2f745340f'},
  11: {1: 'd626ed6c3193'},
  12: {1: '535a2878b468'},
  13: {1: '79ff06986ab3', 2: 'eb6ae0b9526c'},
  14: {1: '1a872e10aaa7', 2: '57547a7d0615'},
  15: {1: '634c056f66ff', 2: '462d00ded141', 3: '19d9213fc3e4'},
  16: {1: '9c6563d39ca2', 2: '011ac52e299e', 3: 'e683beb2da47'},
  17: {1: '85601443c76e', 2: '95cc8266cfcc'},
  18: {1: '47fd5589c0af'},
  19: {1: 'daaac25e9e55', 2: '40efe9a470d8'},
  20: {1: '34088a46c5a8', 2: '1a9f3572758c', 3: '865824b5f191'},
  21: {1: '9f488b09e453', 2: '0d521563a147', 3: '5be72121fef8', 4: 'ee40c9cbe12c'},
  22: {1: 'b0c293d30d94', 2: '6c1b88314601'},
  23: {1: '2ba9c877804c', 2: '5758ca840123'},
  24: {1: '48846fa052bb', 2: '7b2fd5012c0e', 3: '764f2201cff3'},
  25: {1: 'eb49ad0c4580', 2: '60426f5b3fa8', 3: 'f3e72c2c0be7'},
  26: {1: '98bb644c2768', 2: 'f55aad3790b6', 3: '429f968e2f0e'},
  27: {1: '6d0b6769f770', 2: '852f905e3a0c', 3: 'aebc563e37e9'},
  28: {1: 'c0c8f83d76a9'},
  29: {1: 'ae37d0bd5d73'},
  30: {1: 'ab1c90f8ac05'},
  31: {1: 'ce2651707c43', 2: 'd65f3cbcadde'},
  32: {1: 'fa6a6bf901db'},
  33: {1: '361398cf3ec8'},
  34: {1: '97000f116f21', 2: 'ae570387fb51'},
  35: {1: '8680a4c95dbf', 2: '9dbdeee7fc91', 3: '14bf74ea1a96', 4: 'e40d6af92f12'},
  36: {1: '2b2d433b2f2a', 2: '62b881e5edcf'},
  37: {1: '884d858e335a'},
  38: {1: '801316e56357'},
  39: {1: 'c4b678a0a108', 2: '04131dc836de'},
  40: {1: '2b284af12b0e', 2: '2b8f1b7d2281'},
  41: {1: 'df2c7e688f3b', 2: '697f09e7e782'},
  42: {1: '88f4ea72761f', 2: 'a2cb5a3eabab'},
  43: {1: 'fcb0eea707ee', 2: 'e90ed9024e4e', 3: '4570788ed6e5'},
  44: {1: '9177f6efe27e', 2: '6b791b80390f'},
  45: {1: '1a4f89264155', 2: 'b83e51d02fc9'},
  46: {1: '3ed78760a715', 2: '006c12a3bdf1'},
  47: {1: '25a209f28573', 2: '4e1978988951'},
  48: {1: '0b23254728ae', 2: '8435a6d27145', 3: 'b8929389b126'},
  49: {1: 'b4e0ce1c1430'},
  50: {1: '9eacdf007703'},
  51: {1: '1fc02379c859'},
  52: {1: 'ffdd05475b79'},
  53: {1: 'b06a5dbbf784', 2: '1edb9ea19344'},
  54: {1: 'dc9e561df695'},
  55: {1: '5c1b4b39cddb'},
  56: {1: '2d0ef4bc3ece', 2: 'b539069be5e1'},
  57: {1: '30b3b2d95c0e'},
  58: {1: '9eb73099614a', 2: 'c76c7a852813'},
  59: {1: '2f8aba0868b2', 2: 'cfd21e19e248'},
  60: {1: 'fd56a3b55984', 2: '07ba8425c072'},
}

# The checksum of the present rule with its protocol, which changes with either. A protocol that changes is a new rule;
# the one before keeps its own in `Rule.protocol`.
PROTOCOLS = {
  1: '94f98dc75268',
  2: '26818f6430ff',
  3: 'cf0133d96b37',
  4: 'f56f85363a1f',
  5: '88210efab536',
  6: '66cadfbea4e9',
  7: '4ad67fccdd84',
  8: '20087f657976',
  9: 'a76ff046965b',
  10: 'df405b64a115',
  11: '191babe399c0',
  12: 'f6681ba51473',
  13: 'f866ab177a69',
  14: '7c0ef89aa959',
  15: '412e8777d6f3',
  16: '177bca4c6b17',
  17: '2c00d4872580',
  18: 'baae4c054b4c',
  19: '3a3ea873d926',
  20: '91a3a8d1fafd',
  21: '008410657146',
  22: '78101e899c21',
  23: '346e9fdb9902',
  24: '0febc9cdf25c',
  25: 'b74e9c00a866',
  26: 'e4742f1f5b46',
  27: '277a2f7fe475',
  28: '911fd8ed703d',
  29: '1f719bd914cd',
  30: '9d4d918cf4ed',
  31: 'ec9c8ae11ed6',
  32: '329591c9f36f',
  33: '5bfe52f46350',
  34: '4c1ee2228bdd',
  35: '041ebd429483',
  36: '244ea2480979',
  37: '951363c6761f',
  38: '72cd3523857e',
  39: '545f145dc53e',
  40: 'c6bfdb093e25',
  41: 'e7ec7816490e',
  42: 'c2f9ed1df830',
  43: '3da08c83006c',
  44: '8c1cf5638c46',
  45: '7b5c00b05108',
  46: 'acfeaa40a04d',
  47: '0f57b3677582',
  48: 'b87d6c39f5cc',
  49: 'c88e3d652606',
  50: '50d0532afde6',
  51: '404b9a0a77a3',
  52: 'e1700e5a5587',
  53: 'ed75cfc7ebe4',
  54: 'b89d2777768b',
  55: 'afb8e32948c4',
  56: 'b56ea4f2301c',
  57: 'a6cc9816a93e',
  58: 'b46433755049',
  59: '34dabfa358e1',
  60: 'b0d38fe575a5',
}


@pytest.mark.parametrize('number', list(CLAIMS))
def test_no_rule_changes_without_a_new_version(number):
  claim = CLAIMS[number]
  assert {rule.version: judging.digest_of_thresholds(claim, rule) for rule in claim.rules} == RULES[number]
  assert judging.digest(claim, claim.rules[-1]) == PROTOCOLS[number]
  times = [rule.since for rule in CLAIMS[number].rules]
  assert times == sorted(set(times))
  assert times[0] >= FIRST
