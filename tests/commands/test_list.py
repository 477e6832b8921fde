"""`--mode=list` names everything there is, each with one line."""

import main
from comparison import articles
from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.experiments import EXPERIMENTS
from configs import architectures, catalogue
from seqmodels.mixers import MIXERS
from tasks import TASKS
from tasks.datasets import CASES, LABELLED, SPEECH, VIDEOS, corpora, pairs, series


def test_everything_is_listed(capsys):
  assert main.main(['main.py', '--mode=list']) == 0
  out, err = capsys.readouterr()
  assert not err
  sections = {part.splitlines()[0].partition(' (')[0]: part.splitlines()[1:] for part in out.strip().split('\n\n')}
  names = {title: [line.split()[0] for line in lines] for title, lines in sections.items()}
  assert names == {
    'Tasks': list(TASKS),
    'Data sets': [*corpora.UNITS, *pairs.READ, *series.SERIES, *VIDEOS, *CASES, *LABELLED, *SPEECH],
    'Architectures': list(architectures.ARCHITECTURES),
    'Mixers': list(MIXERS),
    'Experiments': list(EXPERIMENTS),
    'Articles': list(articles.names()),
    'Claims': [str(number) for number in CLAIMS],
  }
  for lines in sections.values():
    for line in lines:
      assert len(line.split()) > 1, line
      assert len(line) <= 120


def test_an_architecture_is_described_by_its_fields():
  assert architectures.summary('lstm') == 'lstm in plain blocks'
  assert architectures.summary('bilstm') == 'lstm in plain blocks, read both ways'
  assert (
    architectures.summary('transformer') == 'attention in residual blocks, rotary positions, feed-forward 4 × width'
  )
  assert architectures.summary('hybrid').startswith('gated_delta*3+attention in residual blocks')
  assert "encoder lstm, the encoder's last state" in architectures.summary('seq2seq_lstm')
  assert architectures.summary('gla') == 'gla in residual blocks, feed-forward 4 × width'


def test_summaries_are_first_sentences():
  assert catalogue.mixer_summaries()['performer'].startswith('Performer: linear attention')
  assert catalogue.dataset_summaries()['enwik8'].startswith('Wikipedia with its markup')
