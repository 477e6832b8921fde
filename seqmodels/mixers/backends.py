"""Names of backends in the kernels' present terms."""

DIAGONAL = {'auto': 'auto', 'reference': 'scan', 'associative': 'associative', 'cpu': 'native'}
ROTATING = {'auto': 'auto', 'reference': 'scan', 'associative': 'associative'}
LINEAR = {'auto': 'auto', 'reference': 'scan', 'xla': 'chunked', 'cpu': 'native'}
CHUNKED = {'auto': 'chunked', 'reference': 'scan', 'xla': 'chunked'}
SLSTM = {'auto': 'fused', 'reference': 'scan', 'xla': 'fused'}


def chosen(names: dict[str, str], backend: str) -> str:
  """Return the name of a kernel's form for a backend; what has none of its own takes that of `auto`."""
  return names.get(backend, names['auto'])
