"""Translation: pairs, sub-words, buckets, BLEU against sacrebleu, files of the user, what a workdir keeps."""

import collections
import gzip
import io
import json
import logging
import math
import os
import pathlib
import re

import jax
import numpy as np
import pytest
import sacrebleu
import sentencepiece

import eval as evaluation
import tasks
import train
from commands import generate
from configs.architectures import ARCHITECTURES
from configs.translation import get_config
from seqmodels.errors import InputError
from tasks import bleu, translation
from tasks.answers import answers
from tasks.base import Decoding, Shard
from tasks.identity import check_identity
from training import workdir as workdirs
from training.free_running import free_running
from training.settings import EvalSettings

SMALL = {'vocabulary': 400, 'length': 40}


def make(**options):
  return tasks.make('translation', SMALL | options)


@pytest.fixture
def log(caplog):
  caplog.set_level(logging.INFO, 'seqmodels')
  return caplog


def test_batches_hold_the_sentences_and_masks_say_which_tokens():
  task = make()
  texts = task.corpus.texts
  batch = task.arrays('test', np.array([5, 17, 2]))
  for row, number in enumerate((5, 17, 2)):
    source, targets = batch.source[row][batch.source_mask[row]], batch.targets[row][batch.weights[row] > 0]
    assert task.decode_source(source) == texts.sources['test'][number]
    assert task.decode(targets) == texts.targets['test'][number]
    assert source[-1] == targets[-1] == task.spec.start
    assert (source[:-1] > 0).all()
    assert batch.inputs[row].tolist() == [0, *batch.targets[row][:-1].tolist()]
    np.testing.assert_array_equal(task.encode(texts.sources['test'][number]), source)
    assert batch.extras['words'][row] == len(texts.targets['test'][number].split()) + 1


def test_the_other_direction_has_the_sides_exchanged():
  there, back = make(), make(pair='en-de')
  assert there.corpus.texts.sources == back.corpus.texts.targets
  assert (there.target_language, back.target_language) == ('en', 'de')
  separate = make(shared=False)
  assert separate.spec.source.size == separate.spec.input.size == 401
  assert separate.corpus.source_tokenizer != separate.corpus.target_tokenizer
  assert separate.decode_source(separate.encode('Der Hund lacht .')) == 'Der Hund lacht .'
  lower = make(lowercase=True)
  assert lower.corpus.texts.targets['test'] == [text.lower() for text in there.corpus.texts.targets['test']]
  assert lower.decode_source(lower.encode('Der Hund')) == 'der hund'


def test_training_batches_are_of_few_shapes_and_the_same_for_any_number_of_processes():
  task, shapes = make(length=32), set()
  whole, shards = (
    iter(task.dataset('train', 12, seed=4)),
    [iter(task.dataset('train', 4, seed=4, shard=Shard(i, 3))) for i in range(3)],
  )
  for _ in range(40):
    batch, parts = next(whole), [next(shard) for shard in shards]
    shapes.add(batch.inputs.shape[1])
    for name in ('inputs', 'targets', 'source', 'weights'):
      np.testing.assert_array_equal(getattr(batch, name), np.concatenate([getattr(part, name) for part in parts]))
    longest = max(batch.weights.sum(axis=1).max(), batch.source_mask.sum(axis=1).max())
    assert batch.source.shape == batch.inputs.shape
    assert batch.inputs.shape[1] == min(bound for bound in (8, 13, 21, 32) if bound >= longest)
  assert shapes == {8, 13, 21, 32}


def test_long_pairs_are_left_out_of_training_only_and_counted(log):
  task = make(length=20)
  lengths = task.corpus.lengths
  assert task.spec.length == 20
  assert make(length=10**9).spec.length == max(map(max, lengths.values())), 'no longer than what there is'
  assert task.count('train') == (lengths['train'] <= 20).sum() < 4000
  assert f'{(lengths["train"] > 20).sum():,} of 4,000 training pairs are longer than task.length=20' in log.text
  evaluations = task.evaluations()
  assert evaluations['test'].options == {'length': lengths['test'].max()}
  tokens = sum(batch.weights.sum() for batch in make(length=int(lengths['test'].max())).dataset('test', 64))
  assert tokens == task.corpus.targets['test'].lengths.sum()
  with pytest.raises(InputError, match=r'task.length=2 must be at least \d+, the shortest training pair'):
    make(length=2).dataset('train', 4)


def test_bleu_of_summed_statistics_is_that_of_sacrebleu():
  rng = np.random.default_rng(0)
  words = ['a', 'b', 'c', 'd,', 'E!', "f's", '3.5']
  for lowercase, language in ((False, 'en'), (True, 'en'), (False, 'zh')):
    references = [' '.join(rng.choice(words, rng.integers(1, 12))) for _ in range(30)]
    written = [' '.join(w for w in text.split() if rng.random() < 0.8) for text in references]
    sums = bleu.sentence_sums(written, references, language, lowercase)
    totals = {name: (total.sum(), weight.sum()) for name, (total, weight) in sums.items()}
    expected = sacrebleu.corpus_bleu(
      written, [references], lowercase=lowercase, tokenize='zh' if language == 'zh' else '13a'
    )
    assert bleu.corpus_score(totals)['bleu'] == pytest.approx(expected.score, rel=1e-12)
    assert bleu.corpus_score(totals)['length_ratio'] == pytest.approx(expected.ratio)
  assert expected.score > 1
  assert bleu.signature('de', True) == f'nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}'
  nothing = dict.fromkeys(bleu.PRECISIONS, (0.0, 0.0)) | {bleu.LENGTH: (0.0, 9.0)}
  assert bleu.corpus_score(nothing) == {'bleu': 0.0, 'length_ratio': 0.0}


def test_the_baselines_are_the_copied_source_and_the_unigram():
  task = make()
  found, texts = task.baselines(), task.corpus.texts
  expected = sacrebleu.corpus_bleu(texts.sources['test'], [texts.targets['test']]).score
  assert found['copied source']['bleu'] == pytest.approx(expected, rel=1e-12)
  assert found['unigram']['perplexity'] == pytest.approx(math.exp(found['unigram']['nats_per_word']))


def test_the_unigram_counts_the_training_pairs_alone():
  task = make(train_examples=5)
  seen, targets = ([*map(int, part.targets[part.weights > 0])] for part in (
    task.arrays('train', np.arange(5)), task.arrays('test', np.arange(task.count('test')))
  ))  # fmt: skip
  counts, size = collections.Counter(seen), task.spec.output.size
  nats = [-math.log((counts[target] + 1) / (len(seen) + size)) for target in targets]
  assert task.baselines()['unigram']['loss'] == pytest.approx(np.mean(nats))


class Oracle(tasks.TASKS['translation']):
  """Has the reference written, without its last word where that is long."""

  def free_running(self, model, params, batch, decoding=None):
    written = [self.decode(ids) for ids in batch.targets]
    written = [text.rpartition(' ')[0] if len(text) > 50 else text for text in written]
    return bleu.sentence_sums(written, [self.decode(ids) for ids in batch.targets], 'en', False)


def test_references_are_those_of_the_data_whatever_the_tokenizer_keeps(tmp_path):
  """A tokenizer that knows a few letters alone writes the others as <unk>, in the references too."""
  letters = io.BytesIO()
  lines = iter(['abc acb', 'bca', 'cab abc'])
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=lines, model_writer=letters, vocab_size=8, model_type='char', minloglevel=2
  )
  path = tmp_path / 'letters.model'
  path.write_bytes(letters.getvalue())
  task = make(tokenizer=str(path), length=100)
  batch = task.arrays('test', np.arange(5))
  assert task.decode(batch.targets[0]) != task.corpus.texts.targets['test'][0]
  nothing = lambda *_: [np.zeros(0, np.int32)] * 5
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(translation, 'answers', nothing)
    assert task._written(None, {}, batch, Decoding()) == ([''] * 5, list(task.corpus.texts.targets['test'][:5]))


@pytest.mark.parametrize('size', [1, 7, 64, 1000])
def test_bleu_does_not_depend_on_the_batch_size(size):
  task = Oracle(vocabulary=400)
  references = task.corpus.texts.targets['test'][:100]
  written = [text.rpartition(' ')[0] if len(text) > 50 else text for text in references]
  got = free_running(None, {}, task, task.evaluations()['test'], EvalSettings(size, free_running=100))
  assert got['bleu'] == pytest.approx(sacrebleu.corpus_bleu(written, [references]).score, rel=1e-12)
  assert 90 < got['bleu'] < 100


@pytest.mark.parametrize('name', [name for name, fields in ARCHITECTURES.items() if 'encoder_pattern' in fields])
def test_every_architecture_with_a_source_writes_by_itself(name):
  task = make(length=20)
  config = get_config(f'{name},vocabulary=400,length=20,width=16,depth=1')
  model = workdirs.make_model(workdirs.plain(config), task)
  params = model.init(jax.random.key(0))
  got = free_running(model, params, task, task.evaluations()['test'], EvalSettings(4, free_running=4, beams=2))
  assert 0 <= got['bleu'] < 5
  assert got['length_ratio'] > 0


def test_what_is_written_does_not_depend_on_the_padding():
  """Short sentences are padded less alone than beside a long one."""
  task = make(buckets=2)
  model = workdirs.make_model(
    workdirs.plain(get_config('encoder_decoder,vocabulary=400,length=40,width=16,depth=1')), task
  )
  params = jax.tree.map(lambda x: 2 * x, model.init(jax.random.key(1)))
  lengths = task.corpus.lengths['test']
  numbers = np.concatenate([np.flatnonzero(lengths <= 10)[:3], np.flatnonzero(lengths > 20)[:1]])
  together, alone = task.arrays('test', numbers), task.arrays('test', numbers[:3])
  assert together.source.shape[1] > alone.source.shape[1]
  first, second = (answers(model, params, batch, Decoding(3, 0.6), 12) for batch in (together, alone))
  assert len({row.tobytes() for row in second}) > 1
  for one, other in zip(first[:3], second, strict=True):
    np.testing.assert_array_equal(one, other)


def test_a_run_keeps_its_sub_words_and_translates(tmp_path, log, capsys):
  options = (
    'vocabulary=400,shared=False,train_examples=64,free_running=8,buckets=1,steps=4,eval_every=0,length=40,beams=2'
  )
  config = get_config(f'seq2seq_gru,scale=smoke,{options}')
  results = train.train(config, tmp_path)
  assert {'test/bleu', 'test/perplexity', 'validation/bleu'} <= results.keys()
  assert results['test/perplexity'] == pytest.approx(math.exp(results['test/nats_per_word']))
  assert (tmp_path / 'tokenizer.source.model').read_bytes() != (tmp_path / 'tokenizer.target.model').read_bytes()
  (start,) = json.loads((tmp_path / 'provenance.json').read_text())
  assert start['signatures'] == {'bleu': bleu.signature('en', False)}
  assert f'bleu: {bleu.signature("en", False)}' in log.text
  evaluation.main(tmp_path)
  assert f'bleu: {bleu.signature("en", False)}' in capsys.readouterr().out
  rows = [json.loads(line) for line in (tmp_path / 'eval.jsonl').read_text().splitlines()]
  assert {row['split']: row['bleu'] for row in rows}['test'] == results['test/bleu']
  task = workdirs.load(tmp_path).task
  assert task.tokenizer_file == str(tmp_path / 'tokenizer.source.model')
  generate.main(str(tmp_path), prompt=['Der Hund singt .'], length=5, beam=2)
  assert capsys.readouterr().out.startswith('Der Hund singt . → ')


def test_other_data_or_vocabularies_are_refused(tmp_path):
  recorded = json.loads(json.dumps(make().identity()))
  check_identity(recorded, make(length=30, buckets=2))
  for options, field in (({'vocabulary': 410}, 'vocabulary'), ({'pair': 'en-de'}, 'content.source.test')):
    with pytest.raises(InputError, match=f'{field}.* was sha256'):
      check_identity(recorded, make(**options))
  (tmp_path / 'tokenizer.model').write_bytes(make().kept_files()['tokenizer.model'])
  other = tmp_path / 'other.model'
  other.write_bytes(make(vocabulary=410).kept_files()['tokenizer.model'])
  with pytest.raises(InputError, match=r'task.tokenizer=.*other.model is not the tokenizer of the run'):
    make(tokenizer=str(other)).with_files(tmp_path)
  assert make(vocabulary=410).with_files(tmp_path).identity() == recorded


GERMAN = [f'Das ist der Satz Nummer {i} für Jörg .' for i in range(60)]
ENGLISH = [f'This is sentence number {i} for Jörg .' for i in range(60)]


def own(dataset, **options):
  return make(dataset=str(dataset), vocabulary=330, **options)


def refusal(dataset, **options):
  with pytest.raises(InputError) as caught:
    own(dataset, **options).corpus  # noqa: B018
  assert '\n' not in str(caught.value)
  return str(caught.value)


def write(path, lines, encoding='utf-8', end='\n'):
  path.write_bytes((end.join(lines) + end).encode(encoding))


def test_a_table_and_files_by_language_are_the_same_pairs(tmp_path, log):
  table, folder = tmp_path / 'pairs.tsv', tmp_path / 'corpus'
  folder.mkdir()
  write(table, [f'{a}\t{b}' for a, b in zip(GERMAN, ENGLISH, strict=True)], 'utf-8-sig', '\r\n')
  write(folder / 'all.de', GERMAN)
  write(folder / 'all.en', ENGLISH)
  write(folder / 'all.fr', ENGLISH)
  first, second = own(table, split='80/10/10'), own(folder, split='80/10/10', pair='de-en')
  assert first.corpus.texts.content == second.corpus.texts.content
  assert first.corpus.texts.sources['train'] == GERMAN[:48]
  assert first.corpus.texts.targets['test'] == ENGLISH[54:]
  assert 'its byte order mark is left out' in log.text
  assert '60 line ends CR LF are read as LF' in log.text
  assert 'all.fr: not read, since task.pair=de-en' in log.text
  assert own(table, pair='2-1').corpus.texts.sources['train'] == ENGLISH[:54]
  assert own(table).identity()['dataset'] == 'files'


def test_files_of_splits_are_these_splits(tmp_path):
  for split, (start, stop) in {'train': (0, 50), 'valid': (50, 55), 'test': (55, 60)}.items():
    write(tmp_path / f'{split}.de', GERMAN[start:stop])
    write(tmp_path / f'{split}.en', ENGLISH[start:stop])
  task = own(f'{tmp_path}/*', pair='en-de')
  assert {split: len(lines) for split, lines in task.corpus.texts.sources.items()} == {
    'train': 50, 'validation': 5, 'test': 5,
  }  # fmt: skip
  assert task.corpus.texts.targets['test'] == GERMAN[55:]
  (tmp_path / 'test.en').unlink()
  assert 'test.de has no counterpart: en-de needs both languages of each split' in refusal(
    f'{tmp_path}/*', pair='en-de'
  )


def test_empty_sides_are_left_out_and_counted(tmp_path, log):
  rows = [f'{a}\t{b}' for a, b in zip(GERMAN, ENGLISH, strict=True)]
  write(tmp_path / 'pairs.tsv', [*rows[:6], '', 'Allein .\t ', *rows[6:]])
  assert sum(map(len, own(tmp_path / 'pairs.tsv').corpus.texts.sources.values())) == 60
  assert '2 of 62 pairs have an empty side and are left out, the first is number 7' in log.text


@pytest.mark.parametrize(
  ('lines', 'encoding', 'message'),
  [
    (GERMAN, 'utf-8', 'pairs.tsv, line 1: 1 columns between tabs; 2 are needed'),
    (['a\tb', 'only'], 'utf-8', 'pairs.tsv, line 2: 1 columns between tabs'),
    (['a\tb', 'für\tfor'], 'latin1', 'is not UTF-8: byte 0xfc in line 2; convert it: iconv -f latin1'),
    (['a\tb'], 'utf-16', 'is UTF-16; convert it'),
    ([' \t ', ''], 'utf-8', 'the full split has no pair of sentences'),
    (['a\tb'] * 3, 'utf-8', "task.split='90/5/5' leaves nothing for validation: .* has 3 pairs only"),
    (['a\tb'] * 60, 'utf-8', 'task.vocabulary=330 does not fit the training text'),
  ],
)  # fmt: skip
def test_tables_that_cannot_be_read_are_one_line(tmp_path, lines, encoding, message):
  write(tmp_path / 'pairs.tsv', lines, encoding)
  found = refusal(tmp_path / 'pairs.tsv')
  assert re.search(message, found), found


def test_files_that_do_not_fit_together_are_one_line(tmp_path):
  write(tmp_path / 'a.de', GERMAN)
  write(tmp_path / 'a.en', ENGLISH[1:])
  where = f'{tmp_path}/a.*'
  assert 'a.de has 60 lines and ' in (found := refusal(where, pair='de-en'))
  assert found.endswith('a.en has 59: line i must translate line i')
  assert 'task.pair=auto must name the languages' in refusal(where)
  assert 'its suffixes: de, en' in refusal(where)
  assert 'has no file that ends in .fr' in refusal(where, pair='de-fr')
  (tmp_path / 'a.en').write_bytes(b'')
  assert 'a.en is empty: 0 bytes; pairs of sentences are needed' in refusal(where, pair='de-en')
  write(tmp_path / 'a.tsv', ['a\tb'])
  assert 'has tables and other files' in refusal(where, pair='de-en')
  assert "task.pair='de-en': the first line of " in (found := refusal(tmp_path / 'a.tsv', pair='de-en'))
  assert found.endswith('a.tsv has other names: a, b')


@pytest.mark.parametrize(
  ('header', 'pair'),
  [('Source\tTarget', 'auto'), ('de\ten', '1-2'), ('de\ten', 'de-en'), ('German\tEnglish', 'German-English')],
)
def test_a_header_is_no_pair(tmp_path, header, pair):
  write(tmp_path / 'a.tsv', [header, *(f'{a}\t{b}' for a, b in zip(GERMAN, ENGLISH, strict=True))])
  found = own(tmp_path / 'a.tsv', split='80/10/10', pair=pair).corpus.texts
  assert found.sources['train'] == GERMAN[:48]
  assert found.targets['train'] == ENGLISH[:48]


def test_short_words_are_a_pair_of_a_table_of_words(tmp_path):
  words = [('ab', 'off'), *((f'wort{i}', f'word{i}') for i in range(59))]
  write(tmp_path / 'a.tsv', [f'{a}\t{b}' for a, b in words])
  assert own(tmp_path / 'a.tsv', split='80/10/10').corpus.texts.sources['train'] == [a for a, _ in words[:48]]


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'dataset': 'multi30'}, "task.dataset='multi30' is not known; nearest: multi30k"),
    ({'dataset': 'multi30k', 'pair': 'de-fr'}, 'task.pair of multi30k'),
    ({'pair': 'deen'}, "task.pair='deen' must be source-target"),
    ({'split': '80/10/10'}, "task.split='80/10/10' is not offered for phrases"),
    ({'length': 1}, 'task.length=1 must be at least 2'),
    ({'vocabulary': -1}, 'task.vocabulary=-1'),
    ({'buckets': 0}, 'task.buckets=0 must be from 1 to 32'),
    ({'buckets': 33}, 'task.buckets=33 must be from 1 to 32'),
    ({'length': -5}, 'task.length=-5 must be at least 2'),
    ({'target_tokenizer': 'a.model'}, 'task.target_tokenizer=a.model has no meaning with task.shared=True'),
    ({'shared': False, 'tokenizer': 'a.model'}, 'must both be given'),
  ],
)
def test_bad_options_are_one_line(options, message):
  with pytest.raises(InputError, match=message):
    make(**options)


def test_multi30k_has_the_published_counts():
  folder = os.environ.get('SEQMODELS_DOWNLOADS_DIR')
  if not folder or not (pathlib.Path(folder) / 'multi30k').is_dir():
    pytest.skip('no raw files of Multi30k: set SEQMODELS_DOWNLOADS_DIR')
  task = tasks.make('translation', {'dataset': 'multi30k', 'vocabulary': 1000})
  assert {split: len(lines) for split, lines in task.corpus.texts.sources.items()} == {
    'train': 29_000, 'validation': 1014, 'test': 1000,
  }  # fmt: skip
  with gzip.open(f'{folder}/multi30k/test_2016_flickr.en.gz', 'rt', encoding='utf-8') as file:
    references = file.read().splitlines()
  assert [task.decode(ids) for batch in task.dataset('test', 100) for ids in batch.targets] == references
