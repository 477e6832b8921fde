"""The numbers of `--mode=describe` are what the traced programs of the model do."""

import re

import jax
import jax.numpy as jnp
import pytest

import configs.language
from commands import describe
from tests.contractions import count
from training import workdir as workdirs

MASKED = 1.25  # pairs that no token sees are in the programs, not in the figures
CONFIGS = {
  'transformer': (128, 0, MASKED),
  'transformer,position=relative': (128, 0, MASKED),
  'transformer_xl,segment=0': (128, 0, MASKED),
  'transformer_xl': (128, 128, MASKED),
  'transformer_xl,segment=64,memory=192': (64, 192, MASKED),
  'sliding_window,segment=64': (64, 128, MASKED),
  'lstm,segment=32': (32, 128, 1.0),
  'gla': (128, 0, 1.0),
  'griffin': (128, 0, 1.05),
  'linformer_encoder,objective=masked': (128, 0, 1.0),
}


def number(text: str) -> float:
  return float(text.partition(' ')[0].replace(',', ''))


@pytest.mark.parametrize(('arg', 'read'), CONFIGS.items(), ids=CONFIGS)
def test_flops_are_the_programs(arg, read, capsys):
  config = configs.language.get_config(arg)
  describe.main(config)
  rows = dict(re.split('  +', line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
  plain = workdirs.plain(config)
  model = workdirs.make_model(plain, workdirs.make_task(plain))

  def counted(length, memory):
    state = jax.eval_shape(lambda: model.init_state(1, memory)) if memory else None
    tokens = jax.ShapeDtypeStruct((1, length), jnp.int32)
    return count(model.apply, model.abstract_params, tokens, state) / length

  segment, memory, masked = read
  line = rows['training FLOPs per token']
  assert line.endswith(f'in segments of {segment}, attention to the last {memory}' if memory else 'at length 128')
  assert 0.98 < 3 * counted(segment, memory) / number(line) <= 1.01 * masked
  for position in (1, 100, 4000) if model.spec.kind == 'causal' else ():
    assert counted(1, position) == pytest.approx(number(rows[f'at position {position:,}']), rel=0.02)
