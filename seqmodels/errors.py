"""Define `InputError`, the one exception that means "the user's input is wrong", and the words of its messages.

`main.py` prints an InputError as one line and exits with 2.
"""

import difflib
from collections.abc import Iterable

LONGEST = 80  # characters of a value in a message

# Names that other projects use → the names here, for hints. A hint is given only where the field exists.
ALIASES = {
  'lr': 'learning_rate',
  'wd': 'weight_decay',
  'bs': 'batch_size',
  'batch': 'batch_size',
  'minibatch': 'batch_size',
  'opt': 'optimizer',
  'warmup': 'warmup_steps',
  'max_steps': 'steps',
  'num_steps': 'steps',
  'iterations': 'steps',
  'iters': 'steps',
  'grad_clip': 'clip',
  'max_grad_norm': 'clip',
  'grad_accum': 'accumulate',
  'gradient_accumulation_steps': 'accumulate',
  'bptt': 'segment',
  'd_model': 'width',
  'dim': 'width',
  'hidden': 'width',
  'hidden_size': 'width',
  'n_embd': 'width',
  'n_layer': 'depth',
  'n_layers': 'depth',
  'num_layers': 'depth',
  'n_head': 'heads',
  'n_heads': 'heads',
  'num_heads': 'heads',
  'num_kv_heads': 'kv_heads',
  'd_ff': 'feedforward',
  'mlp': 'feedforward',
  'dropout_rate': 'dropout',
  'precision': 'dtype',
  'context': 'length',
  'seq_len': 'length',
  'block_size': 'length',
  'max_length': 'length',
  'vocab': 'vocabulary',
  'vocab_size': 'vocabulary',
  'data': 'dataset',
  'temp': 'temperature',
  'topk': 'top_k',
  'topp': 'top_p',
  'beams': 'beam',
  'logdir': 'workdir',
  'output_dir': 'workdir',
  'out_dir': 'workdir',
  'devices': 'mesh',
  'num_devices': 'mesh',
  'accelerator': 'platform',
  'device': 'platform',
}


class InputError(ValueError):
  """Bad input. The message is one line: the flag or field, the value, and what is allowed."""


def shown(value: object) -> str:
  """Return `value` as a message shows it: its repr, cut in the middle where it is longer than 80 characters."""
  try:
    return cut(repr(value))
  except ValueError:  # Python writes no whole number of more than 4,300 digits
    return 'a number of more than 4,300 digits'


def cut(text: str, longest: int = LONGEST) -> str:
  """Return `text` with its middle replaced by `…` where it is longer than `longest` characters."""
  if len(text) <= longest:
    return text
  head = (longest - 1) * 2 // 3
  return f'{text[:head]}…{text[head - longest + 1 :]}'


def unknown(field: str, value: object, allowed: Iterable[str]) -> InputError:
  """Return an InputError for a name that is not in `allowed`, with the nearest valid names first."""
  names = sorted(allowed)
  near = difflib.get_close_matches(str(value)[:LONGEST], names, n=3, cutoff=0.5)
  alias = ALIASES.get(str(value))
  if alias in names:
    near = [alias]
  hint = f'nearest: {", ".join(near)}; ' if near else ''
  return InputError(f'{field}={shown(value)} is not known; {hint}allowed: {", ".join(names)}')


def check_positive(**fields: int | float) -> None:
  """Raise InputError unless every field is greater than zero."""
  for field, value in fields.items():
    if not value > 0:
      raise InputError(f'{field}={value!r} must be greater than 0')


def one_line(text: object) -> str:
  """Return `text` on one line, its words separated by single spaces and very long ones cut."""
  return ' '.join(cut(word, 4 * LONGEST) for word in str(text).split())
