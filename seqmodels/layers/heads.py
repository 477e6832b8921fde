"""How many heads a width is divided into."""

from seqmodels.errors import InputError


def choose_heads(width: int) -> int:
  """Return the largest head count with a head_dim of 32 to 64, even if possible; else the one nearest to that range."""
  divisors = [h for h in range(1, width + 1) if width % h == 0]

  def badness(heads: int) -> tuple[bool, float, int]:
    head_dim = width // heads
    distance = max(32 / head_dim, head_dim / 64, 1.0)
    return head_dim % 2 == 1, distance, -heads

  return min(divisors, key=badness)


def resolve_heads(width: int, heads: int, kv_heads: int) -> tuple[int, int]:
  """Return (heads, kv_heads) with 0 resolved: heads from the width, kv_heads as many as heads.

  Raises InputError where heads do not divide the width or kv_heads the heads.
  """
  heads = heads or choose_heads(width)
  kv_heads = kv_heads or heads
  if heads < 0 or width % heads:
    raise InputError(f'heads={heads} must divide width={width}')
  if kv_heads < 0 or heads % kv_heads:
    raise InputError(f'kv_heads={kv_heads} must divide heads={heads}')
  return heads, kv_heads
