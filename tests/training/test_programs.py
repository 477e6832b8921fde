"""A step compiled for each shape of a batch: as many programs as shapes, and a resumed run ends as one that was not."""

import itertools
import json

import train
from configs.translation import get_config
from training import run as runs
from training.programs import shapes
from training.workdir import make_task, plain


def config(steps: int):
  return get_config(
    f'seq2seq_gru,steps={steps},vocabulary=350,width=4,depth=1,batch_size=4,length=32,buckets=3,schedule=constant,'
    'warmup_steps=0,log_every=1,eval_every=0,free_running=0,beams=1,length_penalty=0.0'
  )


def rows(workdir):
  found = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  return [row for row in found if row['split'] == 'train' or row['step'] == 8]


def test_batches_of_several_shapes_train_and_resume(tmp_path, monkeypatch):
  compiled, compile_ = [], runs.Programs.compile

  def counted(programs, state, batch):
    compiled.append(shapes(batch))
    compile_(programs, state, batch)

  monkeypatch.setattr(runs.Programs, 'compile', counted)
  task = make_task(plain(config(8)))
  met = {shapes(batch) for batch in itertools.islice(task.dataset('train', 4), 8)}
  train.train(config(8), tmp_path / 'whole')
  assert len(met) > 1
  assert len(set(compiled)) == len(compiled) == len(met) - 1  # the first is compiled before the loop
  train.train(config(3), tmp_path / 'parts')
  train.train(config(8), tmp_path / 'parts')
  assert rows(tmp_path / 'parts') == rows(tmp_path / 'whole')
  assert len(rows(tmp_path / 'whole')) == 8 + 2
