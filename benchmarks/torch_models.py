"""The models of the comparison in PyTorch, with this project's parameters. Imported only where PyTorch is."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.work import to_torch
from seqmodels.models import layout

Params = dict[str, Any]
Cache = list[tuple[torch.Tensor, torch.Tensor]]


class Linear(nn.Module):
  """y = x w + b with w [d n], as here."""

  def __init__(self, params: Params) -> None:
    super().__init__()
    kernel = params['kernel']
    self.linear = nn.Linear(*kernel.shape, bias='bias' in params)
    _set(self.linear.weight, kernel.T)
    if 'bias' in params:
      _set(self.linear.bias, params['bias'])

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return self.linear(x)


class Attention(nn.Module):
  """Causal self-attention over `scaled_dot_product_attention`; with a cache, one token at a time."""

  def __init__(self, params: Params, heads: int) -> None:
    super().__init__()
    self.heads = heads
    parts = [_matrix(params[name]['kernel'], 1) for name in ('query', 'key', 'value')]
    self.qkv = Linear({'kernel': np.concatenate(parts, axis=1)})
    self.output = Linear({'kernel': _matrix(params['output']['kernel'], 2)})

  def forward(self, x: torch.Tensor, cache: Any, position: int) -> torch.Tensor:
    b, t, d = x.shape
    q, k, v = (a.view(b, t, self.heads, -1).transpose(1, 2) for a in self.qkv(x).split(d, dim=-1))
    if cache is not None:
      keys, values = cache  # made for the longest text; views of them cost nothing
      keys[:, :, position : position + t], values[:, :, position : position + t] = k, v
      k, v = keys[:, :, : position + t], values[:, :, : position + t]
    y = functional.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
    return self.output(y.transpose(1, 2).reshape(b, t, d))


class Block(nn.Module):
  def __init__(self, params: Params, heads: int) -> None:
    super().__init__()
    self.norms = nn.ModuleList(_norm(params[name]) for name in ('norm_mixer', 'norm_mlp'))
    self.mixer = Attention(params['mixer'], heads)
    self.up, self.down = Linear(params['mlp']['up']), Linear(params['mlp']['down'])

  def forward(self, x: torch.Tensor, cache: Any, position: int) -> torch.Tensor:
    x = x + self.mixer(self.norms[0](x), cache, position)
    return x + self.down(functional.gelu(self.up(self.norms[1](x)), approximate='tanh'))


class GPT(nn.Module):
  """Pre-norm decoder with layer norms and learned positions (Radford et al., 2019)."""

  def __init__(self, params: Params, heads: int) -> None:
    super().__init__()
    self.embedding = nn.Parameter(to_torch(params['embed']['embedding']))
    self.positions = nn.Parameter(to_torch(params['position_table']))
    self.blocks = nn.ModuleList(Block(block, heads) for block in _blocks(params))
    self.norm, self.output = _norm(params['norm']), Linear(params['output'])

  def forward(self, tokens: torch.Tensor, caches: Any = None, position: int = 0) -> torch.Tensor:
    x = functional.embedding(tokens, self.embedding) * self.embedding.shape[1] ** 0.5
    x = x + self.positions[position : position + tokens.shape[1]]
    for i, block in enumerate(self.blocks):
      x = block(x, None if caches is None else caches[i], position)
    return self.output(self.norm(x))

  def cache(self, batch: int, length: int) -> Cache:
    mixer = self.blocks[0].mixer
    shape = (batch, mixer.heads, length, self.embedding.shape[1] // mixer.heads)
    return [(self.embedding.new_zeros(shape), self.embedding.new_zeros(shape)) for _ in self.blocks]


class LanguageLSTM(nn.Module):
  """Embedding, `torch.nn.LSTM` of several layers, output layer."""

  def __init__(self, params: Params) -> None:
    super().__init__()
    self.embedding = nn.Parameter(to_torch(params['embed']['embedding']))
    layers = [block['mixer']['forward'] for block in _blocks(params)]
    width = layers[0]['recurrent_kernel'].shape[0]
    self.lstm = nn.LSTM(width, width, len(layers), batch_first=True)
    for i, layer in enumerate(layers):
      bias = np.asarray(layer['input']['bias']).reshape(-1)
      _set(getattr(self.lstm, f'weight_ih_l{i}'), _matrix(layer['input']['kernel'], 1).T)
      _set(getattr(self.lstm, f'weight_hh_l{i}'), _matrix(layer['recurrent_kernel'], 1).T)
      _set(getattr(self.lstm, f'bias_ih_l{i}'), bias)
      _set(getattr(self.lstm, f'bias_hh_l{i}'), 0 * bias)
      getattr(self.lstm, f'bias_hh_l{i}').requires_grad_(False)  # a second bias would be trained beside the one
    self.output = Linear(params['output'])

  def forward(self, tokens: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
    x = functional.embedding(tokens, self.embedding) * self.embedding.shape[1] ** 0.5
    y, state = self.lstm(x, state)
    return self.output(y), state


def training_step(
  model: nn.Module,
  logits: Callable[..., torch.Tensor],
  inputs: Any,
  targets: Any,
  compiled: bool = False,
  dtype: str = 'float32',
) -> Callable[[], torch.Tensor]:
  """Return a call that takes one AdamW step behind clipping, as `training_time.training_step` does: the loss.

  dtype: of matmuls; parameters and the loss are float32.
  """
  matrices = [p for p in model.parameters() if p.ndim > 1]
  vectors = [p for p in model.parameters() if p.ndim <= 1]
  groups = [{'params': matrices, 'weight_decay': 0.1}, {'params': vectors, 'weight_decay': 0.0}]
  optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
  inputs, targets = to_torch(inputs).long(), to_torch(targets).long()

  def loss_of(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    with torch.autocast(inputs.device.type, getattr(torch, dtype), enabled=dtype != 'float32'):
      scores = logits(model, inputs)
    return functional.cross_entropy(scores.float().flatten(0, 1), targets.flatten())

  forward = torch.compile(loss_of) if compiled else loss_of

  def step() -> torch.Tensor:
    optimizer.zero_grad(set_to_none=True)
    loss = forward(inputs, targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()

  return step


@torch.inference_mode()
def generate_gpt(model: GPT, first: int, length: int) -> torch.Tensor:
  """Greedy decoding at batch 1 with a key/value cache made beforehand."""
  caches = model.cache(1, length)
  token = torch.full((1, 1), first, device=model.embedding.device)
  found = []
  for position in range(length):
    token = model(token, caches, position)[:, -1:].argmax(-1)
    found.append(token)
  return torch.cat(found, 1)


@torch.inference_mode()
def generate_lstm(model: LanguageLSTM, first: int, length: int) -> torch.Tensor:
  """Greedy decoding at batch 1."""
  token, state, found = torch.full((1, 1), first, device=model.embedding.device), None, []
  for _ in range(length):
    logits, state = model(token, state)
    token = logits[:, -1:].argmax(-1)
    found.append(token)
  return torch.cat(found, 1)


def linear_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, chunk: int) -> torch.Tensor:
  """Causal sums q_t Σ k_s v_sᵀ of [b t h k] in chunks: a masked product inside each, the state between them."""
  b, t, h, width = q.shape
  split = lambda a: a.view(b, t // chunk, chunk, h, -1).permute(1, 0, 3, 2, 4)
  q, k, v = split(q), split(k), split(v)
  inside = torch.tril(q @ k.transpose(-1, -2)) @ v
  state = q.new_zeros((b, h, width, v.shape[-1]))
  past = []
  for i in range(t // chunk):
    past.append(q[i] @ state)
    state = state + k[i].transpose(-1, -2) @ v[i]
  return (inside + torch.stack(past)).permute(1, 0, 3, 2, 4).reshape(b, t, h, -1)


def explicit_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
  """Causal softmax attention of [b h t k], written out."""
  scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
  hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
  return scores.masked_fill(hidden, float('-inf')).softmax(-1) @ v


def _blocks(params: Params) -> list[Params]:
  """Return the parameters of every layer, from those of models of one group of layers."""
  (group,) = params['stack'].values()
  return layout.unstack(group, jax.tree.leaves(group)[0].shape[0])


def _matrix(kernel: Any, inputs: int) -> Any:
  """Return a kernel as a matrix of its first `inputs` axes by the others."""
  kernel = np.asarray(kernel)
  return kernel.reshape(math.prod(kernel.shape[:inputs]), -1)


def _norm(params: Params) -> nn.LayerNorm:
  norm = nn.LayerNorm(params['scale'].shape[0], eps=1e-6)
  _set(norm.weight, params['scale'])
  _set(norm.bias, params['bias'])
  return norm


def _set(parameter: torch.Tensor, value: Any) -> None:
  with torch.no_grad():
    parameter.data = to_torch(value).contiguous()
