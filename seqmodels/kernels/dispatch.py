"""Choose a backend for an op, for the platform that a program is lowered for.

Nothing here reads the devices of this process: a program that is lowered for a TPU on a host without one gets the forms
for a TPU. Where the platforms have different forms, all are traced and one is lowered (`jax.lax.platform_dependent`).
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax

from seqmodels.errors import InputError, unknown
from seqmodels.kernels import branches
from seqmodels.kernels.auto import AUTO, Case

PLATFORMS = ('cpu', 'cuda', 'rocm', 'tpu')
_traced_for: ContextVar[tuple[str, ...]] = ContextVar('traced_for', default=PLATFORMS)
BACKENDS = dict.fromkeys(('auto', 'reference', 'xla', 'associative', 'newton', 'quasi_newton'), PLATFORMS) | {
  'cpu': ('cpu',),
  'cudnn': ('cuda',),
}


class ByPlatform(NamedTuple):
  """An option that is another on CPU than elsewhere."""

  cpu: Any
  others: Any


class Form(NamedTuple):
  """One way to compute an op: a function that JAX can differentiate, and where it can be used.

  platforms  those that it is for
  covers     whether the form is for such arrays and options at all; where not, its backend has no form of the op
  why_not    the reason why this form cannot be had for them (a dtype, a missing library), or None
  """

  call: Callable[..., Any]
  platforms: tuple[str, ...] = PLATFORMS
  covers: Callable[..., bool] = lambda *arrays, **options: True
  why_not: Callable[..., str | None] = lambda *arrays, **options: None


class Op(NamedTuple):
  """An operation and its forms by backend; a backend may have one for each platform."""

  name: str
  forms: tuple[tuple[str, Form], ...]


def run(op: Op, backend: str, arrays: tuple[Any, ...], **options: Any) -> Any:
  """Return op(*arrays, **options) by `backend`; options are hashable.

  `auto` follows the table `auto.AUTO`; a backend that has no form of the op stands for `xla`. Raises InputError on an
  unknown backend, and on one whose form of the op cannot be had here.
  """
  check(backend)
  forms = {name: [f for other, f in op.forms if other == name and f.covers(*arrays, **options)] for name, _ in op.forms}
  for form in forms.get(backend, ()):
    if reason := form.why_not(*arrays, **options):
      raise InputError(f'model.kernels={backend} cannot compute {op.name}: {reason}')
  first = jax.tree.leaves(arrays)[0]

  def choose(platform: str, training: bool) -> Form | None:
    on = lambda name: next((form for form in forms.get(name, ()) if platform in form.platforms), None)
    if backend != 'auto':
      return on(backend if forms.get(backend) else 'xla')
    case = Case(first.shape, first.dtype, training)
    for line in AUTO.get(op.name, ()):
      form = on(line.backend)
      if form and platform in line.platforms and line.applies(case) and not form.why_not(*arrays, **options):
        return form
    return on('xla')

  def by_platform(training: bool) -> branches.Branches:
    chosen = {platform: choose(platform, training) for platform in _traced_for.get()}
    refusal = '' if all(chosen.values()) else f'model.kernels={backend} is for {", ".join(BACKENDS[backend])}'
    calls = {platform: (form.call, _on(platform, options)) for platform, form in chosen.items() if form}
    return branches.group(calls, refusal)

  return _call(by_platform(training=False), by_platform(training=True), arrays)


@contextlib.contextmanager
def tracing_for(platform: str) -> Iterator[None]:
  """Trace the forms of one platform alone: for programs that are measured as they are traced, and never lowered."""
  token = _traced_for.set((platform,))
  try:
    yield
  finally:
    _traced_for.reset(token)


def _on(platform: str, options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
  """Return the options on a platform, in a fixed order."""
  here = lambda value: value if not isinstance(value, ByPlatform) else value.cpu if platform == 'cpu' else value.others
  return tuple((name, here(value)) for name, value in sorted(options.items()))


def check(backend: str, platform: str = '') -> None:
  """Raise InputError on an unknown backend, and on one that is for other platforms than the one given."""
  if backend not in BACKENDS:
    raise unknown('model.kernels', backend, BACKENDS)
  if platform and platform not in BACKENDS[backend]:
    raise InputError(f'model.kernels={backend} is for {", ".join(BACKENDS[backend])}; this device is {platform}')


# Under jit, so that the layers of a model trace an op once.
_call = jax.jit(branches.call, static_argnums=(0, 1))
