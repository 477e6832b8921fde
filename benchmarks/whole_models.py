"""Training steps and greedy decoding of whole models."""

import shutil
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.work import OURS, Absent, Sides, Work, check, torch_device
from comparison.experiments.training_time import training_step
from comparison.experiments.variants import Variant, random_params, token_spec
from seqmodels import models
from seqmodels.decoding import sampling as generate
from tasks.copying import Copying

VOCABULARY = 256
GENERATED = 512
LAYERS: dict[str, dict[str, Any]] = {
  'gpt': {'depth': 4, 'width': 256, 'heads': 4, 'norm': 'layer', 'position': 'learned'},
  'lstm': {'depth': 2, 'width': 512},
  'gpt_small': {'depth': 12, 'width': 768, 'heads': 12, 'norm': 'layer', 'position': 'learned', 'dtype': 'bfloat16'},
}
SHAPES = {'gpt': (16, 256), 'lstm': (32, 128), 'gpt_small': (16, 1024)}  # batch, length
LARGEST_DEVIATION = 1e-3  # of the loss after a few steps


def works() -> list[Work]:
  return [
    Work('GPT step 4×256 b16 t256', 'gpt', 1.15, 0.95, partial(step, 'gpt')),
    Work('LSTM language-model step 2×512 b32 t128', 'lm', 1.15, 1.0, partial(step, 'lstm')),
    Work('GPT step 12×768 b16 t1024 bfloat16', 'gpt_gpu', None, None, partial(step, 'gpt_small')),
    Work('decoding 512 tokens, GPT 4×256 b1', 'decode', 0.5, 0.28, partial(decoding, 'gpt')),
    Work('decoding 512 tokens, LSTM 2×512 b1', 'decode', 0.15, 0.06, partial(decoding, 'lstm')),
  ]


def build(name: str, length: int) -> models.Model:
  architecture = 'lstm' if name == 'lstm' else 'transformer'
  return Variant(architecture).build(token_spec(length, VOCABULARY), **LAYERS[name])


def in_torch(name: str, params: Any) -> Any:
  """Return the same model in PyTorch, and its logits as a function of (model, tokens)."""
  from benchmarks import torch_models

  if name != 'lstm':
    model = torch_models.GPT(params, LAYERS[name]['heads']).to(torch_device())
    return model, lambda model, tokens: model(tokens)
  lstm = torch_models.LanguageLSTM(params).to(torch_device())
  return lstm, lambda model, tokens: model(tokens)[0]


def step(name: str) -> Sides:
  """Measure a step with AdamW and clipping, against PyTorch eager and, where it finds a compiler, `torch.compile`."""
  if name == 'gpt_small' and torch_device() == 'cpu':
    raise Absent('for GPUs')
  batch, length = SHAPES[name]
  task = Copying(symbols=VOCABULARY - 2, items=10, lag=length - 20)
  model = build(name, length)
  compiled, ours = training_step(model, task, batch)
  data = task.arrays('train', np.arange(batch))
  sides = {'PyTorch': False} | ({'torch.compile': True} if shutil.which('c++') or torch_device() == 'cuda' else {})
  calls, theirs = {OURS: ours}, {}
  for side, with_compiler in sides.items():
    theirs[side] = torch_step(name, random_params(model), data, with_compiler)
    calls[side] = theirs[side]
  off = 0.0
  for _ in range(3):  # the same parameters, the same data: the losses must stay together
    loss = float(ours()['loss'])
    off = max(off, *(abs(float(call()) - loss) / loss for call in theirs.values()))
  check(off, LARGEST_DEVIATION, name)
  rows = [{'metric': 'temporary_bytes', 'value': compiled.temporary_bytes, 'unit': 'B', 'side': OURS}]
  return Sides(calls, off, columns=columns(name, batch, length), rows=rows)


def torch_step(name: str, params: Any, data: Any, compiled: bool) -> Any:
  from benchmarks import torch_models

  network, logits = in_torch(name, params)
  dtype = LAYERS[name].get('dtype', 'float32')
  return torch_models.training_step(network, logits, data.inputs, data.targets, compiled, dtype)


def decoding(name: str) -> Sides:
  """One compiled loop against a PyTorch eager loop with a cache (GPT) or a state (LSTM), greedy, from one token."""
  from benchmarks import torch_models

  model = build(name, GENERATED + 1)
  params = random_params(model)
  sampling = generate.Sampling(temperature=0)
  prompt, key = jnp.zeros((1, 1), jnp.int32), jax.random.key(0)
  call = lambda: next(generate.generate(model, params, prompt, GENERATED, key=key, sampling=sampling))
  network, _ = in_torch(name, params)
  loop: Any = torch_models.generate_gpt if name == 'gpt' else torch_models.generate_lstm
  theirs = partial(loop, network, 0, GENERATED)
  same = float(np.mean(np.asarray(call())[0] == np.asarray(theirs().cpu())[0]))
  if same < 0.1:  # one near tie changes everything after it, so that the texts need not be the same to their ends
    raise AssertionError(f'{name}: only {same:.0%} of the decoded tokens agree')
  return Sides({OURS: call, 'PyTorch': theirs}, 1 - same, columns=columns(name, 1, GENERATED))


def columns(name: str, batch: int, length: int) -> dict[str, Any]:
  about = {'batch': batch, 'length': length, 'width': LAYERS[name]['width'], 'depth': LAYERS[name]['depth']}
  return {**about, 'dtype': LAYERS[name].get('dtype', 'float32')}
