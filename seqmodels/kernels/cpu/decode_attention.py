"""One token of attention over a cache in C++ (`decode_attention.cc`), in one call. In XLA it is some forty operations,
which take longer to begin than to run."""

from typing import Any

from seqmodels.kernels.cpu import library
from seqmodels.kernels.cpu.call import call


def covers(*arrays: Any, decode: str) -> bool:
  """Return whether the kernel reads the cache that way: the filled slots."""
  del arrays
  return decode == 'prefix'


def why_not(q: Any, new: Any, k: Any, v: Any, end: Any, mask: Any, *, decode: str) -> str | None:
  """Return why the kernel cannot compute with such arrays, or None."""
  del end, mask, decode
  return library.why_not(q, *new, *k, *v)


def decode_attention(q: Any, new: Any, k: Any, v: Any, end: Any, mask: Any, *, decode: str) -> Any:
  """Return (out, k, v) as in `kernels/cache.py`; the cache is written in place."""
  del decode
  blocks = *k, *v
  arrays = q, *new, end, mask, *blocks
  shapes = (*q.shape[:2], new[1].shape[-1]), *(block.shape for block in blocks)
  in_place = {5 + i: 1 + i for i in range(len(blocks))}
  out, *after = call('decode_attention', shapes, arrays, (0,) * len(arrays), (0,) * len(shapes), in_place)
  return out, tuple(after[: len(k)]), tuple(after[len(k) :])
